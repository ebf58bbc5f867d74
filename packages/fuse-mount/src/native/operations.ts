/** The callbacks of fuse-native, as fops. Its limits: docs/fuse-native.md. */
import {
  byteString,
  type Call,
  Errno,
  Fd,
  type Fops,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  newGfid,
  type Services,
  statMode,
} from '@mortar/core';
import { decodeDevice, OpenFlag } from '../protocol/index.ts';
import { safeErrno } from '../session/ask.ts';
import { find, must, place, Refused, textOf } from './paths.ts';

/** A result and up to two values; a count where the package wants one. */
type Callback = (result: number, ...values: unknown[]) => void;
export type Operations = Readonly<Record<string, (...args: never[]) => void>>;

interface Handle {
  readonly gfid: Gfid;
  readonly flags: number;
  fd: Fd;
  top: Fops;
}

export interface NativeFiles {
  readonly operations: Operations;
  readonly handles: number;
  readonly inFlight: number;
  readonly counts: Record<string, number>;
  /** Opens what is open on `top` too; resolves when the graph before is not used any more. */
  setTop(top: Fops): Promise<void>;
  end(): void;
}

const dateOf = (sec: number, nsec: number) => new Date(Math.max(0, sec * 1000 + nsec / 1e6));

/** Times before 1970 and numbers beyond 32 bits have no place in what the package passes on. */
function statOf(iatt: Iatt) {
  return {
    mode: statMode(iatt),
    nlink: iatt.nlink,
    uid: iatt.uid,
    gid: iatt.gid,
    size: iatt.size,
    blocks: iatt.blocks,
    blksize: iatt.blockSize,
    dev: 0,
    rdev: 0,
    ino: 0,
    atime: dateOf(iatt.atime, iatt.atimeNsec),
    mtime: dateOf(iatt.mtime, iatt.mtimeNsec),
    ctime: dateOf(iatt.ctime, iatt.ctimeNsec),
  };
}

export function nativeFiles(services: Services, first: Fops | undefined): NativeFiles {
  let top = first;
  let nextFd = 1;
  const handles = new Map<number, Handle>();
  const active = new Set<Promise<void>>();
  const counts: Record<string, number> = {};
  const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

  /** The package does not say who asks: everything is done in the name of who mounted. */
  const call = (): Call => ({ ...me, groups: [], pid: 0, lockOwner: '', clientId: '', time: services.clock.wall() });
  const serving = (): Fops => {
    if (!top) throw new Refused(Errno.ENOTCONN);
    return top;
  };

  async function reopen(handle: Handle, target: Fops): Promise<void> {
    if (handle.top === target) return;
    const fd = new Fd(handle.gfid, handle.flags);
    must(await target.open(call(), { loc: locOf(handle.gfid), flags: handle.flags, fd }));
    handle.fd.release();
    handle.fd = fd;
    handle.top = target;
  }

  async function use(number: number): Promise<Handle> {
    const handle = handles.get(number);
    if (!handle) throw new Refused(Errno.EBADF);
    await reopen(handle, serving());
    return handle;
  }

  function keep(gfid: Gfid, flags: number, fd: Fd, on: Fops): number {
    const number = nextFd++ & 0x7fffffff;
    handles.set(number, { gfid, flags, fd, top: on });
    return number;
  }

  /** Runs an operation whose last argument is the callback; `run` gives what the callback gets behind the 0. */
  const op =
    <A extends unknown[]>(name: string, run: (...args: A) => Promise<unknown[] | number | undefined>) =>
    (...args: [...A, Callback]) => {
      const done = args.pop() as Callback;
      counts[name] = (counts[name] ?? 0) + 1;
      const work = run(...(args as unknown as A)).then(
        (result) => (typeof result === 'number' ? done(result) : done(0, ...(result ?? []))),
        (error: unknown) => {
          if (!(error instanceof Refused)) services.log.write('ERROR', 'fuse-native', `${name}: ${String(error)}`);
          done(-(error instanceof Refused ? safeErrno(error.errno) : Errno.EIO));
        },
      );
      active.add(work);
      void work.then(() => active.delete(work));
    };

  const found = (path: string) => find(serving(), call(), path);
  const change = async (path: string, attr: { mode?: number; uid?: number; gid?: number }) => {
    const { gfid } = await found(path);
    must(await serving().setattr(call(), { loc: locOf(gfid), attr }));
    return [];
  };

  const operations = {
    getattr: op('getattr', async (path: string) => [statOf(await found(path))]),
    fgetattr: op('fgetattr', async (_path: string, number: number) => {
      const { fd, top: on } = await use(number);
      return [statOf(must(await on.fstat(call(), { fd })).iatt)];
    }),
    readdir: op('readdir', async (path: string) => {
      const { gfid } = await found(path);
      const fd = new Fd(gfid, 0);
      const names: string[] = [];
      try {
        must(await serving().opendir(call(), { loc: locOf(gfid), fd }));
        for (let offset = 0, end = false; !end; ) {
          const page = must(await serving().readdir(call(), { fd, size: 65_536, offset }));
          for (const { name } of page.entries) names.push(...shown(name));
          const last = page.entries.at(-1);
          end = page.end || last === undefined || last.offset === offset;
          offset = last?.offset ?? offset;
        }
      } finally {
        fd.release();
      }
      return [names];
    }),
    readlink: op('readlink', async (path: string) => {
      const { target } = must(await serving().readlink(call(), { loc: locOf((await found(path)).gfid) }));
      const text = textOf(target);
      if (text === undefined) throw new Refused(Errno.EIO);
      return [text];
    }),
    chmod: op('chmod', (path: string, mode: number) => change(path, { mode: mode & 0o7777 })),
    chown: op('chown', (path: string, uid: number, gid: number) =>
      change(path, { ...(uid >>> 0 === 0xffffffff ? {} : { uid }), ...(gid >>> 0 === 0xffffffff ? {} : { gid }) }),
    ),
    // The package hands the time of access on in the place of both.
    utimens: op('utimens', async (_path: string, _atime: number, _mtime: number) => -Errno.EOPNOTSUPP),
    open: op('open', async (path: string, given: number) => {
      const { gfid } = await found(path);
      const flags = given & ~(OpenFlag.create | OpenFlag.exclusive | OpenFlag.truncate);
      const fd = new Fd(gfid, flags);
      const on = serving();
      must(await on.open(call(), { loc: locOf(gfid), flags, fd }));
      if (given & OpenFlag.truncate) must(await on.ftruncate(call(), { fd, size: 0 }));
      return [keep(gfid, flags, fd, on)];
    }),
    // Always exclusive: the package does not pass the flags on, and a file of somebody else must not be taken for one's own.
    create: op('create', async (path: string, mode: number) => {
      const { parent, name } = await place(serving(), call(), path);
      const gfid = newGfid(services.random);
      const on = serving();
      const flags = 2;
      const fd = new Fd(gfid, flags);
      const loc = locAt(parent, name, gfid);
      const created = flags | OpenFlag.create | OpenFlag.exclusive;
      must(await on.create(call(), { loc, flags: created, mode: mode & 0o7777, gfid, fd }));
      return [keep(gfid, flags, fd, on)];
    }),
    read: op('read', async (_path: string, number: number, into: Buffer, size: number, offset: number) => {
      const { fd, top: on } = await use(number);
      const { data } = must(await on.readv(call(), { fd, size, offset }));
      into.set(data.subarray(0, size));
      return Math.min(size, data.length);
    }),
    write: op('write', async (_path: string, number: number, from: Buffer, size: number, offset: number) => {
      const { fd, flags, top: on } = await use(number);
      const data = Buffer.from(from.subarray(0, size));
      const append = flags & OpenFlag.append ? { append: true } : {};
      return must(await on.writev(call(), { fd, offset, data, ...append })).written;
    }),
    flush: op('flush', async (_path: string, number: number) => {
      const { fd, top: on } = await use(number);
      must(await on.flush(call(), { fd }));
      return [];
    }),
    fsync: op('fsync', async (_path: string, dataOnly: number, number: number) => {
      const { fd, top: on } = await use(number);
      must(await on.fsync(call(), { fd, dataOnly: dataOnly !== 0 }));
      return [];
    }),
    release: op('release', async (_path: string, number: number) => {
      handles.get(number)?.fd.release();
      handles.delete(number);
      return [];
    }),
    truncate: op('truncate', async (path: string, size: number) => {
      must(await serving().truncate(call(), { loc: locOf((await found(path)).gfid), size }));
      return [];
    }),
    ftruncate: op('ftruncate', async (_path: string, number: number, size: number) => {
      const { fd, top: on } = await use(number);
      must(await on.ftruncate(call(), { fd, size }));
      return [];
    }),
    mknod: op('mknod', async (path: string, mode: number, device: number) => {
      const { parent, name } = await place(serving(), call(), path);
      const { major, minor } = decodeDevice(device);
      const gfid = newGfid(services.random);
      const loc = locAt(parent, name, gfid);
      must(await serving().mknod(call(), { loc, mode, rdevMajor: major, rdevMinor: minor, gfid }));
      return [];
    }),
    mkdir: op('mkdir', async (path: string, mode: number) => {
      const { parent, name } = await place(serving(), call(), path);
      const gfid = newGfid(services.random);
      must(await serving().mkdir(call(), { loc: locAt(parent, name, gfid), mode: mode & 0o7777, gfid }));
      return [];
    }),
    symlink: op('symlink', async (target: string, path: string) => {
      if (target.includes('\ufffd')) throw new Refused(Errno.EINVAL);
      const { parent, name } = await place(serving(), call(), path);
      const gfid = newGfid(services.random);
      const loc = locAt(parent, name, gfid);
      must(await serving().symlink(call(), { loc, target: byteString(target), gfid }));
      return [];
    }),
    link: op('link', async (from: string, to: string) => {
      const { gfid } = await found(from);
      const { parent, name } = await place(serving(), call(), to);
      must(await serving().link(call(), { from: locOf(gfid), to: locAt(parent, name, gfid) }));
      return [];
    }),
    unlink: op('unlink', async (path: string) => {
      const { parent, name } = await place(serving(), call(), path);
      must(await serving().unlink(call(), { loc: locAt(parent, name) }));
      return [];
    }),
    rmdir: op('rmdir', async (path: string) => {
      const { parent, name } = await place(serving(), call(), path);
      must(await serving().rmdir(call(), { loc: locAt(parent, name), recursive: false }));
      return [];
    }),
    rename: op('rename', async (from: string, to: string) => {
      const source = await place(serving(), call(), from);
      const target = await place(serving(), call(), to);
      const [at, there] = [locAt(source.parent, source.name), locAt(target.parent, target.name)];
      must(await serving().rename(call(), { from: at, to: there, flags: 0 }));
      return [];
    }),
    statfs: op('statfs', async (path: string) => {
      const { statfs } = must(await serving().statfs(call(), { loc: locOf((await found(path)).gfid) }));
      // 32 bits for each number: larger units, until they fit.
      let unit = 1;
      while (statfs.blocks / unit >= 2 ** 32) unit *= 2;
      const blocks = (count: number) => Math.floor(count / unit);
      const small = (count: number) => Math.min(count, 2 ** 32 - 1);
      return [
        {
          bsize: statfs.blockSize,
          frsize: statfs.fragmentSize * unit,
          blocks: blocks(statfs.blocks),
          bfree: blocks(statfs.blocksFree),
          bavail: blocks(statfs.blocksAvailable),
          files: small(statfs.files),
          ffree: small(statfs.filesFree),
          favail: small(statfs.filesAvailable),
          fsid: 0,
          flag: 0,
          namemax: statfs.nameMax,
        },
      ];
    }),
  };

  /** A name that is no text cannot be shown, nor asked for. */
  function shown(name: string): string[] {
    const text = textOf(name);
    return text === undefined ? [] : [text];
  }

  return {
    operations: operations as unknown as Operations,
    counts,
    get handles() {
      return handles.size;
    },
    get inFlight() {
      return active.size;
    },
    async setTop(next) {
      const before = [...active];
      top = next;
      await Promise.allSettled(before);
      for (const handle of handles.values()) await reopen(handle, next).catch(() => undefined);
    },
    end() {
      for (const { fd } of handles.values()) fd.release();
      handles.clear();
    },
  };
}
