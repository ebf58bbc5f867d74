/** A volume in somebody's name, shaped like node:fs/promises. */
import { byteString, Errno, FileType, type Iatt, locAt, locOf, pathMaxBytes } from '@mortar/core';
import { type BytesLike, bytesOf, type Contents } from './arguments.ts';
import { changeAttributes } from './attributes.ts';
import type { CallOptions } from './client.ts';
import { copyPath } from './copying.ts';
import { VolumeDir } from './directory.ts';
import { fsError } from './errors.ts';
import type { FileHandle } from './file-handle.ts';
import { modeOf, type OpenFlags, openFlags } from './flags.ts';
import { GraphDoor } from './graph-door.ts';
import { ownerOf } from './handle-attributes.ts';
import { listBelow, type ReaddirOptions } from './listing.ts';
import { linkPlaces, makeDirectories, makeDirectory, renamePath, suffix } from './making.ts';
import { checkedOffset } from './offsets.ts';
import { openDirectory, openPath, putContents, type WriteFileOptions } from './opening.ts';
import { getXattr, listXattrs, removeXattr, setXattr, type XattrOptions } from './path-xattrs.ts';
import { type NameEncoding, nameAs, pathBytes, pathText, type VolumePath } from './paths.ts';
import { asLink, byName, fails, follow, Places, type PlacesOptions } from './places.ts';
import { killPrivileges, mustKill } from './privileges.ts';
import { directoryError, removeTree } from './remove.ts';
import { statFsOf, VolumeDirent, type VolumeStatFs, type VolumeStats } from './stats.ts';
import { type Time, timespecOf } from './times.ts';
import type { How } from './walk.ts';
import type { SetXattrOptions } from './xattrs.ts';

export interface VolumeSettings extends PlacesOptions {
  /** Ends the client; absent for a volume in another's name. */
  readonly end?: () => Promise<void>;
}

export type MkdirOptions = CallOptions & { recursive?: boolean; mode?: number | string };
export type RmOptions = CallOptions & { force?: boolean; recursive?: boolean };

export class Volume implements AsyncDisposable {
  /** Fops by gfid, for services. */
  readonly graph: GraphDoor;
  readonly #settings: VolumeSettings;
  readonly #places: Places;

  constructor(settings: VolumeSettings) {
    const { client, who, root } = settings;
    this.#settings = settings;
    this.#places = new Places(settings);
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
    return this.#op('open', path, () => openPath(this.#places, path, wanted, modeOf(mode, 0o666), options, 'open'));
  }

  async stat(path: VolumePath, options?: CallOptions): Promise<VolumeStats> {
    return this.#op('stat', path, () => this.#places.stat(path, true, 'stat', options));
  }

  async lstat(path: VolumePath, options?: CallOptions): Promise<VolumeStats> {
    return this.#op('lstat', path, () => this.#places.stat(path, false, 'lstat', options));
  }

  async access(path: VolumePath, mode = 0, options?: CallOptions): Promise<void> {
    await this.#op('access', path, async () => {
      const how: How = { follow: true, last: mode === 0 ? 'ask' : 'believe' };
      await this.#places.at(path, how, 'access', options, async ({ file }) =>
        mode === 0
          ? { ok: true }
          : this.#places.run(options, (top, call) => top.access(call, { loc: locOf(file!.gfid), mask: mode & 7 })),
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
      const handle = await openPath(this.#places, path, openFlags(given.flag ?? 'r'), 0o666, given, 'open', seen);
      try {
        const bytes = await handle.readAll(size, given);
        return given.encoding ? bytes.toString(given.encoding) : bytes;
      } finally {
        await handle.close();
      }
    });
  }

  async writeFile(path: VolumePath, data: Contents, options?: WriteFileOptions | BufferEncoding | null): Promise<void> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {});
    await this.#op('open', path, () => putContents(this.#places, path, data, given, 'w'));
  }

  async appendFile(
    path: VolumePath,
    data: Contents,
    options?: WriteFileOptions | BufferEncoding | null,
  ): Promise<void> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {});
    await this.#op('open', path, () => putContents(this.#places, path, data, given, 'a'));
  }

  async truncate(path: VolumePath, length = 0, options?: CallOptions): Promise<void> {
    const size = checkedOffset(length, 'length');
    await this.#op('truncate', path, async () => {
      const { post } = await this.#places.at(path, follow, 'truncate', options, async ({ file }) => {
        if (file!.type === FileType.directory) return fails(Errno.EISDIR);
        if (file!.type !== FileType.regular) return fails(Errno.EINVAL);
        return this.#places.run(options, (top, call) => top.truncate(call, { loc: locOf(file!.gfid), size }));
      });
      if (mustKill(this.#places.who, post)) await killPrivileges(this.#places.client, this.#places.who, post);
    });
  }

  /** With `recursive`: the first directory that was made, or undefined. */
  async mkdir(path: VolumePath, options?: MkdirOptions | number | string | null): Promise<string | undefined> {
    const given = typeof options === 'object' && options !== null ? options : { mode: options ?? 0o777 };
    const mode = modeOf(given.mode, 0o777) & ~this.#places.umask;
    return this.#op('mkdir', path, async () => {
      if (given.recursive) return makeDirectories(this.#places, path, mode, given);
      await makeDirectory(this.#places, path, mode, given);
      return undefined;
    });
  }

  async mkdtemp(prefix: string, options?: CallOptions): Promise<string> {
    return this.#op('mkdtemp', prefix, async () => {
      for (let attempt = 0; ; attempt++) {
        const path = `${prefix}${suffix(this.#places)}`;
        try {
          await makeDirectory(this.#places, path, 0o700, options);
          return path;
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 100) throw error;
        }
      }
    });
  }

  async rmdir(path: VolumePath, options?: CallOptions): Promise<void> {
    await this.#op('rmdir', path, async () => {
      await this.#places.at(path, byName, 'rmdir', options, async ({ parent, name }) => {
        if (parent === null) return fails(name === '.' ? Errno.EINVAL : name === '..' ? Errno.ENOTEMPTY : Errno.EBUSY);
        return this.#places.client.takingNames([{ parent, name }], () =>
          this.#places.run(options, (top, call) => top.rmdir(call, { loc: locAt(parent, name), recursive: false })),
        );
      });
    });
  }

  async unlink(path: VolumePath, options?: CallOptions): Promise<void> {
    await this.#op('unlink', path, async () => {
      const how: How = pathBytes(path).endsWith('/') ? { follow: false, last: 'ask' } : byName;
      await this.#places.at(path, how, 'unlink', options, async ({ parent, name, file }) => {
        if (parent === null || file?.type === FileType.directory) return fails(Errno.EISDIR);
        return this.#places.client.takingNames([{ parent, name }], () =>
          this.#places.run(options, (top, call) => top.unlink(call, { loc: locAt(parent, name) })),
        );
      });
    });
  }

  async rm(path: VolumePath, options: RmOptions = {}): Promise<void> {
    await this.#op('rm', path, async () => {
      const text = pathText(path);
      try {
        await this.#places.at(path, { follow: false, last: 'ask' }, 'rm', options, async ({ parent, name, file }) => {
          if (file!.type === FileType.directory && !options.recursive) throw directoryError(text);
          if (parent === null) return fails(name === '..' ? Errno.ENOTEMPTY : Errno.EBUSY);
          const job = { client: this.#places.client, who: this.#places.who, options };
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
    await this.#op('rename', from, () => renamePath(this.#places, from, to, options));
  }

  async link(existing: VolumePath, path: VolumePath, options?: CallOptions): Promise<void> {
    const place = { path: pathText(existing), dest: pathText(path) };
    await this.#op('link', existing, async () => {
      await this.#places.retried(place, 'link', async (trust) => {
        const source = await this.#places.walker.walk(pathBytes(existing), asLink, trust, options);
        if (!source.ok) return { reply: source, believed: source.believed };
        const target = await this.#places.walker.walk(pathBytes(path), byName, trust, options);
        if (!target.ok) return { reply: target, believed: target.believed || source.believed };
        return {
          reply: await linkPlaces(this.#places, source, target, options),
          believed: source.believed || target.believed,
        };
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
      await this.#places.at(path, byName, 'symlink', options, async ({ parent, name, directory }) => {
        if (parent === null) return fails(Errno.EEXIST);
        if (directory) return fails(Errno.ENOENT);
        const gfid = this.#places.newGfid();
        this.#places.client.forgetName(parent, name);
        const args = { loc: locAt(parent, name, gfid), target: bytes, gfid };
        return this.#places.run(options, (top, call) => top.symlink(call, args));
      });
    });
  }

  async readlink(path: VolumePath, options: CallOptions & { encoding?: NameEncoding } = {}): Promise<string | Buffer> {
    return this.#op('readlink', path, async () => {
      const { target } = await this.#places.at(path, asLink, 'readlink', options, async ({ file }) =>
        file!.type === FileType.symlink
          ? this.#places.run(options, (top, call) => top.readlink(call, { loc: locOf(file!.gfid) }))
          : fails(Errno.EINVAL),
      );
      return nameAs(target, options.encoding);
    });
  }

  async realpath(path: VolumePath, options: CallOptions & { encoding?: NameEncoding } = {}): Promise<string | Buffer> {
    return this.#op('realpath', path, async () => {
      const place = await this.#places.at(
        path,
        { follow: true, last: 'ask' },
        'realpath',
        options,
        async (found) => found,
      );
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
      for await (const { entry, type, below } of listBelow(this.#places, path, options)) {
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
      const { file } = await openDirectory(this.#places, path, 'opendir', options);
      return new VolumeDir(file, pathText(path), options.encoding, options);
    });
  }

  async chmod(path: VolumePath, mode: number | string, options?: CallOptions): Promise<void> {
    const attr = { mode: modeOf(mode, 0) };
    await this.#op('chmod', path, () => changeAttributes(this.#places, path, follow, attr, 'chmod', options));
  }

  async chown(path: VolumePath, uid: number, gid: number, options?: CallOptions): Promise<void> {
    await this.#chown(path, uid, gid, follow, 'chown', options);
  }

  async lchown(path: VolumePath, uid: number, gid: number, options?: CallOptions): Promise<void> {
    await this.#chown(path, uid, gid, asLink, 'lchown', options);
  }

  async utimes(path: VolumePath, atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#op('utime', path, () => changeAttributes(this.#places, path, follow, attr, 'utime', options));
  }

  async lutimes(path: VolumePath, atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#op('lutime', path, () => changeAttributes(this.#places, path, asLink, attr, 'lutime', options));
  }

  async copyFile(from: VolumePath, to: VolumePath, mode = 0, options?: CallOptions): Promise<void> {
    await this.#op('copyfile', from, () => copyPath(this.#places, from, to, mode, options));
  }

  async getxattr(path: VolumePath, name: string, options: XattrOptions = {}): Promise<Buffer> {
    return this.#op('getxattr', path, () => getXattr(this.#places, path, byteString(name), options));
  }

  async setxattr(
    path: VolumePath,
    name: string,
    value: BytesLike,
    options: XattrOptions & SetXattrOptions = {},
  ): Promise<void> {
    const bytes = Uint8Array.from(bytesOf(value, 'utf8'));
    await this.#op('setxattr', path, () => setXattr(this.#places, path, byteString(name), bytes, options));
  }

  async removexattr(path: VolumePath, name: string, options: XattrOptions = {}): Promise<void> {
    await this.#op('removexattr', path, () => removeXattr(this.#places, path, byteString(name), options));
  }

  async listxattr(path: VolumePath, options: XattrOptions = {}): Promise<string[]> {
    return this.#op('listxattr', path, () => listXattrs(this.#places, path, options));
  }

  async statfs(path: VolumePath = '/', options?: CallOptions): Promise<VolumeStatFs> {
    return this.#op('statfs', path, async () => {
      const { statfs } = await this.#places.at(path, follow, 'statfs', options, async ({ file }) =>
        this.#places.run(options, (top, call) => top.statfs(call, { loc: locOf(file!.gfid) })),
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
    return this.#places.client.operation(syscall, work);
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
      const post = await changeAttributes(this.#places, path, how, attr, syscall, options);
      // Whoever gives a file away, its privileges go.
      if (post && mustKill({ ...this.#places.who, uid: -1 }, post))
        await killPrivileges(this.#places.client, this.#places.who, post);
    });
  }
}
