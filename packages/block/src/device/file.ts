/** A file or block device of the host. Buffered: data is stable after a flush, or with `fua`. */
import { asErrno, type Clock, Errno } from '@mortar/core';
import * as libc from '@mortar/libc';
import {
  type Answer,
  after,
  type Done,
  done,
  inTurn,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
  zeroPiece,
} from './device.ts';
import { ExtentList } from './extents.ts';
import { GuardedDevice, plainTraits } from './guarded.ts';
import { type OpenHostFile, openHostFile, readInPool, syncInPool, writeInPool } from './host-file.ts';
import { Patience } from './patience.ts';
import { roomFor } from './room.ts';
import { Syncer } from './syncer.ts';

export interface FileOptions {
  readonly path: string;
  readonly readOnly?: boolean;
  readonly clock: Clock;
}

/** `fallocate` drops the pages of the range: more than this at once would hold up the event loop. */
const allocateStepBytes = 16 * 1024 * 1024;
const zeroStepBytes = 1024 * 1024;
const cacheMaxBytes = 32 * 1024 * 1024;
const POSIX_FADV_WILLNEED = 3;
const punchHole = libc.FALLOC_FL_PUNCH_HOLE | libc.FALLOC_FL_KEEP_SIZE;

const failure = (result: number) => refuse(asErrno(-result));
const outcome = (result: number): Done => (result < 0 ? failure(result) : done);

export class FileDevice extends GuardedDevice {
  readonly path: string;
  readonly traits: Traits;
  readonly #file: OpenHostFile;
  readonly #patience: Patience;
  readonly #syncer: Syncer;
  /** -1 once closed: a late request must not meet another file under the same number. */
  #fd: number;
  #sizeBytes: number;
  /** Whether reads can be told not to wait for the disk here. */
  #knowsNoWait = true;

  /** Throws DeviceError. */
  constructor({ path, readOnly = false, clock }: FileOptions) {
    super();
    this.path = path;
    this.#file = openHostFile(path, readOnly);
    this.#fd = this.#file.fd;
    this.#sizeBytes = this.#file.sizeBytes;
    this.#patience = new Patience(clock);
    this.#syncer = new Syncer(async () => asErrnoOrZero(await syncInPool(this.#fd)));
    // A block device has the size that it had when it was opened.
    const resizable = !readOnly && !this.#file.isBlockDevice;
    this.traits = { ...plainTraits, readOnly, streams: true, resizable };
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  protected doRead(offset: number, length: number): Answer<ReadReply> {
    const data = roomFor(length);
    const got = this.#readCached(data, offset);
    if (got === length) return { ok: true, pieces: [data] };
    if (got < 0) return failure(got);
    return readInPool(this.#fd, data, got, offset).then((result) =>
      result < 0 ? failure(result) : { ok: true, pieces: [data] },
    );
  }

  /** Bytes that were there at once, or the negative errno. */
  #readCached(data: Uint8Array, offset: number): number {
    const fd = this.#fd;
    if (this.#knowsNoWait) {
      const got = libc.preadv2(fd, data, 0, data.length, offset, libc.RWF_NOWAIT);
      if (got !== -Errno.EOPNOTSUPP) return got === -Errno.EAGAIN ? 0 : got;
      this.#knowsNoWait = false;
    }
    // A file system that cannot tell: in memory, as a rule.
    return this.#patience.isFast ? this.#patience.timed(() => libc.pread(fd, data, 0, data.length, offset)) : 0;
  }

  protected doWrite(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#stable(this.#write(offset, bytes), fua);
  }

  #write(offset: number, bytes: Uint8Array): Answer<Done> {
    const fd = this.#fd;
    let at = 0;
    if (this.#patience.isFast) {
      at = this.#patience.timed(() => libc.pwrite(fd, bytes, 0, bytes.length, offset));
      if (at < 0) return failure(at);
      if (at === bytes.length) return done;
    }
    return writeInPool(fd, bytes, at, offset).then(outcome);
  }

  #stable(answer: Answer<Done>, fua: boolean): Answer<Done> {
    return fua ? after(answer, (one) => (one.ok ? this.#syncer.flush() : one)) : answer;
  }

  protected doZero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    const mode = how.mayTrim ? punchHole : libc.FALLOC_FL_ZERO_RANGE | libc.FALLOC_FL_KEEP_SIZE;
    const whole = this.#allocate(mode, offset, length);
    const answer = after(whole, (one) => {
      if (one.ok || (one.errno !== Errno.EOPNOTSUPP && one.errno !== Errno.EINVAL)) return one;
      return how.fast ? refuse(Errno.EOPNOTSUPP) : this.#writeZeroes(offset, length);
    });
    return this.#stable(answer, how.fua);
  }

  protected doTrim(offset: number, length: number, fua: boolean): Answer<Done> {
    const { sectorBytes } = this.#file;
    const start = Math.ceil(offset / sectorBytes) * sectorBytes;
    const end = Math.floor((offset + length) / sectorBytes) * sectorBytes;
    if (end <= start) return this.#stable(done, fua);
    // What the file system cannot free stays: trimming is advice.
    const answer = after(this.#allocate(punchHole, start, end - start), (one): Done => {
      return !one.ok && one.errno === Errno.EOPNOTSUPP ? done : one;
    });
    return this.#stable(answer, fua);
  }

  /** Step by step, with room for others between steps. */
  #allocate(mode: number, offset: number, length: number): Answer<Done> {
    const step = (at: number): Answer<Done> => {
      const size = Math.min(allocateStepBytes, offset + length - at);
      const result = libc.fallocate(this.#fd, mode, at, size);
      if (result < 0) return failure(result);
      if (at + size === offset + length) return done;
      return new Promise((resolve) => setImmediate(() => resolve(step(at + size))));
    };
    return step(offset);
  }

  #writeZeroes(offset: number, length: number): Answer<Done> {
    const fd = this.#fd;
    const steps = Math.ceil(length / zeroStepBytes);
    const write = (i: number) => async () => {
      const at = i * zeroStepBytes;
      return outcome(await writeInPool(fd, zeroPiece(Math.min(zeroStepBytes, length - at)), 0, offset + at));
    };
    return inTurn(
      (function* () {
        for (let i = 0; i < steps; i++) yield write(i);
      })(),
    );
  }

  protected doFlush(): Answer<Done> {
    return this.#syncer.flush();
  }

  protected doStatus(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    const fd = this.#fd;
    const list = new ExtentList(extentsMax);
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const data = libc.lseek(fd, at, libc.SEEK_DATA);
      // ENXIO: no data any more. A file system that cannot tell has data everywhere.
      const dataStart = data === -Errno.ENXIO ? end : data < 0 ? at : Math.min(data, end);
      if (!list.add(dataStart - at, true, true)) break;
      if (dataStart === end) break;
      const hole = libc.lseek(fd, dataStart, libc.SEEK_HOLE);
      at = hole <= dataStart ? end : Math.min(hole, end);
      if (!list.add(at - dataStart, false, false)) break;
    }
    return { ok: true, extents: list.extents };
  }

  protected override doCache(offset: number, length: number): Answer<Done> {
    libc.fadvise(this.#fd, offset, Math.min(length, cacheMaxBytes), POSIX_FADV_WILLNEED);
    return done;
  }

  protected override doResize(sizeBytes: number): Answer<Done> {
    const result = libc.ftruncate(this.#fd, sizeBytes);
    if (result < 0) return failure(result);
    this.#sizeBytes = sizeBytes;
    return done;
  }

  override async close(): Promise<void> {
    if (this.#fd < 0) return;
    if (!this.traits.readOnly && !this.#syncer.failed) await this.#syncer.flush();
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) libc.close(fd);
  }
}

function asErrnoOrZero(result: number): Errno | 0 {
  return result < 0 ? asErrno(-result) : 0;
}
