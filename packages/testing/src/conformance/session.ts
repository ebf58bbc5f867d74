/** A client of a stack under test: fops with the arguments that do not matter left out. */
import {
  type Args,
  type Call,
  Errno,
  errnoName,
  Fd,
  type FopName,
  type Fops,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  newGfid,
  type Reply,
  rootCall,
  rootGfid,
  type Services,
  type Subvolume,
  type Success,
  type Xattrs,
} from '@mortar/core';
import { expect } from 'vitest';

/** What a suite runs over. */
export interface Stack {
  ops: Subvolume;
  services: Services;
  close(): Promise<void>;
}

export type MakeStack = () => Promise<Stack>;

const O_RDWR = 2;
const O_EXCL = 0o200;
const O_CREAT = 0o100;

/** The reply as a success; else the test fails with the name of the errno. */
export function ok<N extends FopName>(reply: Reply<N>): Success<N> {
  if (!reply.ok) throw new Error(`expected success, got ${errnoName(reply.errno)}`);
  return reply as Success<N>;
}

/** Expects the failure `errno`. */
export function refuses(reply: Reply<FopName>, errno: Errno): void {
  expect(reply.ok ? 'ok' : errnoName(reply.errno)).toBe(errnoName(errno));
}

export class Session {
  readonly ops: Fops;
  readonly services: Services;
  #seconds = 0;

  constructor(stack: Stack) {
    this.ops = stack.ops;
    this.services = stack.services;
  }

  /** A call by root, each a second later than the one before. */
  call(more: Partial<Call> = {}): Call {
    const call = rootCall(this.services.clock);
    const time = { sec: call.time.sec + ++this.#seconds, nsec: call.time.nsec };
    return { ...call, clientId: 'conformance', lockOwner: '01', time, ...more };
  }

  gfid(): Gfid {
    return newGfid(this.services.random);
  }

  mkdir(parent: Gfid, name: string, mode = 0o755, more: Partial<Call> = {}): Promise<Reply<'mkdir'>> {
    return this.ops.mkdir(this.call(more), { loc: locAt(parent, name), mode, gfid: this.gfid() });
  }

  async directory(parent: Gfid, name: string): Promise<Gfid> {
    return ok(await this.mkdir(parent, name)).iatt.gfid;
  }

  /** Makes a file and leaves it open. */
  async create(parent: Gfid, name: string, mode = 0o644, more: Partial<Call> = {}): Promise<Fd> {
    const gfid = this.gfid();
    const fd = new Fd(gfid, O_RDWR);
    const flags = O_RDWR | O_CREAT | O_EXCL;
    ok(await this.ops.create(this.call(more), { loc: locAt(parent, name, gfid), flags, mode, gfid, fd }));
    return fd;
  }

  /** Makes a file with contents; closed again. */
  async file(parent: Gfid, name: string, contents = ''): Promise<Gfid> {
    const fd = await this.create(parent, name);
    if (contents !== '') await this.write(fd, 0, contents);
    fd.release();
    return fd.gfid;
  }

  mknod(parent: Gfid, name: string, mode: number, more: Partial<Args<'mknod'>> = {}): Promise<Reply<'mknod'>> {
    const args = { loc: locAt(parent, name), mode, rdevMajor: 0, rdevMinor: 0, gfid: this.gfid(), ...more };
    return this.ops.mknod(this.call(), args);
  }

  symlink(parent: Gfid, name: string, target: string): Promise<Reply<'symlink'>> {
    return this.ops.symlink(this.call(), { loc: locAt(parent, name), target, gfid: this.gfid() });
  }

  lookup(parent: Gfid, name: string, want: string[] = []): Promise<Reply<'lookup'>> {
    return this.ops.lookup(this.call(), { loc: locAt(parent, name), want });
  }

  async iatt(parent: Gfid, name: string): Promise<Iatt> {
    return ok(await this.lookup(parent, name)).iatt;
  }

  async stat(gfid: Gfid): Promise<Iatt> {
    return ok(await this.ops.stat(this.call(), { loc: locOf(gfid) })).iatt;
  }

  unlink(parent: Gfid, name: string): Promise<Reply<'unlink'>> {
    return this.ops.unlink(this.call(), { loc: locAt(parent, name) });
  }

  rmdir(parent: Gfid, name: string, recursive = false): Promise<Reply<'rmdir'>> {
    return this.ops.rmdir(this.call(), { loc: locAt(parent, name), recursive });
  }

  /** As a real client does: looks both names up first. */
  async rename(from: [Gfid, string], to: [Gfid, string], flags = 0): Promise<Reply<'rename'>> {
    const locs = await Promise.all(
      [from, to].map(async ([parent, name]) => {
        const found = await this.lookup(parent, name);
        return locAt(parent, name, found.ok ? found.iatt.gfid : null);
      }),
    );
    return this.ops.rename(this.call(), { from: locs[0]!, to: locs[1]!, flags });
  }

  link(gfid: Gfid, parent: Gfid, name: string): Promise<Reply<'link'>> {
    return this.ops.link(this.call(), { from: locOf(gfid), to: locAt(parent, name, gfid) });
  }

  async open(gfid: Gfid, flags = O_RDWR): Promise<Fd> {
    const fd = new Fd(gfid, flags);
    ok(await this.ops.open(this.call(), { loc: locOf(gfid), flags, fd }));
    return fd;
  }

  async write(fd: Fd, offset: number, contents: string | Uint8Array): Promise<Success<'writev'>> {
    const data = typeof contents === 'string' ? Buffer.from(contents, 'latin1') : contents;
    const reply = ok(await this.ops.writev(this.call(), { fd, offset, data }));
    expect(reply.written).toBe(data.length);
    return reply;
  }

  async read(fd: Fd, offset: number, size: number): Promise<string> {
    const { data } = ok(await this.ops.readv(this.call(), { fd, offset, size }));
    return Buffer.from(data).toString('latin1');
  }

  /** The whole contents of a small file. */
  async contents(parent: Gfid, name: string): Promise<string> {
    const { gfid } = await this.iatt(parent, name);
    const fd = await this.open(gfid, 0);
    const text = await this.read(fd, 0, 65536);
    fd.release();
    return text;
  }

  async opendir(gfid: Gfid): Promise<Fd> {
    const fd = new Fd(gfid, 0);
    ok(await this.ops.opendir(this.call(), { loc: locOf(gfid), fd }));
    return fd;
  }

  /** All names but `.` and `..`, in the order of the listing, in replies of `size` bytes. */
  async names(gfid: Gfid, size = 4096): Promise<string[]> {
    const fd = await this.opendir(gfid);
    const names: string[] = [];
    for (let offset = 0, end = false; !end; ) {
      const page = ok(await this.ops.readdir(this.call(), { fd, size, offset }));
      names.push(...page.entries.map((entry) => entry.name));
      offset = page.entries.at(-1)?.offset ?? offset;
      end = page.end || page.entries.length === 0;
    }
    fd.release();
    return names.filter((name) => name !== '.' && name !== '..');
  }

  setxattr(gfid: Gfid, xattrs: Xattrs, flags = 0): Promise<Reply<'setxattr'>> {
    return this.ops.setxattr(this.call(), { loc: locOf(gfid), xattrs, flags });
  }

  getxattr(gfid: Gfid, name?: string): Promise<Reply<'getxattr'>> {
    return this.ops.getxattr(this.call(), name === undefined ? { loc: locOf(gfid) } : { loc: locOf(gfid), name });
  }

  removexattr(gfid: Gfid, name: string): Promise<Reply<'removexattr'>> {
    return this.ops.removexattr(this.call(), { loc: locOf(gfid), name });
  }

  setattr(gfid: Gfid, attr: Args<'setattr'>['attr']): Promise<Reply<'setattr'>> {
    return this.ops.setattr(this.call(), { loc: locOf(gfid), attr });
  }
}

export const root = rootGfid;
export { Errno };
