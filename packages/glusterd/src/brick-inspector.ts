/** The directory of a brick: its identity and its file system. The only place in management that makes system calls. */
import { execFile } from 'node:child_process';
import { lstatSync, mkdirSync, realpathSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { byteString, rootGfid } from '@mortar/core';
import { Errno, errnoName } from '@mortar/core/errno.ts';
import { getxattr, removexattr, setxattr } from '@mortar/libc';
import { uuidBytes, uuidText } from './uuid.ts';

const volumeIdXattr = 'trusted.glusterfs.volume-id';
const gfidXattr = 'trusted.gfid';
const dirtyXattr = 'trusted.afr.dirty';
const testXattr = 'trusted.glusterfs.test';

export interface MountEntry {
  device: string;
  point: string;
  type: string;
  options: string;
}

export interface FileSystemFacts {
  blockSize: number;
  totalBytes: number;
  freeBytes: number;
  inodes: number;
  freeInodes: number;
  /** Device number, to tell file systems apart. */
  device: number;
  /** f_fsid as decimal text, where the system tells it. */
  fsid: string;
}

/** What is written at the root of a brick of others that have nothing, and of which names the counters are asked for. */
export interface RootBlame {
  readonly names: readonly string[];
  /** Added to those of data, metadata and entries. */
  readonly counters: readonly number[];
  readonly of: readonly string[];
}

export interface BrickInspector {
  /** `created`: there was none. Throws an Error with the system's text. */
  makeDirectory(path: string, mode?: number): 'created' | 'existed';
  removeTree(path: string): void;
  isDirectory(path: string): boolean;
  /** What the name itself is; a symbolic link is `other`. */
  kind(path: string): 'directory' | 'other' | 'none';
  /** Resolved path, or the same when it does not exist. */
  realPath(path: string): string;
  /** Whether the directory begins another file system than its parent. */
  isMountPoint(path: string): boolean;
  isOnRootPartition(path: string): boolean;
  /** Why xattrs cannot be set here, or null. */
  xattrProblem(path: string): string | null;
  /** Whether a directory carries the mark of a volume or a gfid. */
  isMarked(path: string): boolean;
  /** The volume id, null if there is none. Throws with the system's text. */
  volumeId(path: string): string | null;
  setVolumeId(path: string, id: string): void;
  /** The root of an empty brick: what is in it is nothing to heal others from. */
  markDirty(path: string): void;
  /**
   * Adds to the pending counters of data, metadata and entries at the root of a brick that does not run, and notes the
   * root in its index. Returns the counters of the names in `of`.
   */
  blameAtRoot(path: string, blame: RootBlame): Record<string, number[]>;
  facts(path: string): FileSystemFacts;
  /** Bytes that the file system has for an inode; 0 where that is not known. */
  inodeSize(mount: MountEntry): Promise<number>;
}

class SystemError extends Error {
  readonly code = 'ESYSTEM';
}

/** `No such file or directory`: what strerror(3) says, for the few that users meet here. */
export function errnoText(errno: number): string {
  const texts: Record<number, string> = {
    [Errno.EPERM]: 'Operation not permitted',
    [Errno.ENOENT]: 'No such file or directory',
    [Errno.EIO]: 'Input/output error',
    [Errno.EACCES]: 'Permission denied',
    [Errno.EEXIST]: 'File exists',
    [Errno.ENOTDIR]: 'Not a directory',
    [Errno.ENOSPC]: 'No space left on device',
    [Errno.EROFS]: 'Read-only file system',
    [Errno.ENODATA]: 'No data available',
    [Errno.EOPNOTSUPP]: 'Operation not supported',
    [Errno.ENAMETOOLONG]: 'File name too long',
  };
  return texts[errno] ?? errnoName(errno);
}

function systemError(error: unknown): SystemError {
  const { errno, message } = error as NodeJS.ErrnoException;
  return new SystemError(errno === undefined ? message : errnoText(-errno), { cause: error });
}

/** Of data, metadata and entries, as changelogs have them. */
function counters(...values: readonly [number, number, number]): Buffer {
  const bytes = Buffer.alloc(12);
  for (const [index, value] of values.entries()) bytes.writeInt32BE(value, 4 * index);
  return bytes;
}

function has(path: string, name: string): boolean {
  return typeof getxattr(byteString(path), name) !== 'number';
}

export const systemInspector: BrickInspector = {
  makeDirectory(path, mode = 0o755) {
    try {
      mkdirSync(path, { mode });
      return 'created';
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return 'existed';
      throw systemError(error);
    }
  },

  removeTree(path) {
    rmSync(path, { recursive: true, force: true });
  },

  isDirectory(path) {
    return this.kind(path) === 'directory';
  },

  kind(path) {
    try {
      const found = lstatSync(path, { throwIfNoEntry: false });
      return found ? (found.isDirectory() ? 'directory' : 'other') : 'none';
    } catch {
      // Below a file, or in a folder that cannot be searched.
      return 'none';
    }
  },

  realPath(path) {
    try {
      return realpathSync(path);
    } catch {
      return path;
    }
  },

  isMountPoint(path) {
    const own = lstatSync(path, { throwIfNoEntry: false });
    const above = lstatSync(`${path}/..`, { throwIfNoEntry: false });
    return own !== undefined && above !== undefined && (own.dev !== above.dev || own.ino === above.ino);
  },

  isOnRootPartition(path) {
    return lstatSync(path, { throwIfNoEntry: false })?.dev === lstatSync('/').dev;
  },

  xattrProblem(path) {
    const target = byteString(path);
    const set = setxattr(target, testXattr, Buffer.from('working'));
    if (set < 0) return errnoText(-set);
    removexattr(target, testXattr);
    return null;
  },

  isMarked(path) {
    return has(path, volumeIdXattr) || has(path, gfidXattr);
  },

  volumeId(path) {
    const value = getxattr(byteString(path), volumeIdXattr);
    if (typeof value !== 'number') return value.length === 16 ? uuidText(value) : null;
    if (value === -Errno.ENODATA || value === -Errno.EOPNOTSUPP) return null;
    throw new SystemError(errnoText(-value));
  },

  setVolumeId(path, id) {
    const result = setxattr(byteString(path), volumeIdXattr, uuidBytes(id));
    if (result < 0) throw new SystemError(errnoText(-result));
  },

  markDirty(path) {
    const result = setxattr(byteString(path), dirtyXattr, counters(0, 0, 1));
    if (result < 0) throw new SystemError(errnoText(-result));
  },

  blameAtRoot(path, { names, counters: added, of }) {
    const countersOf = (name: string): number[] => {
      const value = getxattr(byteString(path), name);
      if (typeof value === 'number' && value !== -Errno.ENODATA) throw new SystemError(errnoText(-value));
      const bytes = typeof value !== 'number' && value.length === 12 ? Buffer.from(value) : counters(0, 0, 0);
      return [0, 1, 2].map((index) => bytes.readInt32BE(4 * index));
    };
    for (const name of names) {
      const [data, metadata, entry] = countersOf(name).map((old, index) => Math.max(0, old + (added[index] ?? 0)));
      const result = setxattr(byteString(path), name, counters(data!, metadata!, entry!));
      if (result < 0) throw new SystemError(errnoText(-result));
    }
    try {
      const index = `${path}/.glusterfs/indices/xattrop`;
      mkdirSync(index, { recursive: true, mode: 0o600 });
      // What a heal finds clean it takes out of the index, so one entry too many does no harm.
      writeFileSync(`${index}/${rootGfid}`, '', { mode: 0, flag: 'a' });
    } catch (error) {
      throw systemError(error);
    }
    return Object.fromEntries(of.map((name) => [name, countersOf(name)]));
  },

  inodeSize: inodeSizeOf,

  facts(path) {
    try {
      const stat = statfsSync(path);
      const device = lstatSync(path).dev;
      return {
        blockSize: stat.bsize,
        totalBytes: stat.blocks * stat.bsize,
        freeBytes: stat.bfree * stat.bsize,
        inodes: stat.files,
        freeInodes: stat.ffree,
        device,
        fsid: `${device}`,
      };
    } catch (error) {
      throw systemError(error);
    }
  },
};

/** Programs that tell the size of inodes, and how. */
const inodeSizeTools: Readonly<
  Record<string, { program: string; args: (mount: MountEntry) => string[]; size: RegExp }>
> = {
  xfs: { program: 'xfs_info', args: ({ point }) => [point], size: /\bisize=(\d+)/ },
  ext2: { program: 'tune2fs', args: ({ device }) => ['-l', device], size: /^Inode size:\s*(\d+)/m },
  ext3: { program: 'tune2fs', args: ({ device }) => ['-l', device], size: /^Inode size:\s*(\d+)/m },
  ext4: { program: 'tune2fs', args: ({ device }) => ['-l', device], size: /^Inode size:\s*(\d+)/m },
};
const toolTimeoutMs = 3000;

function inodeSizeOf(mount: MountEntry): Promise<number> {
  const tool = Object.hasOwn(inodeSizeTools, mount.type) ? inodeSizeTools[mount.type] : undefined;
  if (!tool) return Promise.resolve(0);
  return new Promise((resolve) => {
    execFile(tool.program, tool.args(mount), { timeout: toolTimeoutMs }, (_error, output) =>
      resolve(Number(tool.size.exec(output)?.[1] ?? 0)),
    );
  });
}

/** The mount of `/proc/mounts` that a path lies on. */
export function mountOf(path: string, mounts: string): MountEntry | undefined {
  let best: MountEntry | undefined;
  for (const line of mounts.split('\n')) {
    const [device, encoded, type, options] = line.split(' ');
    if (device === undefined || encoded === undefined || type === undefined || options === undefined) continue;
    const point = encoded.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const isBelow = path === point || path.startsWith(point === '/' ? '/' : `${point}/`);
    if (isBelow && point.length >= (best?.point.length ?? 0)) best = { device, point, type, options };
  }
  return best;
}
