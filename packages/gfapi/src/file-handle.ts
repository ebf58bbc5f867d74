/** An open file, as node's FileHandle. */
import {
  Errno,
  type Failure,
  type Flock,
  freshBytes,
  type Gfid,
  type Iatt,
  isKnownIatt,
  type Reply,
} from '@mortar/core';
import { bytesOf, type Contents, type ReadArguments, readArguments, writeArguments } from './arguments.ts';
import type { CallOptions } from './client.ts';
import { must } from './errors.ts';
import { canRead, canWrite, O } from './flags.ts';
import type { GraphFile } from './graph-file.ts';
import { HandleAttributes } from './handle-attributes.ts';
import { type LockOptions, lock, lockInTheWay, unlock } from './handle-locks.ts';
import { checkedOffset } from './offsets.ts';
import { killPrivileges, mustKill } from './privileges.ts';
import { gathered, maxTransfer, readInto, writeFrom } from './transfer.ts';

export interface Range {
  offset: number;
  length: number;
}

export class FileHandle extends HandleAttributes implements AsyncDisposable {
  readonly #flags: number;
  readonly #path: string;
  #position = 0;
  /** The last of those who use the position. */
  #turn: Promise<unknown> = Promise.resolve();

  /** `flags`: as they were asked for; the file's own have no O_CREAT. */
  constructor(raw: GraphFile, flags: number, path: string) {
    super(raw);
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

  async truncate(length = 0, options?: CallOptions): Promise<void> {
    if (!canWrite(this.#flags)) throw this.error(Errno.EINVAL, 'ftruncate');
    const size = Math.max(0, checkedOffset(length, 'length'));
    const reply = await this.raw.run((top, call, fd) => top.ftruncate(call, { fd, size }), options);
    await this.#changed(this.must(reply, 'ftruncate').post);
  }

  async sync(options?: CallOptions): Promise<void> {
    this.must(await this.raw.fsync(false, options), 'fsync');
  }

  async datasync(options?: CallOptions): Promise<void> {
    this.must(await this.raw.fsync(true, options), 'fdatasync');
  }

  /** Room on the disks for the range. `keepSize`: the file does not get longer by it. */
  async fallocate({ offset, length }: Range, options: CallOptions & { keepSize?: boolean } = {}): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const mode = options.keepSize ? 1 : 0;
    const reply = await this.raw.run((top, call, fd) => top.fallocate(call, { fd, mode, ...range }), options);
    await this.#changed(this.must(reply, 'fallocate').post);
  }

  /** The range reads as zeros and takes no room; the size stays. */
  async punchHole({ offset, length }: Range, options?: CallOptions): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const reply = await this.raw.run((top, call, fd) => top.discard(call, { fd, ...range }), options);
    await this.#changed(this.must(reply, 'fallocate').post);
  }

  /** The range reads as zeros; the file gets longer if it ends behind it. */
  async zeroRange({ offset, length }: Range, options?: CallOptions): Promise<void> {
    const range = this.#range(offset, length, 'fallocate');
    const reply = await this.raw.run((top, call, fd) => top.zerofill(call, { fd, ...range }), options);
    await this.#changed(this.must(reply, 'fallocate').post);
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
    const { written, post } = this.must(reply, 'copy_file_range');
    await to.#changed(post);
    return written;
  }

  /** A lock on a range. Given back by `unlock`, and when the handle is closed. */
  lock(options: LockOptions): Promise<void> {
    return lock(this.raw, this.#flags, options);
  }

  unlock(options?: Omit<LockOptions, 'type' | 'wait'>): Promise<void> {
    return unlock(this.raw, options);
  }

  /** The lock that is in the way of such a one; null if none is. */
  lockInTheWay(options: Omit<LockOptions, 'wait'>): Promise<Flock | null> {
    return lockInTheWay(this.raw, options);
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
      if (count === 0) throw this.error(Errno.EIO, 'write');
      at += count;
    }
  }

  async #writeAt(bytes: Uint8Array, at: number, syscall: string, options?: CallOptions): Promise<number> {
    if (!Number.isSafeInteger(at + bytes.length)) throw this.error(Errno.EFBIG, syscall);
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
    if (!Number.isSafeInteger(at + into.length)) throw this.error(Errno.EFBIG, syscall);
    return must(await readInto(this.raw, into, at, options), syscall).count;
  }

  /** All from `at` on. A file that comes in one piece is that piece. */
  async #rest(at: number, options: CallOptions | undefined, size: number | null = null): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    let here = at;
    for (;;) {
      const want = Math.min(maxTransfer, Math.max(size === null ? 65536 : size - here, 4096));
      const reply = this.must(await this.raw.readv(here, want, options), 'read');
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

  async #seek(offset: number, what: 'data' | 'hole', options?: CallOptions): Promise<number | null> {
    const at = checkedOffset(offset, 'offset');
    const reply = await this.raw.run((top, call, fd) => top.seek(call, { fd, offset: at, what }), options);
    if (!reply.ok && reply.errno === Errno.ENXIO) return null;
    return this.must(reply, 'lseek').offset;
  }

  #range(offset: number, length: number, syscall: string): { offset: number; size: number } {
    this.#mayWrite(syscall);
    if (length <= 0) throw this.error(Errno.EINVAL, syscall);
    if (!Number.isSafeInteger(checkedOffset(offset, 'offset') + length)) throw this.error(Errno.EFBIG, syscall);
    return { offset, size: length };
  }

  async #changed(told: Iatt): Promise<void> {
    const post = isKnownIatt(told) || this.raw.who.uid === 0 ? told : await this.#attributes();
    if (mustKill(this.raw.who, post)) await killPrivileges(this.raw.client, this.raw.who, post, this.raw);
  }

  /** A write that was answered before it was done cannot say whether privileges are to be killed. */
  async #attributes(): Promise<Iatt> {
    return this.must(await this.raw.run((top, call, fd) => top.fstat(call, { fd })), 'fstat').iatt;
  }

  #mayRead(syscall: string): void {
    if (!canRead(this.#flags)) throw this.error(Errno.EBADF, syscall);
    if (this.raw.directory) throw this.error(Errno.EISDIR, syscall);
  }

  #mayWrite(syscall: string): void {
    if (!canWrite(this.#flags)) throw this.error(Errno.EBADF, syscall);
  }

  get path(): string {
    return this.#path;
  }
}
