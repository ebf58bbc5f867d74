import { type Gfid, gfidFromBytes } from '@mortar/core/gfid.ts';
import { FrameError } from './frame.ts';

/** Reads fields out of a part of a buffer. Every read is checked against the part's end; a short one is a bad frame. */
export class ByteReader {
  buffer: Buffer;
  view: DataView;
  position: number;
  end: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    this.position = start;
    this.end = end;
  }

  /** The buffer was replaced. */
  reset(buffer: Buffer): void {
    this.buffer = buffer;
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  }

  get left(): number {
    return this.end - this.position;
  }

  /** Claims `count` bytes and says where they start. */
  take(count: number): number {
    const at = this.position;
    if (at + count > this.end) throw new FrameError('decode', `${count} bytes wanted, ${this.end - at} left`);
    this.position = at + count;
    return at;
  }

  u8(): number {
    return this.buffer[this.take(1)]!;
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  i32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  u64(): number {
    const value = this.i64();
    if (value < 0) throw new FrameError('decode', 'an unsigned field above 2^53');
    return value;
  }

  i64(): number {
    const at = this.take(8);
    const value = this.view.getInt32(at + 4, true) * 0x1_0000_0000 + this.view.getUint32(at, true);
    if (!Number.isSafeInteger(value)) throw new FrameError('decode', 'an integer beyond 2^53');
    return value;
  }

  gfid(): Gfid {
    return gfidFromBytes(this.buffer, this.take(16));
  }

  /** A copy: the buffer under a reader is used again. */
  raw(count: number): Buffer {
    const at = this.take(count);
    return Buffer.from(this.buffer.subarray(at, at + count));
  }

  latin1(): string {
    const length = this.u16();
    const at = this.take(length);
    return this.buffer.toString('latin1', at, at + length);
  }

  utf8(): string {
    const length = this.u16();
    const at = this.take(length);
    return this.buffer.toString('utf8', at, at + length);
  }

  /** Nothing may be left. */
  finish(): void {
    if (this.position !== this.end) throw new FrameError('decode', `${this.left} bytes left over`);
  }
}
