/** An open file, as node's FileHandle. */
import {
  type AttrChange,
  type ByteString,
  byteString,
  Errno,
  type Failure,
  FileType,
  type Flock,
  freshBytes,
  type Gfid,
  type Iatt,
  type Reply,
} from '@mortar/core';
import { xattrMaxBytes } from '@mortar/host';
import {
  type BytesLike,
  bytesOf,
  type Contents,
  type ReadArguments,
  readArguments,
  writeArguments,
} from './arguments.ts';
import type { CallOptions, Client } from './client.ts';
import { argumentError, fsError, must } from './errors.ts';
import { canRead, canWrite, modeOf, O } from './flags.ts';
import type { GraphFile } from './graph-file.ts';
import { killPrivileges, mustKill } from './privileges.ts';
import { VolumeStats } from './stats.ts';
import { type Time, timespecOf } from './times.ts';
import { gathered, maxTransfer, readInto, writeFrom } from './transfer.ts';
import { type SetXattrOptions, shownNames, valueIn, xattrFlags, xattrProblem } from './xattrs.ts';

export interface Range {
  offset: number;
  length: number;
}

export interface LockOptions extends CallOptions {
  type: 'read' | 'write';
  start?: number;
  /** 0: to the end of the file. */
  length?: number;
  /** Waits until it is granted; else EAGAIN if someone else has it. */
  wait?: boolean;
  /** Hex text; who it belongs to. Absent: this handle. */
  owner?: string;
}

const largestOffset = Number.MAX_SAFE_INTEGER;

export class FileHandle implements AsyncDisposable {
  /** The file below: fops that answer with replies, and nothing copied. */
  readonly raw: GraphFile;
  readonly #client: Client;
  readonly #flags: number;
  readonly #path: string;
  #position = 0;
  /** The last of those who use the position. */
  #turn: Promise<unknown> = Promise.resolve();

  /** `flags`: as they were asked for; the file's own have no O_CREAT. */
  constructor(raw: GraphFile, flags: number, path: string) {
    this.raw = raw;
    this.#client = raw.client;
    this.#flags = flags;
    this.#path = path;
  }

  get gfid(): Gfid {
    return this.raw.gfid;
  }

  /** Into `buffer`, from `position` or where the handle stands (null, absent or negative). */
  async read(...args: ReadArguments): Promise<{ bytesRead: number; buffer: Uint8Array }> {
    const { into, buffer, position, options } = readArguments(args);
    this.#mayRead('read');
    const bytesRead = await this.#placed(position, (at) => this.#readAt(into, at, 'read', options));
    return { bytesRead, buffer };
  }

  async readv(
    buffers: readonly Uint8Array[],
    position?: number | null,
    options?: CallOptions,
  ): Promise<{ bytesRead: number; buffers: readonly Uint8Array[] }> {
    this.#mayRead('readv');
    const size = buffers.reduce((sum, { length }) => sum + length, 0);
    const bytesRead = await this.#placed(position, async (at) => {
      if (buffers.length === 1) return this.#readAt(buffers[0]!, at, 'readv', options);
      const all = freshBytes(size);
      const count = await this.#readAt(all, at, 'readv', options);
      let from = 0;
      for (const buffer of buffers) {
        buffer.set(all.subarray(from, Math.min(count, from + buffer.length)));
        from += buffer.length;
        if (from >= count) break;
      }
      return count;
    });
    return { bytesRead, buffers };
  }

  /** Bytes or text, at `position` or where the handle stands. */
  async write<T extends Uint8Array | string>(
    data: T,
    ...args: unknown[]
  ): Promise<{ bytesWritten: number; buffer: T }> {
    const { bytes, position, options } = writeArguments(data, args);
    this.#mayWrite('write');
    return { bytesWritten: await this.#write(bytes, position, 'write', options), buffer: data };
  }

  async writev(
    buffers: readonly Uint8Array[],
    position?: number | null,
    options?: CallOptions,
  ): Promise<{ bytesWritten: number; buffers: readonly Uint8Array[] }> {
    this.#mayWrite('writev');
    const bytesWritten = await this.#write(gathered(buffers), position ?? null, 'writev', options);
    return { bytesWritten, buffers };
  }

  /** From where the handle stands to the end. */
  async readFile(
    options?: (CallOptions & { encoding?: BufferEncoding | null }) | BufferEncoding | null,
  ): Promise<string | Buffer> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {});
    this.#mayRead('read');
    const whole = await this.#inTurn(async () => {
      const bytes = await this.#rest(this.#position, given);
      this.#position += bytes.length;
      return bytes;
    });
    return given.encoding ? whole.toString(given.encoding) : whole;
  }

  /** The whole of it, which was seen to be `size` long. */
  async readAll(size: number | null, options?: CallOptions): Promise<Buffer> {
    return this.#rest(0, options, size);
  }

  async writeFile(
    data: Contents,
    options?: (CallOptions & { encoding?: BufferEncoding | null }) | BufferEncoding | null,
  ): Promise<void> {
    const given = typeof options === 'string' ? { encoding: options } : (options ?? {});
    const encoding = given.encoding ?? 'utf8';
    this.#mayWrite('write');
    if (typeof data === 'string' || ArrayBuffer.isView(data)) return this.#writeAll(bytesOf(data, encoding), given);
    for await (const piece of data) await this.#writeAll(bytesOf(piece, encoding), given);
  }

  appendFile(
    data: Contents,
    options?: (CallOptions & { encoding?: BufferEncoding | null }) | BufferEncoding | null,
  ): Promise<void> {
    return this.writeFile(data, options);
  }

  async stat(options?: CallOptions): Promise<VolumeStats> {
    const reply = await this.raw.run((top, call, fd) => top.fstat(call, { fd }), options);
    return new VolumeStats(this.#must(reply, 'fstat').iatt);
  }

  async truncate(length = 0, options?: CallOptions): Promise<void> {
    if (!canWrite(this.#flags)) throw this.#error(Errno.EINVAL, 'ftruncate');
    const size = Math.max(0, checkedOffset(length, 'length'));
    const reply = await this.raw.run((top, call, fd) => top.ftruncate(call, { fd, size }), options);
    await this.#changed(this.#must(reply, 'ftruncate').post);
  }

  async sync(options?: CallOptions): Promise<void> {
    this.#must(await this.raw.fsync(false, options), 'fsync');
  }

  async datasync(options?: CallOptions): Promise<void> {
    this.#must(await this.raw.fsync(true, options), 'fdatasync');
  }

  /** Room on the disks for the range. `keepSize`: the file does not get longer by it. */
  async fallocate({ offset, length }: Range, options: CallOptions & { keepSize?: boolean } = {}): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const mode = options.keepSize ? 1 : 0;
    const reply = await this.raw.run((top, call, fd) => top.fallocate(call, { fd, mode, ...range }), options);
    await this.#changed(this.#must(reply, 'fallocate').post);
  }

  /** The range reads as zeros and takes no room; the size stays. */
  async punchHole({ offset, length }: Range, options?: CallOptions): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const reply = await this.raw.run((top, call, fd) => top.discard(call, { fd, ...range }), options);
    await this.#changed(this.#must(reply, 'fallocate').post);
  }

  /** The range reads as zeros; the file gets longer if it ends behind it. */
  async zeroRange({ offset, length }: Range, options?: CallOptions): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const reply = await this.raw.run((top, call, fd) => top.zerofill(call, { fd, ...range }), options);
    await this.#changed(this.#must(reply, 'fallocate').post);
  }

  /** Where data begins at or behind `offset`; null if there is none. */
  seekData(offset: number, options?: CallOptions): Promise<number | null> {
    return this.#seek(offset, 'data', options);
  }

  /** Where a hole begins at or behind `offset`: at the latest where the file ends; null behind that. */
  seekHole(offset: number, options?: CallOptions): Promise<number | null> {
    return this.#seek(offset, 'hole', options);
  }

  /** Copies on the bricks; gives the number of bytes, fewer at the end of this file. */
  async copyRangeTo(to: FileHandle, from: number, at: number, length: number, options?: CallOptions): Promise<number> {
    this.#mayRead('copy_file_range');
    to.#mayWrite('copy_file_range');
    const target = to.raw;
    const reply = await this.raw.run<Reply<'copy_file_range'> | Failure>(async (top, call, fd) => {
      const args = { from: fd, fromOffset: from, to: target.fd, toOffset: at, size: length };
      const isThere = target.graph === this.raw.graph && !target.isClosed;
      return isThere ? top.copy_file_range(call, args) : { ok: false, errno: Errno.EOPNOTSUPP };
    }, options);
    const { written, post } = this.#must(reply, 'copy_file_range');
    await to.#changed(post);
    return written;
  }

  async chmod(mode: number | string, options?: CallOptions): Promise<void> {
    await this.#setattr({ mode: modeOf(mode, 0) }, 'fchmod', options);
  }

  async chown(uid: number, gid: number, options?: CallOptions): Promise<void> {
    const post = await this.#setattr(ownerOf(uid, gid), 'fchown', options);
    if (post && mustKill({ ...this.raw.who, uid: -1 }, post))
      await killPrivileges(this.#client, this.raw.who, post, this.raw);
  }

  async utimes(atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#setattr(attr, 'futime', options);
  }

  async getxattr(name: string, options?: CallOptions): Promise<Buffer> {
    const key = this.#xattr(name, false, 'fgetxattr');
    const reply = await this.raw.run((top, call, fd) => top.fgetxattr(call, { fd, name: key }), options);
    const value = valueIn(this.#must(reply, 'fgetxattr').xattrs, key);
    if (typeof value === 'number') throw this.#error(value, 'fgetxattr');
    return Buffer.from(value);
  }

  async setxattr(name: string, value: BytesLike, options: CallOptions & SetXattrOptions = {}): Promise<void> {
    const key = this.#xattr(name, true, 'fsetxattr');
    const bytes = bytesOf(value, 'utf8');
    if (bytes.length > xattrMaxBytes) throw this.#error(Errno.E2BIG, 'fsetxattr');
    const args = { xattrs: { [key]: Uint8Array.from(bytes) }, flags: xattrFlags(options) };
    this.#must(await this.raw.run((top, call, fd) => top.fsetxattr(call, { fd, ...args }), options), 'fsetxattr');
  }

  async listxattr(options?: CallOptions): Promise<string[]> {
    const reply = await this.raw.run((top, call, fd) => top.fgetxattr(call, { fd }), options);
    return shownNames(this.#must(reply, 'flistxattr').xattrs, this.raw.who.uid).map(utf8);
  }

  async removexattr(name: string, options?: CallOptions): Promise<void> {
    const key = this.#xattr(name, true, 'fremovexattr');
    const reply = await this.raw.run((top, call, fd) => top.fremovexattr(call, { fd, name: key }), options);
    this.#must(reply, 'fremovexattr');
  }

  /** A lock on a range, of the family of fcntl(2)'s. Given back by `unlock`, and when the handle is closed. */
  async lock(options: LockOptions): Promise<void> {
    const flock = this.#flock(options, options.type);
    const mayNot = options.type === 'write' ? !canWrite(this.#flags) : !canRead(this.#flags);
    if (mayNot) throw this.#error(Errno.EBADF, 'fcntl');
    for (;;) {
      const { graph } = this.raw;
      const reply = await this.#lk(flock, options.wait ? 'wait' : 'set', options);
      this.#must(reply, 'fcntl');
      const { start, length, owner, pid } = flock;
      const end = length === 0 ? Number.POSITIVE_INFINITY : start + length;
      this.raw.lockTaken({ type: options.type, owner, start, end, pid });
      // The graph was replaced meanwhile: the lock must stand on the new one too.
      if (graph === this.raw.graph && graph === this.#client.files.graphs.current) return;
    }
  }

  async unlock(options: Omit<LockOptions, 'type' | 'wait'> = {}): Promise<void> {
    const flock = this.#flock(options, 'unlock');
    this.#must(await this.#lk(flock, 'set', options), 'fcntl');
    const end = flock.length === 0 ? Number.POSITIVE_INFINITY : flock.start + flock.length;
    this.raw.lockGiven(flock.owner, flock.start, end);
  }

  /** The lock that is in the way of such a one; null if none is. */
  async lockInTheWay(options: Omit<LockOptions, 'wait'>): Promise<Flock | null> {
    const { flock } = this.#must(await this.#lk(this.#flock(options, options.type), 'get', options), 'fcntl');
    return flock.type === 'unlock' ? null : flock;
  }

  /** After what is under way on it. Throws what a delayed write came to; it is closed all the same. */
  async close(options?: CallOptions): Promise<void> {
    must(await this.raw.close(options), 'close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Appends find the end themselves, and go in turn; others at a position or where the handle stands. */
  async #write(bytes: Uint8Array, position: number | null, syscall: string, options?: CallOptions): Promise<number> {
    if ((this.#flags & O.append) === 0)
      return this.#placed(position, (at) => this.#writeAt(bytes, at, syscall, options));
    return this.#inTurn(async () => {
      const { count, last } = await this.#send(bytes, 0, syscall, { ...options, append: true });
      if (last) this.#position = last.post.size;
      return count;
    });
  }

  async #writeAll(bytes: Uint8Array, options: CallOptions): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const count = await this.#write(bytes.subarray(at), null, 'write', options);
      if (count === 0) throw this.#error(Errno.EIO, 'write');
      at += count;
    }
  }

  async #writeAt(bytes: Uint8Array, at: number, syscall: string, options?: CallOptions): Promise<number> {
    if (!Number.isSafeInteger(at + bytes.length)) throw this.#error(Errno.EFBIG, syscall);
    const { count } = await this.#send(bytes, at, syscall, options);
    return count;
  }

  async #send(bytes: Uint8Array, at: number, syscall: string, how: CallOptions & { append?: boolean } = {}) {
    const sync = (this.#flags & (O.sync | O.dataSync)) !== 0;
    const sent = await writeFrom(this.raw, bytes, at, sync ? { ...how, sync } : how);
    const written = must(sent, syscall);
    if (written.last) await this.#changed(written.last.post);
    return written;
  }

  async #readAt(into: Uint8Array, at: number, syscall: string, options?: CallOptions): Promise<number> {
    if (into.length === 0) return 0;
    if (!Number.isSafeInteger(at + into.length)) throw this.#error(Errno.EFBIG, syscall);
    return must(await readInto(this.raw, into, at, options), syscall).count;
  }

  /** All from `at` on. A file that comes in one piece is that piece. */
  async #rest(at: number, options: CallOptions | undefined, size: number | null = null): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    let here = at;
    for (;;) {
      const want = Math.min(maxTransfer, Math.max(size === null ? 65536 : size - here, 4096));
      const reply = this.#must(await this.raw.readv(here, want, options), 'read');
      const data = reply.data.length > want ? reply.data.subarray(0, want) : reply.data;
      pieces.push(this.raw.returnsReads ? data : Uint8Array.from(data));
      here += data.length;
      size = Math.max(reply.iatt.size, size ?? 0);
      if (data.length < want || (reply.iatt.size > 0 && here >= reply.iatt.size)) break;
    }
    const [only] = pieces;
    if (pieces.length === 1 && only) return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
    return Buffer.concat(pieces);
  }

  /** At a position that is given, at once; else where the handle stands, in turn. */
  #placed(position: number | null | undefined, work: (at: number) => Promise<number>): Promise<number> {
    if (position !== null && position !== undefined) return work(position);
    return this.#inTurn(async () => {
      const count = await work(this.#position);
      this.#position += count;
      return count;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #setattr(attr: AttrChange, syscall: string, options: CallOptions | undefined): Promise<Iatt | null> {
    if (Object.keys(attr).length === 0) return null;
    const reply = await this.raw.run((top, call, fd) => top.fsetattr(call, { fd, attr }), options);
    return this.#must(reply, syscall).post;
  }

  async #seek(offset: number, what: 'data' | 'hole', options?: CallOptions): Promise<number | null> {
    const at = checkedOffset(offset, 'offset');
    const reply = await this.raw.run((top, call, fd) => top.seek(call, { fd, offset: at, what }), options);
    if (!reply.ok && reply.errno === Errno.ENXIO) return null;
    return this.#must(reply, 'lseek').offset;
  }

  #lk(flock: Flock, command: 'get' | 'set' | 'wait', options: CallOptions): Promise<Reply<'lk'>> {
    const { owner } = flock;
    if (command === 'wait')
      return this.#client.waitOn(this.raw, owner, options, (top, call, fd) => top.lk(call, { fd, command, flock }));
    return this.raw.run((top, call, fd) => top.lk({ ...call, lockOwner: owner }, { fd, command, flock }), options);
  }

  #flock({ start = 0, length = 0, owner }: Partial<LockOptions>, type: Flock['type']): Flock {
    checkedOffset(start + length, 'start and length');
    if (owner !== undefined && !/^([0-9a-f]{2}){1,64}$/.test(owner)) throw argumentError('owner', 'hex digits', owner);
    return { type, start, length, owner: owner ?? ownerOfHandle(this.raw.id), pid: process.pid };
  }

  #range(offset: number, length: number, syscall: string): { offset: number; size: number } {
    this.#mayWrite(syscall);
    if (length <= 0) throw this.#error(Errno.EINVAL, syscall);
    if (!Number.isSafeInteger(checkedOffset(offset, 'offset') + length)) throw this.#error(Errno.EFBIG, syscall);
    return { offset, size: length };
  }

  async #changed(post: Iatt): Promise<void> {
    if (mustKill(this.raw.who, post)) await killPrivileges(this.#client, this.raw.who, post, this.raw);
  }

  #xattr(name: string, change: boolean, syscall: string): ByteString {
    const key = byteString(name);
    const errno = xattrProblem(key, this.raw.who.uid, FileType.regular, change);
    if (errno !== 0) throw this.#error(errno, syscall);
    return key;
  }

  #mayRead(syscall: string): void {
    if (!canRead(this.#flags)) throw this.#error(Errno.EBADF, syscall);
    if (this.raw.directory) throw this.#error(Errno.EISDIR, syscall);
  }

  #mayWrite(syscall: string): void {
    if (!canWrite(this.#flags)) throw this.#error(Errno.EBADF, syscall);
  }

  #must<R extends { ok: true } | { ok: false; errno: number }>(reply: R, syscall: string): Extract<R, { ok: true }> {
    if (!reply.ok) throw this.#error(reply.errno, syscall);
    return reply as Extract<R, { ok: true }>;
  }

  /** As node's, errors of handles name no path. */
  #error(errno: number, syscall: string): NodeJS.ErrnoException {
    return fsError(errno, syscall);
  }

  get path(): string {
    return this.#path;
  }
}

export function ownerOf(uid: number, gid: number): AttrChange {
  const attr: AttrChange = {};
  for (const [name, value] of [
    ['uid', uid],
    ['gid', gid],
  ] as const) {
    if (!Number.isInteger(value) || value < -1 || value > 0xffffffff) throw argumentError(name, 'a number', value);
    if (value >= 0 && value < 0xffffffff) attr[name] = value;
  }
  return attr;
}

const utf8 = (name: ByteString): string => Buffer.from(name, 'latin1').toString('utf8');

/** Eight bytes, as the kernel's owners have. */
function ownerOfHandle(id: number): string {
  return (id + 2 ** 40).toString(16).padStart(16, '0');
}

export function checkedOffset(value: number, name: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= largestOffset) return value;
  throw argumentError(name, 'a whole number from 0 to 2^53 - 1', value);
}
