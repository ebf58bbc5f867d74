import { type Gfid, writeGfid } from '@mortar/core/gfid.ts';

/** Writes little-endian fields one behind the other into a buffer that grows. */
export class ByteWriter {
  buffer: Buffer;
  view: DataView;
  position = 0;

  constructor(capacity = 1024) {
    this.buffer = Buffer.allocUnsafeSlow(capacity);
    this.view = viewOf(this.buffer);
  }

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    if (this.position + count > this.buffer.length) this.grow(count);
  }

  protected grow(count: number): void {
    this.move(0, Math.max(this.buffer.length * 2, this.position + count));
  }

  /** Continues in a new buffer that begins with the bytes from `start` on. */
  protected move(start: number, capacity: number): void {
    const next = Buffer.allocUnsafeSlow(capacity);
    this.buffer.copy(next, 0, start, this.position);
    this.position -= start;
    this.buffer = next;
    this.view = viewOf(next);
  }

  u8(value: number): void {
    this.ensure(1);
    this.buffer[this.position++] = value;
  }

  u16(value: number): void {
    this.ensure(2);
    this.view.setUint16(this.position, value, true);
    this.position += 2;
  }

  u32(value: number): void {
    this.ensure(4);
    this.view.setUint32(this.position, value, true);
    this.position += 4;
  }

  i32(value: number): void {
    this.ensure(4);
    this.view.setInt32(this.position, value, true);
    this.position += 4;
  }

  /** A safe integer from 0. */
  u64(value: number): void {
    if (!(value >= 0)) throw new RangeError(`${value} does not fit an unsigned field`);
    this.i64(value);
  }

  i64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no safe integer`);
    this.ensure(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.view.setUint32(this.position, value - high * 0x1_0000_0000, true);
    this.view.setInt32(this.position + 4, high, true);
    this.position += 8;
  }

  gfid(value: Gfid): void {
    this.ensure(16);
    writeGfid(value, this.buffer, this.position);
    this.position += 16;
  }

  raw(bytes: Uint8Array): void {
    this.ensure(bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Bytes held in a string, one in each character, behind their count in 16 bits. */
  latin1(text: string): void {
    const { length } = text;
    if (length > 0xffff) throw new RangeError(`${length} bytes do not fit a 16-bit length`);
    this.ensure(2 + length);
    this.view.setUint16(this.position, length, true);
    const start = this.position + 2;
    let seen = 0;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      seen |= code;
      this.buffer[start + i] = code;
    }
    if (seen > 0xff) throw new RangeError('a byte string holds a character above 255');
    this.position = start + length;
  }

  /** UTF-8 behind its length in bytes in 16 bits. */
  utf8(text: string): void {
    const length = Buffer.byteLength(text);
    if (length > 0xffff) throw new RangeError(`${length} bytes do not fit a 16-bit length`);
    this.ensure(2 + length);
    this.view.setUint16(this.position, length, true);
    this.buffer.write(text, this.position + 2, 'utf8');
    this.position += 2 + length;
  }
}

function viewOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}
