/** The seam to koffi: binds functions of the C library and carries paths, addresses and errno across. */
import { strict as assert } from 'node:assert';
import { type ByteString, learnMemory } from '@mortar/core';
import koffi from 'koffi';

const library = koffi.load(null);
const ENOSYS = 38;
const ENAMETOOLONG = 36;
const EINVAL = 22;

/** What koffi makes of C's integers: numbers, within 2^53. Pointers go in as bytes, as an address or as null. */
export type Argument = number | bigint | Uint8Array | null;
export type Native = (...args: Argument[]) => number;

/** A function of the C library; one that this C library lacks answers ENOSYS when called. */
export function bind(name: string, result: string, args: readonly string[]): Native {
  let found: Native;
  try {
    found = library.func(name, result, [...args]) as unknown as Native;
  } catch {
    return () => {
      koffi.errno(ENOSYS);
      return -1;
    };
  }
  return found;
}

/** The convention of this package: a result as it is, a failure as the negative errno. */
export function outcome(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** Where bytes are in memory. Valid while the caller holds `bytes`: array buffers do not move. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

const madvise = bind('madvise', 'int', ['void *', 'size_t', 'int']);
const MADV_HUGEPAGE = 14;

learnMemory({
  addressOf: (bytes) => Number(addressOf(bytes)),
  // A kernel without them refuses, which does no harm.
  wantHugePages: (bytes) => void madvise(bytes, bytes.length, MADV_HUGEPAGE),
});

/** Room for a path and its NUL; longer ones are ENAMETOOLONG, as in the kernel. */
const pathRoom = 4096;
/** The first and the second path argument of a call. Calls are synchronous, so one pair serves all of them. */
export const path1 = new Uint8Array(pathRoom);
export const path2 = new Uint8Array(pathRoom);

/** Writes a path with its NUL into `into`; 0, or the negative errno of a path that cannot be one. */
export function putPath(path: ByteString, into: Uint8Array): number {
  const length = path.length;
  if (length >= pathRoom) return -ENAMETOOLONG;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0 || code > 255) return -EINVAL;
    into[i] = code;
  }
  into[length] = 0;
  return 0;
}

/** File offsets and sizes travel as numbers: what is beyond 2^53 is a bug of the caller. */
export function assertOffset(value: number, what: string): void {
  // The message costs more than the call that is checked: it is made when it is needed.
  if (!Number.isSafeInteger(value)) assert.fail(`${what} ${value} is not an integer below 2^53`);
}

export function assertRange(bytes: Uint8Array, start: number, length: number): void {
  if (!(start >= 0 && length >= 0 && start + length <= bytes.length))
    assert.fail(`bytes ${start}+${length} are outside a buffer of ${bytes.length}`);
}

/** The part of a buffer that a call works on; the buffer itself where that will do. */
export function part(bytes: Uint8Array, start: number): Uint8Array {
  return start === 0 ? bytes : bytes.subarray(start);
}

/** Fixed memory that C structures are laid out in, with views for 16, 32 and 64 bit fields by byte offset. */
export class Memory {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  i32(at: number): number {
    return this.#view.getInt32(at, true);
  }

  u64(at: number): number {
    return this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  i64(at: number): number {
    return this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  setI32(at: number, value: number): void {
    this.#view.setInt32(at, value, true);
  }

  setI64(at: number, value: number): void {
    this.#view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
    this.#view.setUint32(at, value >>> 0, true);
  }

  setPointer(at: number, address: bigint): void {
    this.#view.setBigUint64(at, address, true);
  }
}
