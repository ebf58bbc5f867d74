/**
 * A device as a regular file: a FUSE connection whose root is the file. Requests of the kernel in, calls of the device, replies
 * out. Each request is answered once, also when the device throws, and at once with EIO after `fail`.
 */
import { Errno, errnoName, type Log, returnBytes } from '@mortar/core';
import { FuseDevice } from '@mortar/fuse-mount/device/device.ts';
import { inHeaderBytes, opcodes, rootNodeId, unanswered } from '@mortar/fuse-mount/protocol/constants.ts';
import { decoders } from '@mortar/fuse-mount/protocol/decode.ts';
import { invalidateInode, resend } from '@mortar/fuse-mount/protocol/notify.ts';
import { ReplyBuffer } from '@mortar/fuse-mount/protocol/reply.ts';
import { RequestView } from '@mortar/fuse-mount/protocol/request.ts';
import { type Answer, type BlockDevice, type Done, inTurn, refuse } from '../device/device.ts';
import { answerAttributes, answerOpen, answerSetAttributes, answerStatfs, type FileFacts } from './file-facts.ts';
import { type Agreed, agree, wishes } from './fuse-agreement.ts';
import { usualLimits, type Waiting, type WaitingLimits, WaitingRequests } from './waiting-requests.ts';

const origin = 'attach';

/** Buffers to receive into, beside those that payloads lie in. */
const receivingBuffers = 2;
/** Replies with less data are copied into the reply buffer: cheaper than a second vector. */
const copyBytes = 8 * 1024;
/** A long range is zeroed in steps, so that no single request takes long. */
const zeroStepBytes = 128 * 1024 * 1024;
const Falloc = { keepSize: 0x01, punchHole: 0x02, zeroRange: 0x10 } as const;

export interface FuseFileOptions {
  readonly fd: number;
  readonly name: string;
  readonly device: BlockDevice;
  readonly log: Log;
  /** From an earlier run: the kernel does not say INIT again. */
  readonly agreed?: Agreed;
  readonly limits?: WaitingLimits;
}

export class FuseFile {
  readonly device: BlockDevice;
  readonly #name: string;
  readonly #log: Log;
  readonly #fuse: FuseDevice;
  readonly #view = new RequestView();
  readonly #reply = new ReplyBuffer(64 * 1024);
  readonly #waiting: WaitingRequests;
  readonly #facts: FileFacts;
  #agreed: Agreed | null;
  #onInit: (agreed: Agreed | null) => void = () => undefined;
  /** The request that came last, if it has to wait. */
  #latest: Waiting | null = null;
  #isFailing = false;
  /** The file ends here; a device that grows does so for its users when `grow` was called. */
  #sizeBytes: number;
  /** Resolves when the connection has ended, by whomever. */
  readonly closed: Promise<Error | undefined>;
  #close: (error: Error | undefined) => void = () => undefined;

  /** Takes over the descriptor. */
  constructor({ fd, name, device, log, agreed, limits = usualLimits }: FuseFileOptions) {
    this.device = device;
    this.#name = name;
    this.#log = log;
    this.#agreed = agreed ?? null;
    this.#sizeBytes = device.sizeBytes;
    // The descriptor goes on in another process when this one is killed, and so do its requests.
    const buffers = { present: true, keptMax: limits.keptPayloads + receivingBuffers };
    this.#fuse = new FuseDevice(fd, agreed?.maxWrite ?? wishes.maxWrite, buffers);
    this.#waiting = new WaitingRequests(this.#fuse, limits);
    const [view, reply] = [this.#view, this.#reply];
    this.#facts = {
      view,
      reply,
      size: () => this.#sizeBytes,
      readOnly: device.traits.readOnly,
      send: () => void this.#fuse.write(reply.bytes, reply.length),
      refuse: (errno) => this.#refuse(errno),
    };
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  /** Requests that were not answered yet. */
  get inFlight(): number {
    return this.#waiting.count;
  }

  /** Serves; resolves when the kernel has agreed on the protocol. Null: it does not fit. */
  async start(): Promise<Agreed | null> {
    const agreed = new Promise<Agreed | null>((resolve) => {
      this.#onInit = resolve;
      if (this.#agreed) resolve(this.#agreed);
      void this.closed.then(() => resolve(null));
    });
    await this.#fuse.start({
      request: (bytes, length) => this.#receive(bytes, length),
      ready: () => this.#waiting.mayCome(),
      turn: () => undefined,
      settled: () => this.#latest === null || this.#latest.isAnswered,
      ended: (error) => this.#close(error),
    });
    return agreed;
  }

  /** The kernel sends again what an earlier run took and did not answer. Before `start`: what this run takes is not meant. */
  resend(): void {
    const message = resend();
    const result = this.#fuse.write(message, message.length);
    if (result < 0) this.#log.write('ERROR', origin, `${this.#name}: nothing is sent again: ${errnoName(-result)}`);
  }

  /** From now on, and for all that waits: EIO. Nobody has to wait for a device that is given up. */
  fail(): void {
    this.#isFailing = true;
    for (const asked of this.#waiting.all) this.#error(asked, Errno.EIO);
    this.#waiting.unbind();
  }

  /** The device has grown: the kernel asks for the size again at the next stat. */
  grow(): void {
    this.#sizeBytes = this.device.sizeBytes;
    this.#fuse.notify(invalidateInode(rootNodeId, -1, 0));
  }

  /** Closes the descriptor: if nobody else has it, the kernel fails what waits and comes. */
  end(): void {
    this.#fuse.close();
  }

  /** True: the buffer is in use until its request is answered. Never throws. */
  #receive(bytes: Buffer, length: number): boolean {
    const view = this.#view;
    this.#latest = null;
    view.attach(bytes);
    if (!view.parse(length)) {
      if (length >= inHeaderBytes) this.#refuse(Errno.EIO);
      return false;
    }
    if (unanswered.has(view.opcode)) return false;
    try {
      return this.#dispatch();
    } catch (error) {
      this.#bug(error);
      this.#refuse(Errno.EIO);
      return false;
    }
  }

  #dispatch(): boolean {
    const view = this.#view;
    switch (view.opcode) {
      case opcodes.read:
        this.#read();
        return false;
      case opcodes.write:
        return this.#write();
      case opcodes.fsync:
        this.#finish(this.#asked(), () => this.device.flush());
        return false;
      case opcodes.fallocate:
        this.#allocate();
        return false;
      case opcodes.init:
        this.#init();
        return false;
      case opcodes.getattr:
        answerAttributes(this.#facts);
        return false;
      case opcodes.setattr:
        answerSetAttributes(this.#facts);
        return false;
      case opcodes.open:
        answerOpen(this.#facts);
        return false;
      case opcodes.statfs:
        answerStatfs(this.#facts);
        return false;
      case opcodes.release:
        this.#refuse(0);
        return false;
      default:
        // The kernel then does without: flush, access, xattrs, lseek ...
        this.#refuse(Errno.ENOSYS);
        return false;
    }
  }

  #read(): void {
    const args = decoders.read(this.#view);
    if (!args) {
      this.#refuse(Errno.EINVAL);
      return;
    }
    const { offset } = args;
    const length = Math.max(0, Math.min(args.size, this.#sizeBytes - offset));
    const asked = this.#asked();
    this.#finish(
      asked,
      () => this.device.read(offset, length),
      (reply) => this.#data(asked, reply.pieces),
    );
  }

  #data(asked: Waiting, pieces: readonly Uint8Array[]): void {
    const reply = this.#reply;
    const bytes = pieces.reduce((sum, one) => sum + one.length, 0);
    if (bytes <= copyBytes) {
      reply.begin(asked.low, asked.high, bytes);
      let at = reply.length - bytes;
      for (const piece of pieces) {
        reply.bytes.set(piece, at);
        at += piece.length;
      }
      this.#deliver(asked, this.#fuse.write(reply.bytes, reply.length));
    } else {
      reply.begin(asked.low, asked.high, 0, bytes);
      const [first, ...more] = pieces;
      this.#deliver(
        asked,
        more.length === 0
          ? this.#fuse.writeTwo(reply.bytes, reply.length, first!)
          : this.#fuse.writeAll(reply.bytes, reply.length, pieces),
      );
    }
    for (const piece of pieces) returnBytes(piece);
  }

  #write(): boolean {
    const view = this.#view;
    const args = decoders.write(view);
    if (!args) {
      this.#refuse(Errno.EINVAL);
      return false;
    }
    const { offset, data } = args;
    const bytes = data.length;
    const asked = this.#asked();
    const payload = this.#waiting.holdPayload(asked, view.bytes, data);
    this.#finish(
      asked,
      () => this.device.write(offset, payload, false),
      () => {
        this.#reply.size32(asked.low, asked.high, bytes);
        this.#send(asked);
      },
    );
    return payload === data;
  }

  /** Discards come as holes to be punched, which read as zeroes afterwards; zeroes that keep their room as a range to be zeroed. */
  #allocate(): void {
    const args = decoders.fallocate(this.#view);
    if (!args) {
      this.#refuse(Errno.EINVAL);
      return;
    }
    const { offset, mode } = args;
    const kind = mode & ~Falloc.keepSize;
    if (kind !== Falloc.punchHole && kind !== Falloc.zeroRange) {
      this.#refuse(Errno.EOPNOTSUPP);
      return;
    }
    if (!(offset <= this.#sizeBytes)) {
      this.#refuse(Errno.ENOSPC);
      return;
    }
    const length = Math.min(args.length, this.#sizeBytes - offset);
    const how = { mayTrim: kind === Falloc.punchHole, fast: false, fua: false };
    const { device } = this;
    function* steps(): Generator<() => Answer<Done>> {
      for (let at = 0; at < length; at += zeroStepBytes)
        yield () => device.zero(offset + at, Math.min(zeroStepBytes, length - at), how);
    }
    this.#finish(this.#asked(), () => inTurn(steps()));
  }

  #init(): void {
    const agreed = agree(this.#view, this.#reply);
    if (!agreed) {
      this.#log.write('ERROR', origin, `${this.#name}: the kernel's FUSE (Linux 5.4 or newer is needed) does not fit`);
      this.#refuse(Errno.EPROTO);
      this.#onInit(null);
      return;
    }
    this.#fuse.write(this.#reply.bytes, this.#reply.length);
    if (agreed === 'renegotiate') return;
    this.#agreed = agreed;
    this.#onInit(agreed);
  }

  #asked(): Waiting {
    const { uniqueLow: low, uniqueHigh: high } = this.#view;
    this.#latest = { low, high, received: null, copy: null, payloadBytes: 0, isAnswered: false };
    return this.#latest;
  }

  /** Asks the device; `tell` answers what went well, without it there is nothing to say. */
  #finish<T extends { readonly ok: boolean }>(
    asked: Waiting,
    ask: () => Answer<T>,
    tell: (reply: Extract<T, { ok: true }>) => void = () => this.#ok(asked),
  ): void {
    this.#waiting.add(asked);
    const end = (reply: T) => {
      // Nor is it in use in any case when the device failed: a path may still hold it.
      this.#waiting.releasePayload(asked, reply.ok);
      if (asked.isAnswered) return;
      if (reply.ok) tell(reply as Extract<T, { ok: true }>);
      else this.#error(asked, (reply as unknown as { errno: Errno }).errno);
    };
    const failed = (error: unknown) => {
      this.#bug(error);
      end(refuse(Errno.EIO) as unknown as T);
    };
    if (this.#isFailing) {
      end(refuse(Errno.EIO) as unknown as T);
      return;
    }
    try {
      const answer = ask();
      if (!(answer instanceof Promise)) {
        end(answer);
        return;
      }
      answer.then((reply) => {
        try {
          end(reply);
        } catch (error) {
          failed(error);
        }
      }, failed);
    } catch (error) {
      failed(error);
    }
  }

  #ok(asked: Waiting): void {
    this.#reply.begin(asked.low, asked.high, 0);
    this.#send(asked);
  }

  #error(asked: Waiting, errno: Errno): void {
    // ENOSYS would switch the operation off for good.
    const told = errno === Errno.ENOSYS ? Errno.EOPNOTSUPP : errno;
    this.#reply.begin(asked.low, asked.high, 0, 0, told);
    this.#send(asked);
  }

  #send(asked: Waiting): void {
    this.#deliver(asked, this.#fuse.write(this.#reply.bytes, this.#reply.length));
  }

  #deliver(asked: Waiting, result: number): void {
    this.#waiting.answered(asked);
    if (result < 0 && result !== -Errno.ENOENT && result !== -Errno.ENODEV)
      this.#log.write('WARNING', origin, `${this.#name}: the kernel does not take a reply: ${errnoName(-result)}`);
    if (asked === this.#latest) this.#fuse.answered();
  }

  /** Answers the request in the view. */
  #refuse(errno: number): void {
    const { uniqueLow, uniqueHigh } = this.#view;
    this.#reply.begin(uniqueLow, uniqueHigh, 0, 0, errno);
    this.#fuse.write(this.#reply.bytes, this.#reply.length);
  }

  #bug(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#log.write('ERROR', origin, `${this.#name}: a request ended in an exception: ${text}`);
  }
}
