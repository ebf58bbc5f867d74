/** A volume in somebody's name, shaped like node:fs/promises. */
import {
  type AttrChange,
  type ByteString,
  byteString,
  type Dirent,
  Errno,
  type Failure,
  FileType,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  newGfid,
  pathMaxBytes,
  type Reply,
} from '@mortar/core';
import { createFile, xattrMaxBytes } from '@mortar/host';
import { type BytesLike, bytesOf, type Contents } from './arguments.ts';
import type { CallOptions, Client, Identity, Work } from './client.ts';
import { entriesOf, typeOf, VolumeDir } from './directory.ts';
import { fsError, must } from './errors.ts';
import { checkedOffset, FileHandle, ownerOf } from './file-handle.ts';
import { canWrite, modeOf, O, type OpenFlags, openFlags } from './flags.ts';
import { GraphDoor } from './graph-door.ts';
import { NameCache } from './name-cache.ts';
import { type NameEncoding, nameAs, pathBytes, pathText, type VolumePath } from './paths.ts';
import { killPrivileges, mustKill } from './privileges.ts';
import { removeTree } from './remove.ts';
import { statFsOf, VolumeDirent, type VolumeStatFs, VolumeStats } from './stats.ts';
import { type Time, timespecOf } from './times.ts';
import { type How, type Place, Walker } from './walk.ts';
import { type SetXattrOptions, shownNames, valueIn, xattrFlags, xattrProblem } from './xattrs.ts';

export interface VolumeSettings {
  readonly client: Client;
  readonly who: Identity;
  /** Taken off the modes of what is made. */
  readonly umask: number;
  /** The directory that paths begin in. */
  readonly root: Gfid;
  readonly entryTimeoutMs: number;
  readonly nameCacheLimit: number;
  /** Ends the client; absent for a volume in another's name. */
  readonly end?: () => Promise<void>;
}

export type WriteFileOptions = CallOptions & {
  encoding?: BufferEncoding | null;
  mode?: number | string;
  flag?: OpenFlags;
  /** fsync before it is closed. */
  flush?: boolean;
};

export type MkdirOptions = CallOptions & { recursive?: boolean; mode?: number | string };
export type ReaddirOptions = CallOptions & { encoding?: NameEncoding; withFileTypes?: boolean; recursive?: boolean };
export type RmOptions = CallOptions & { force?: boolean; recursive?: boolean };

const follow: How = { follow: true, last: 'believe' };
const asLink: How = { follow: false, last: 'believe' };
const byName: How = { follow: false, last: 'unseen' };
/** What a believed name may be to blame for. */
const staleErrnos: readonly number[] = [Errno.ESTALE, Errno.ENOENT, Errno.ENOTDIR];
const unsupportedFlags = (O.tmpFile & ~O.directory) | O.path | O.direct;
const suffixLetters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

type Outcome = { ok: true } | { ok: false; errno: number };

export class Volume implements AsyncDisposable {
  /** Fops by gfid, for services. */
  readonly graph: GraphDoor;
  readonly #settings: VolumeSettings;
  readonly #client: Client;
  readonly #who: Identity;
  readonly #cache: NameCache;
  readonly #walker: Walker;

  constructor(settings: VolumeSettings) {
    const { client, who, root, entryTimeoutMs, nameCacheLimit } = settings;
    this.#settings = settings;
    this.#client = client;
    this.#who = who;
    this.#cache = new NameCache(client.services.clock, entryTimeoutMs, nameCacheLimit);
    client.caches.add(this.#cache);
    this.#walker = new Walker({ client, who, cache: this.#cache, root });
    this.graph = new GraphDoor(client, who, root);
  }

  /** The same volume in another's name. It needs no closing. */
  as(identity: { uid: number; gid: number; groups?: readonly number[]; umask?: number }): Volume {
    const { uid, gid, groups = [], umask = this.#settings.umask } = identity;
    const { end: _, ...settings } = this.#settings;
    return new Volume({ ...settings, umask, who: { uid, gid, groups } });
  }

  async open(path: VolumePath, flags?: OpenFlags, mode?: number | string, options?: CallOptions): Promise<FileHandle> {
    const wanted = openFlags(flags);
    return this.#op('open', path, () => this.#open(path, wanted, modeOf(mode, 0o666), options, 'open'));
  }

  async stat(path: VolumePath, options?: CallOptions): Promise<VolumeStats> {
    return this.#op('stat', path, () => this.#stat(path, true, 'stat', options));
  }

  async lstat(path: VolumePath, options?: CallOptions): Promise<VolumeStats> {
    return this.#op('lstat', path, () => this.#stat(path, false, 'lstat', options));
  }

  async access(path: VolumePath, mode = 0, options?: CallOptions): Promise<void> {
    await this.#op('access', path, async () => {
      const how: How = { follow: true, last: mode === 0 ? 'ask' : 'believe' };
      await this.#at(path, how, 'access', options, async ({ file }) =>
        mode === 0
          ? { ok: true }
          : this.#run(options, (top, call) => top.access(call, { loc: locOf(file!.gfid), mask: mode & 7 })),
      );
    });
  }

  async readFile(
    path: VolumePath,
    options?: (CallOptions & { encoding?: BufferEncoding | null; flag?: OpenFlags }) | BufferEncoding | null,
  ): Promise<string | Buffer> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {});
    return this.#op('open', path, async () => {
      let size: number | null = null;
      const seen = (iatt: Iatt | null) => {
        size = iatt?.size ?? null;
      };
      const handle = await this.#open(path, openFlags(given.flag ?? 'r'), 0o666, given, 'open', seen);
      try {
        const bytes = await handle.readAll(size, given);
        return given.encoding ? bytes.toString(given.encoding) : bytes;
      } finally {
        await handle.close();
      }
    });
  }

  async writeFile(path: VolumePath, data: Contents, options?: WriteFileOptions | BufferEncoding | null): Promise<void> {
    await this.#put(path, data, options, 'w');
  }

  async appendFile(
    path: VolumePath,
    data: Contents,
    options?: WriteFileOptions | BufferEncoding | null,
  ): Promise<void> {
    await this.#put(path, data, options, 'a');
  }

  async truncate(path: VolumePath, length = 0, options?: CallOptions): Promise<void> {
    const size = checkedOffset(length, 'length');
    await this.#op('truncate', path, async () => {
      const { post } = await this.#at(path, follow, 'truncate', options, async ({ file }) => {
        if (file!.type === FileType.directory) return fails(Errno.EISDIR);
        if (file!.type !== FileType.regular) return fails(Errno.EINVAL);
        return this.#run(options, (top, call) => top.truncate(call, { loc: locOf(file!.gfid), size }));
      });
      if (mustKill(this.#who, post)) await killPrivileges(this.#client, this.#who, post);
    });
  }

  /** With `recursive`: the first directory that was made, or undefined. */
  async mkdir(path: VolumePath, options?: MkdirOptions | number | string | null): Promise<string | undefined> {
    const given = typeof options === 'object' && options !== null ? options : { mode: options ?? 0o777 };
    const mode = modeOf(given.mode, 0o777) & ~this.#settings.umask;
    return this.#op('mkdir', path, async () => {
      if (given.recursive) return this.#mkdirs(path, mode, given);
      await this.#mkdir(path, mode, given);
      return undefined;
    });
  }

  async mkdtemp(prefix: string, options?: CallOptions): Promise<string> {
    return this.#op('mkdtemp', prefix, async () => {
      for (let attempt = 0; ; attempt++) {
        const path = `${prefix}${this.#suffix()}`;
        try {
          await this.#mkdir(path, 0o700, options);
          return path;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 100) throw error;
        }
      }
    });
  }

  async rmdir(path: VolumePath, options?: CallOptions): Promise<void> {
    await this.#op('rmdir', path, async () => {
      await this.#at(path, byName, 'rmdir', options, async ({ parent, name }) => {
        if (parent === null) return fails(name === '.' ? Errno.EINVAL : name === '..' ? Errno.ENOTEMPTY : Errno.EBUSY);
        this.#client.forgetName(parent, name);
        return this.#run(options, (top, call) => top.rmdir(call, { loc: locAt(parent, name), recursive: false }));
      });
    });
  }

  async unlink(path: VolumePath, options?: CallOptions): Promise<void> {
    await this.#op('unlink', path, async () => {
      const how: How = pathBytes(path).endsWith('/') ? { follow: false, last: 'ask' } : byName;
      await this.#at(path, how, 'unlink', options, async ({ parent, name, file }) => {
        if (parent === null || file?.type === FileType.directory) return fails(Errno.EISDIR);
        this.#client.forgetName(parent, name);
        return this.#run(options, (top, call) => top.unlink(call, { loc: locAt(parent, name) }));
      });
    });
  }

  async rm(path: VolumePath, options: RmOptions = {}): Promise<void> {
    await this.#op('rm', path, async () => {
      const text = pathText(path);
      try {
        await this.#at(path, { follow: false, last: 'ask' }, 'rm', options, async ({ parent, name, file }) => {
          if (file!.type === FileType.directory && !options.recursive) throw directoryError(text);
          if (parent === null) return fails(name === '..' ? Errno.ENOTEMPTY : Errno.EBUSY);
          const job = { client: this.#client, who: this.#who, options };
          const result = await removeTree(job, parent, name, file!, text.replace(/\/+$/, ''));
          if (!result.ok) throw fsError(result.errno, 'rm', { path: result.path });
          return result;
        });
      } catch (error) {
        if (!options.force || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    });
  }

  /** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  async rename(from: VolumePath, to: VolumePath, options: CallOptions & { flags?: number } = {}): Promise<void> {
    const place = { path: pathText(from), dest: pathText(to) };
    const { flags = 0 } = options;
    await this.#op('rename', from, async () => {
      const how: How = /\/$/.test(pathBytes(from)) ? { follow: false, last: 'ask' } : byName;
      const work = (target: Place) => (source: Place) => {
        const [a, b] = [source.parent, target.parent];
        if (a === null || b === null) return Promise.resolve(fails(Errno.EBUSY));
        // Only a directory may be called by a name with a slash behind it.
        this.#client.forgetName(a, source.name);
        this.#client.forgetName(b, target.name);
        const names = { from: locAt(a, source.name), to: locAt(b, target.name), flags };
        return this.#run<Reply<'rename'>>(options, (top, call) => top.rename(call, names));
      };
      const { iatt } = await this.#retried(place, 'rename', async (trust) => {
        const target = await this.#walker.walk(pathBytes(to, 'dest'), byName, trust, options);
        if (!target.ok) return { reply: target, believed: target.believed };
        const source = await this.#walker.walk(pathBytes(from), how, trust, options);
        if (!source.ok) return { reply: source, believed: source.believed || target.believed };
        const reply =
          target.directory && !(await this.#isDirectory(source, options))
            ? fails(Errno.ENOTDIR)
            : await work(target)(source);
        return { reply, believed: source.believed || target.believed };
      });
      this.#client.services.inodes.find(iatt.gfid);
    });
  }

  async link(existing: VolumePath, path: VolumePath, options?: CallOptions): Promise<void> {
    const place = { path: pathText(existing), dest: pathText(path) };
    await this.#op('link', existing, async () => {
      await this.#retried(place, 'link', async (trust) => {
        const source = await this.#walker.walk(pathBytes(existing), asLink, trust, options);
        if (!source.ok) return { reply: source, believed: source.believed };
        const target = await this.#walker.walk(pathBytes(path), byName, trust, options);
        if (!target.ok) return { reply: target, believed: target.believed || source.believed };
        return { reply: await this.#link(source, target, options), believed: source.believed || target.believed };
      });
    });
  }

  async symlink(
    target: string | Uint8Array,
    path: VolumePath,
    _type?: string | null,
    options?: CallOptions,
  ): Promise<void> {
    const bytes = pathBytes(target, 'target');
    await this.#op('symlink', path, async () => {
      if (bytes.length === 0) throw fsError(Errno.ENOENT, 'symlink', { path: pathText(target), dest: pathText(path) });
      if (bytes.length >= pathMaxBytes) throw fsError(Errno.ENAMETOOLONG, 'symlink', { path: pathText(target) });
      await this.#at(path, byName, 'symlink', options, async ({ parent, name, directory }) => {
        if (parent === null) return fails(Errno.EEXIST);
        if (directory) return fails(Errno.ENOENT);
        const gfid = this.#newGfid();
        this.#client.forgetName(parent, name);
        const args = { loc: locAt(parent, name, gfid), target: bytes, gfid };
        return this.#run(options, (top, call) => top.symlink(call, args));
      });
    });
  }

  async readlink(path: VolumePath, options: CallOptions & { encoding?: NameEncoding } = {}): Promise<string | Buffer> {
    return this.#op('readlink', path, async () => {
      const { target } = await this.#at(path, asLink, 'readlink', options, async ({ file }) =>
        file!.type === FileType.symlink
          ? this.#run(options, (top, call) => top.readlink(call, { loc: locOf(file!.gfid) }))
          : fails(Errno.EINVAL),
      );
      return nameAs(target, options.encoding);
    });
  }

  async realpath(path: VolumePath, options: CallOptions & { encoding?: NameEncoding } = {}): Promise<string | Buffer> {
    return this.#op('realpath', path, async () => {
      const place = await this.#at(path, { follow: true, last: 'ask' }, 'realpath', options, async (found) => found);
      return nameAs(`/${place.path.join('/')}`, options.encoding);
    });
  }

  async readdir(
    path: VolumePath,
    options?: ReaddirOptions & { withFileTypes?: false; encoding?: 'utf8' | 'utf-8' | null },
  ): Promise<string[]>;
  async readdir(
    path: VolumePath,
    options: ReaddirOptions & { withFileTypes: true; encoding?: 'utf8' | 'utf-8' | null },
  ): Promise<VolumeDirent[]>;
  async readdir(
    path: VolumePath,
    options: ReaddirOptions & { encoding: 'buffer'; withFileTypes?: false },
  ): Promise<Buffer[]>;
  async readdir(
    path: VolumePath,
    options: ReaddirOptions,
  ): Promise<string[] | Buffer[] | VolumeDirent<string | Buffer>[]>;
  async readdir(
    path: VolumePath,
    options: ReaddirOptions = {},
  ): Promise<(string | Buffer | VolumeDirent<string | Buffer>)[]> {
    return this.#op('scandir', path, async () => {
      const found: (string | Buffer | VolumeDirent<string | Buffer>)[] = [];
      const top = pathText(path);
      for await (const { entry, type, below } of this.#list(path, options)) {
        const name = nameAs(entry.name, options.encoding);
        const parentPath = below === '' ? top : `${top.replace(/\/+$/, '')}/${nameAs(below, 'utf8')}`;
        if (options.withFileTypes) found.push(new VolumeDirent(name, parentPath, type, entry.gfid));
        else found.push(below === '' ? name : nameAs(`${below}/${entry.name}`, options.encoding));
      }
      return found;
    });
  }

  async opendir(path: VolumePath, options: CallOptions & { encoding?: NameEncoding } = {}): Promise<VolumeDir> {
    return this.#op('opendir', path, async () => {
      const { file } = await this.#openDirectory(path, 'opendir', options);
      return new VolumeDir(file, pathText(path), options.encoding, options);
    });
  }

  async chmod(path: VolumePath, mode: number | string, options?: CallOptions): Promise<void> {
    const attr = { mode: modeOf(mode, 0) };
    await this.#op('chmod', path, () => this.#setattr(path, follow, attr, 'chmod', options));
  }

  async chown(path: VolumePath, uid: number, gid: number, options?: CallOptions): Promise<void> {
    await this.#chown(path, uid, gid, follow, 'chown', options);
  }

  async lchown(path: VolumePath, uid: number, gid: number, options?: CallOptions): Promise<void> {
    await this.#chown(path, uid, gid, asLink, 'lchown', options);
  }

  async utimes(path: VolumePath, atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#op('utime', path, () => this.#setattr(path, follow, attr, 'utime', options));
  }

  async lutimes(path: VolumePath, atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#op('lutime', path, () => this.#setattr(path, asLink, attr, 'lutime', options));
  }

  async copyFile(from: VolumePath, to: VolumePath, mode = 0, options?: CallOptions): Promise<void> {
    await this.#op('copyfile', from, async () => {
      const source = await this.#open(from, O.readOnly, 0, options, 'copyfile');
      try {
        const stats = await source.stat(options);
        const exclusive = mode & 1 ? O.exclusive : 0;
        const flags = O.writeOnly | O.create | O.truncate | exclusive;
        const target = await this.#open(to, flags, stats.mode & 0o777, options, 'copyfile');
        try {
          await copyData(source, target, options);
        } finally {
          await target.close();
        }
      } finally {
        await source.close();
      }
    });
  }

  async getxattr(path: VolumePath, name: string, options: CallOptions & { follow?: boolean } = {}): Promise<Buffer> {
    return this.#op('getxattr', path, async () => {
      const key = byteString(name);
      const how = options.follow === false ? asLink : follow;
      const { xattrs } = await this.#at(path, how, 'getxattr', options, async ({ file }) => {
        const errno = xattrProblem(key, this.#who.uid, file!.type, false);
        if (errno !== 0) return fails(errno);
        return this.#run(options, (top, call) => top.getxattr(call, { loc: locOf(file!.gfid), name: key }));
      });
      const value = valueIn(xattrs, key);
      if (typeof value === 'number') throw fsError(value, 'getxattr', { path: pathText(path) });
      return Buffer.from(value);
    });
  }

  async setxattr(
    path: VolumePath,
    name: string,
    value: BytesLike,
    options: CallOptions & SetXattrOptions & { follow?: boolean } = {},
  ): Promise<void> {
    const bytes = Uint8Array.from(bytesOf(value, 'utf8'));
    const args = { xattrs: { [byteString(name)]: bytes }, flags: xattrFlags(options) };
    await this.#changeXattr(path, name, 'setxattr', options, (file) =>
      bytes.length > xattrMaxBytes
        ? Promise.resolve(fails(Errno.E2BIG))
        : this.#run(options, (top, call) => top.setxattr(call, { loc: locOf(file), ...args })),
    );
  }

  async removexattr(path: VolumePath, name: string, options: CallOptions & { follow?: boolean } = {}): Promise<void> {
    await this.#changeXattr(path, name, 'removexattr', options, (file) =>
      this.#run(options, (top, call) => top.removexattr(call, { loc: locOf(file), name: byteString(name) })),
    );
  }

  async listxattr(path: VolumePath, options: CallOptions & { follow?: boolean } = {}): Promise<string[]> {
    return this.#op('listxattr', path, async () => {
      const how = options.follow === false ? asLink : follow;
      const { xattrs } = await this.#at(path, how, 'listxattr', options, async ({ file }) =>
        this.#run(options, (top, call) => top.getxattr(call, { loc: locOf(file!.gfid) })),
      );
      return shownNames(xattrs, this.#who.uid).map((name) => nameAs(name, 'utf8') as string);
    });
  }

  async statfs(path: VolumePath = '/', options?: CallOptions): Promise<VolumeStatFs> {
    return this.#op('statfs', path, async () => {
      const { statfs } = await this.#at(path, follow, 'statfs', options, async ({ file }) =>
        this.#run(options, (top, call) => top.statfs(call, { loc: locOf(file!.gfid) })),
      );
      return statFsOf(statfs);
    });
  }

  /** Waits for what is under way, closes what is open, and ends the client. Of a volume `as` another: nothing. */
  async close(): Promise<void> {
    await this.#settings.end?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #op<T>(syscall: string, path: VolumePath, work: () => Promise<T>): Promise<T> {
    pathBytes(path);
    return this.#client.operation(syscall, work);
  }

  #run<R extends { ok: boolean }>(options: CallOptions | undefined, work: Work<R>): Promise<R | Failure> {
    return this.#client.run(this.#who, options, work);
  }

  /** Goes to a path and works there; once more, without believed names, if they may be to blame for an error. */
  #at<R extends Outcome>(
    path: VolumePath,
    how: How,
    syscall: string,
    options: CallOptions | undefined,
    work: (place: Place) => Promise<R>,
  ): Promise<Extract<R, { ok: true }>> {
    const bytes = pathBytes(path);
    return this.#retried<R>({ path: pathText(path) }, syscall, async (trust) => {
      const place = await this.#walker.walk(bytes, how, trust, options);
      const reply = place.ok ? await work(place) : (place as Outcome as R);
      return { reply, believed: place.believed };
    });
  }

  async #retried<R extends Outcome>(
    place: { path: string; dest?: string },
    syscall: string,
    work: (trust: boolean) => Promise<{ reply: R | Failure; believed: boolean }>,
  ): Promise<Extract<R, { ok: true }>> {
    const first = await work(true);
    const { reply } = first;
    const isStale = !reply.ok && first.believed && staleErrnos.includes(reply.errno);
    return must<R>((isStale ? (await work(false)).reply : reply) as R, syscall, place);
  }

  async #stat(
    path: VolumePath,
    follows: boolean,
    syscall: string,
    options: CallOptions | undefined,
  ): Promise<VolumeStats> {
    const how: How = { follow: follows, last: 'ask' };
    const { iatt } = await this.#at(path, how, syscall, options, async (place) => place);
    return new VolumeStats(iatt!);
  }

  async #open(
    path: VolumePath,
    flags: number,
    mode: number,
    options: CallOptions | undefined,
    syscall: string,
    seen?: (iatt: Iatt | null) => void,
  ): Promise<FileHandle> {
    if (flags & unsupportedFlags) throw fsError(Errno.EOPNOTSUPP, syscall, { path: pathText(path) });
    const creates = (flags & O.create) !== 0;
    const exclusive = creates && (flags & O.exclusive) !== 0;
    const how: How = {
      follow: !exclusive && (flags & O.noFollow) === 0,
      last: exclusive ? 'ask' : 'believe',
      missing: creates,
    };
    for (let attempt = 0; ; attempt++) {
      let isNew = false;
      const opened = await this.#at(path, how, syscall, options, async (place) => {
        isNew = place.file === null;
        if (isNew) return this.#create(place, flags, mode, options);
        const errno = openProblem(place, flags);
        if (errno !== 0) return fails(errno) as never;
        const { gfid, type } = place.file!;
        if (type === FileType.directory) return this.#client.openDirectory(this.#who, gfid, options);
        const reply = await this.#client.openFile(this.#who, gfid, flags, options);
        return reply.ok && place.iatt && !reply.iatt ? { ...reply, iatt: place.iatt } : reply;
      }).catch((error: NodeJS.ErrnoException) => {
        // Somebody made it between our look and our making.
        if (error.code === 'EEXIST' && isNew && !exclusive && attempt < 10) return null;
        throw error;
      });
      if (!opened) continue;
      seen?.(opened.iatt);
      const handle = new FileHandle(opened.file, flags, pathText(path));
      if (!isNew && flags & O.truncate && canWrite(flags))
        await closedIfFails(handle, () => handle.truncate(0, options));
      return handle;
    }
  }

  #create({ parent, name, directory }: Place, flags: number, mode: number, options: CallOptions | undefined) {
    if (directory || parent === null) return Promise.resolve(fails(Errno.EISDIR));
    const made = { flags: flags & ~O.noFollow, mode: mode & ~this.#settings.umask, gfid: this.#newGfid() };
    this.#client.forgetName(parent, name);
    return this.#client.opening(this.#who, options, async (top, call) => {
      const reply = await createFile(top, call, parent, name, made);
      if (!reply.ok) return reply as Failure;
      const { gfid, type } = reply.iatt;
      this.#cache.remember(parent, name, { gfid, type });
      return { ok: true, fd: reply.fd, directory: false, iatt: reply.iatt };
    });
  }

  async #put(
    path: VolumePath,
    data: Contents,
    options: WriteFileOptions | BufferEncoding | null | undefined,
    flag: string,
  ): Promise<void> {
    const given: WriteFileOptions = typeof options === 'string' ? { encoding: options } : (options ?? {});
    await this.#op('open', path, async () => {
      const flags = openFlags(given.flag ?? flag);
      const handle = await this.#open(path, flags, modeOf(given.mode, 0o666), given, 'open');
      await closedIfFails(handle, async () => {
        await handle.writeFile(data, given);
        if (given.flush) await handle.sync(given);
      });
      await handle.close();
    });
  }

  async #mkdir(path: VolumePath, mode: number, options: CallOptions | undefined): Promise<void> {
    await this.#at(path, byName, 'mkdir', options, async ({ parent, name }) => {
      if (parent === null) return fails(Errno.EEXIST);
      const gfid = this.#newGfid();
      this.#client.forgetName(parent, name);
      const args = { loc: locAt(parent, name, gfid), mode, gfid };
      const reply = await this.#run<Reply<'mkdir'>>(options, (top, call) => top.mkdir(call, args));
      if (reply.ok) this.#cache.remember(parent, name, { gfid: reply.iatt.gfid, type: FileType.directory });
      return reply;
    });
  }

  /** From the end of the path: what is there already is the rule. */
  async #mkdirs(path: VolumePath, mode: number, options: CallOptions): Promise<string | undefined> {
    const text = pathText(path).replace(/(?<=.)\/+$/, '');
    try {
      await this.#mkdir(text, mode, options);
      return text;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') {
        const parent = text.slice(0, Math.max(0, text.lastIndexOf('/')));
        if (parent === '' || parent === text) throw error;
        const first = await this.#mkdirs(parent, mode, options);
        return (await this.#mkdirs(text, mode, options)) === undefined ? first : (first ?? text);
      }
      const isThere = code === 'EEXIST' && (await this.#stat(text, true, 'mkdir', options)).isDirectory();
      if (isThere) return undefined;
      throw error;
    }
  }

  async #link({ file }: Place, { parent, name, directory }: Place, options?: CallOptions): Promise<Outcome> {
    if (parent === null) return fails(Errno.EEXIST);
    if (directory) return fails(Errno.ENOENT);
    if (file!.type === FileType.directory) return fails(Errno.EPERM);
    this.#client.forgetName(parent, name);
    const { gfid } = file!;
    return this.#run(options, (top, call) => top.link(call, { from: locOf(gfid), to: locAt(parent, name, gfid) }));
  }

  async #isDirectory({ parent, name }: Place, options: CallOptions | undefined): Promise<boolean> {
    if (parent === null) return true;
    const reply = await this.#run(options, (top, call) => top.lookup(call, { loc: locAt(parent, name) }));
    return !reply.ok || reply.iatt.type === FileType.directory;
  }

  async #setattr(
    path: VolumePath,
    how: How,
    attr: AttrChange,
    syscall: string,
    options: CallOptions | undefined,
  ): Promise<Iatt | undefined> {
    if (Object.keys(attr).length === 0) return void (await this.#stat(path, how.follow, syscall, options));
    const { post } = await this.#at(path, how, syscall, options, async ({ file }) =>
      this.#run(options, (top, call) => top.setattr(call, { loc: locOf(file!.gfid), attr })),
    );
    return post;
  }

  async #chown(
    path: VolumePath,
    uid: number,
    gid: number,
    how: How,
    syscall: string,
    options?: CallOptions,
  ): Promise<void> {
    const attr = ownerOf(uid, gid);
    await this.#op(syscall, path, async () => {
      const post = await this.#setattr(path, how, attr, syscall, options);
      // Whoever gives a file away, its privileges go.
      if (post && mustKill({ ...this.#who, uid: -1 }, post)) await killPrivileges(this.#client, this.#who, post);
    });
  }

  async #changeXattr(
    path: VolumePath,
    name: string,
    syscall: string,
    options: CallOptions & { follow?: boolean },
    work: (gfid: Gfid) => Promise<Outcome>,
  ): Promise<void> {
    await this.#op(syscall, path, async () => {
      await this.#at(path, options.follow === false ? asLink : follow, syscall, options, async ({ file }) => {
        const errno = xattrProblem(byteString(name), this.#who.uid, file!.type, true);
        return errno === 0 ? work(file!.gfid) : (fails(errno) as Outcome);
      });
    });
  }

  async #openDirectory(path: VolumePath, syscall: string, options: CallOptions | undefined) {
    return this.#at(path, follow, syscall, options, async ({ file }) =>
      file!.type === FileType.directory
        ? this.#client.openDirectory(this.#who, file!.gfid, options)
        : (fails(Errno.ENOTDIR) as never),
    );
  }

  /** What is listed, `below` being the way from the top; directories before what they hold. */
  async *#list(path: VolumePath, options: ReaddirOptions, below: ByteString = ''): AsyncGenerator<Listed> {
    const at = below === '' ? path : Buffer.from(`${pathBytes(path)}/${below}`, 'latin1');
    const { file } = await this.#openDirectory(at, 'scandir', options);
    const folders: ByteString[] = [];
    try {
      for await (const entry of entriesOf(file, 'scandir', pathText(path), options)) {
        const isAsked = options.withFileTypes || options.recursive;
        const type = isAsked ? await typeOf(this.#client, this.#who, file, entry) : FileType.unknown;
        if (options.recursive && type === FileType.directory) folders.push(entry.name);
        yield { entry, type, below };
      }
    } finally {
      await file.close();
    }
    for (const name of folders) yield* this.#list(path, options, below === '' ? name : `${below}/${name}`);
  }

  #newGfid(): Gfid {
    return newGfid(this.#client.services.random);
  }

  #suffix(): string {
    const { random } = this.#client.services;
    return Array.from({ length: 6 }, () => suffixLetters[random.integer(suffixLetters.length)]).join('');
  }
}

interface Listed {
  entry: Dirent;
  type: number;
  below: ByteString;
}

const fails = (errno: number): { ok: false; errno: Errno } => ({ ok: false, errno: errno as Errno });

function openProblem({ file, directory }: Place, flags: number): number {
  const { type } = file!;
  const exclusive = O.create | O.exclusive;
  if ((flags & exclusive) === exclusive) return Errno.EEXIST;
  if (type === FileType.symlink) return Errno.ELOOP;
  if (type === FileType.directory) return flags & O.create || canWrite(flags) ? Errno.EISDIR : 0;
  if (directory || flags & O.directory) return Errno.ENOTDIR;
  // Pipes, sockets and devices are their machine's, not the volume's.
  return type === FileType.regular ? 0 : Errno.ENXIO;
}

async function closedIfFails(handle: FileHandle, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}

async function copyData(source: FileHandle, target: FileHandle, options: CallOptions | undefined): Promise<void> {
  const piece = 1 << 20;
  for (let at = 0; ; ) {
    let count: number;
    try {
      count = await source.copyRangeTo(target, at, at, 64 * piece, options);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EOPNOTSUPP', 'EXDEV', 'EINVAL'].includes(code)) throw error;
      const { bytesRead, buffer } = await source.read({
        buffer: Buffer.allocUnsafeSlow(piece),
        position: at,
        ...options,
      });
      count = bytesRead;
      if (count > 0) await target.writeFile(buffer.subarray(0, count), options);
    }
    if (count === 0) return;
    at += count;
  }
}

function directoryError(path: string): Error {
  const error: NodeJS.ErrnoException = new Error(`Path is a directory: rm returned EISDIR (is a directory) ${path}`);
  error.code = 'ERR_FS_EISDIR';
  error.errno = Errno.EISDIR;
  error.syscall = 'rm';
  error.path = path;
  return error;
}
