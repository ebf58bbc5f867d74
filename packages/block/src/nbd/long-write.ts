/** A write whose payload is longer than the receive buffer, or cut in two there: collected whole, or written in pieces as they come. */
import { Errno, returnBytes } from '@mortar/core';
import { type Answer, allDone, type BlockDevice, type Done, refuse } from '../device/device.ts';
import { roomFor } from '../device/room.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { Asked } from './replies.ts';

/** From here on a payload is received where it stays, and written as one: to write it as it comes costs more the more pieces it is in. */
const collectMinBytes = 256 * 1024;
/** Beyond it one would take much memory, unless its device wants it whole. */
const collectMaxBytes = 1024 * 1024;

export interface LongWriteOptions {
  readonly device: BlockDevice;
  readonly asked: Asked;
  /** Of the payload. */
  readonly length: number;
  readonly fua: boolean;
  /** Pieces come in it, and stay there until the device has them. */
  readonly buffer: ReceiveBuffer;
  /** A piece holds so many bytes until it is settled. */
  readonly underWay: (answer: Promise<Done>, bytes: number) => void;
}

export class LongWrite {
  readonly #options: LongWriteOptions;
  /** The whole payload is collected here; null: pieces are written as they come. */
  readonly #payload: Buffer | null;
  /** Bytes still to come. */
  #left: number;
  /** Of pieces. */
  readonly #answers: Answer<Done>[] = [];

  constructor(options: LongWriteOptions) {
    const { device, length } = options;
    this.#options = options;
    this.#left = length;
    const isCollected = !device.traits.streams || (length >= collectMinBytes && length <= collectMaxBytes);
    this.#payload = isCollected ? roomFor(length) : null;
  }

  get asked(): Asked {
    return this.#options.asked;
  }

  get isWhole(): boolean {
    return this.#left === 0;
  }

  /** Where the bytes still to come belong; null: they are taken from the receive buffer. */
  get room(): Uint8Array | null {
    return this.#payload?.subarray(this.#options.length - this.#left) ?? null;
  }

  /** Bytes were received straight into `room`. */
  received(count: number): void {
    this.#left -= count;
  }

  /** Takes what the receive buffer has of it. */
  take(): void {
    const { buffer, length } = this.#options;
    const count = Math.min(this.#left, buffer.available);
    const piece = buffer.bytes.subarray(buffer.start, buffer.start + count);
    const at = length - this.#left;
    buffer.consume(count);
    this.#left -= count;
    if (this.#payload) this.#payload.set(piece, at);
    else this.#writePiece(at, piece);
  }

  /** The first piece shows whether the range is allowed; after a failure the others are not written. */
  #writePiece(at: number, piece: Uint8Array): void {
    const { device, asked, buffer, underWay } = this.#options;
    const last = this.#answers.at(-1);
    if (last && !(last instanceof Promise) && !last.ok) return;
    if (at === 0 && !this.#reaches()) {
      this.#answers.push(refuse(device.traits.readOnly ? Errno.EPERM : Errno.ENOSPC));
      return;
    }
    const answer = device.write(asked.offset + at, piece, false);
    if (answer instanceof Promise) {
      const pinned = buffer.pin();
      const held = answer.then((one) => {
        if (one.ok) buffer.unpin(pinned);
        return one;
      });
      underWay(held, piece.length);
      this.#answers.push(held);
    } else if (!answer.ok || this.#answers.length === 0) this.#answers.push(answer);
  }

  #reaches(): boolean {
    const { device, asked, length } = this.#options;
    return !device.traits.readOnly && asked.offset + length <= device.sizeBytes;
  }

  /** What the device says of the whole write, once the payload has come. */
  finish(): Answer<Done> {
    const { device, asked, fua } = this.#options;
    if (this.#payload) return device.write(asked.offset, this.#payload, fua);
    const answer = allDone(this.#answers);
    if (!fua) return answer;
    if (answer instanceof Promise) return answer.then((one) => (one.ok ? device.flush() : one));
    return answer.ok ? device.flush() : answer;
  }

  /** What it holds until it is settled; pieces count by themselves. */
  get heldBytes(): number {
    return this.#payload?.length ?? 0;
  }

  /** The device has done with its memory. */
  release(): void {
    if (this.#payload) returnBytes(this.#payload);
  }
}
