/**
 * The bytes of a file: chunks of 64 KiB by number, each with a bit for every 4 KiB page that is not a hole. Chunks that are
 * written one behind the other lie so in memory, some MiB of them: a read within it is lent, not copied.
 */
import { freshBytes, lendBytes, pageAlignedBytes } from '@mortar/core';

const pageBytes = 4096;
const pagesInChunk = 16;
const chunkBytes = pageBytes * pagesInChunk;
const smallestBytes = 512;
/** Chunks that are written in order share pieces of memory: of 2 MiB at first, then of half of what is there, up to 8 MiB. */
const extentChunksMin = 32;
const extentChunksMax = 128;
/** Smaller reads cost less when they are copied. */
const lendFromBytes = 32 * 1024;
/** Who does not give back is soon lent nothing more. */
const loansMax = 64;

interface Chunk {
  /** May be shorter than a whole chunk: the rest is zeros. */
  bytes: Buffer;
  pages: number;
  /** While it is the content's, somebody may be reading the bytes: changes are made to a copy. */
  lent: number;
}

/** Bits of the pages that [start, end) touches. */
function pagesOf(start: number, end: number): number {
  const first = Math.floor(start / pageBytes);
  const last = Math.ceil(end / pageBytes);
  return ((1 << last) - 1) & ~((1 << first) - 1);
}

function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** How many chunks the extent has that begins at a chunk; it begins at a multiple of that. */
function extentChunks(first: number): number {
  let chunks = extentChunksMin;
  while (chunks < extentChunksMax && chunks * 2 <= first) chunks *= 2;
  return chunks;
}

const noChunks: Map<number, Chunk> = new Map();
const noBytes = Buffer.alloc(0);

export class Content {
  #chunks: Map<number, Chunk> = noChunks;
  size = 0;
  #pages = 0;
  /** Memory of the chunks from `#extentFirst` on; the next to be used for is `#extentNext`. A piece of it is used once. */
  #extent: Buffer | null = null;
  #extentFirst = 0;
  #extentNext = 0;
  #loans = 0;
  /** Loans begin a new age when all have been given back. */
  #age = 1;

  /** Bytes of pages that are not holes. */
  get allocated(): number {
    return this.#pages * pageBytes;
  }

  /** The bytes of a range; large ones may be lent (`lendBytes`): they stay as they are while the content changes. */
  read(offset: number, size: number): Buffer {
    const length = Math.max(0, Math.min(size, this.size - offset));
    const lent = length >= lendFromBytes && this.#loans < loansMax ? this.#lend(offset, length) : undefined;
    if (lent) return lent;
    const out = freshBytes(length);
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const start = at % chunkBytes;
      const part = Math.min(length - done, chunkBytes - start);
      const bytes = this.#chunks.get(Math.floor(at / chunkBytes))?.bytes;
      const copied = bytes && start < bytes.length ? bytes.copy(out, done, start, start + part) : 0;
      if (copied < part) out.fill(0, done + copied, done + part);
      done += part;
    }
    return out;
  }

  /** Undefined: the range does not lie in one piece of memory. */
  #lend(offset: number, length: number): Buffer | undefined {
    const first = Math.floor(offset / chunkBytes);
    const last = Math.floor((offset + length - 1) / chunkBytes);
    const memory = this.#chunks.get(first)?.bytes;
    if (!memory) return undefined;
    const { buffer } = memory;
    const base = memory.byteOffset - first * chunkBytes;
    for (let number = first; number <= last; number++) {
      const bytes = this.#chunks.get(number)?.bytes;
      if (!bytes || bytes.buffer !== buffer || bytes.byteOffset !== base + number * chunkBytes) return undefined;
      const end = Math.min(chunkBytes, offset + length - number * chunkBytes);
      if (bytes.length < end) return undefined;
    }
    for (let number = first; number <= last; number++) this.#chunks.get(number)!.lent = this.#age;
    this.#loans++;
    return lendBytes(Buffer.from(buffer, base + offset, length), this.#returned);
  }

  readonly #returned = (): void => {
    if (--this.#loans === 0) this.#age++;
  };

  write(offset: number, data: Uint8Array): void {
    this.#eachChunk(offset, offset + data.length, (number, start, end) => {
      const from = number * chunkBytes + start - offset;
      this.#room(number, start, end).set(data.subarray(from, from + end - start), start);
    });
    this.size = Math.max(this.size, offset + data.length);
  }

  resize(size: number): void {
    if (size < this.size) this.punch(size, Number.POSITIVE_INFINITY);
    this.size = size;
  }

  /** Gives the range back: it reads as zeros. */
  punch(start: number, end: number): void {
    const punch = (number: number) => {
      const base = number * chunkBytes;
      const [from, to] = [Math.max(0, start - base), Math.min(chunkBytes, end - base)];
      if (from < to) this.#punchChunk(number, from, to);
    };
    if (end - start > this.#chunks.size * chunkBytes) for (const number of [...this.#chunks.keys()]) punch(number);
    else this.#eachChunk(start, end, punch);
  }

  /** Makes the range take memory. */
  allocate(start: number, end: number): void {
    this.#eachChunk(start, end, (number, from, to) => this.#room(number, from, to));
  }

  /** The first offset at or behind `offset` that is data (or a hole; the end of the file is one); undefined: none. */
  seek(offset: number, what: 'data' | 'hole'): number | undefined {
    if (offset >= this.size) return undefined;
    const found = what === 'data' ? this.#seekData(offset) : this.#seekHole(offset);
    return found < this.size ? found : what === 'hole' ? this.size : undefined;
  }

  #seekData(offset: number): number {
    const first = Math.floor(offset / chunkBytes);
    const numbers = [...this.#chunks.keys()].filter((number) => number >= first).sort((a, b) => a - b);
    for (const number of numbers) {
      const { pages } = this.#chunks.get(number)!;
      for (let page = 0; page < pagesInChunk; page++) {
        const start = number * chunkBytes + page * pageBytes;
        if (pages & (1 << page) && start + pageBytes > offset) return Math.max(offset, start);
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  #seekHole(offset: number): number {
    for (let page = Math.floor(offset / pageBytes); ; page++) {
      const pages = this.#chunks.get(Math.floor(page / pagesInChunk))?.pages ?? 0;
      if (!(pages & (1 << (page % pagesInChunk)))) return Math.max(offset, page * pageBytes);
    }
  }

  #eachChunk(start: number, end: number, visit: (number: number, from: number, to: number) => void): void {
    for (let at = start; at < end; ) {
      const from = at % chunkBytes;
      const to = Math.min(chunkBytes, from + end - at);
      visit(Math.floor(at / chunkBytes), from, to);
      at += to - from;
    }
  }

  /** The bytes of a chunk, at least `end` of them, with the pages of [start, end) no holes any more. */
  #room(number: number, start: number, end: number): Buffer {
    let chunk = this.#chunks.get(number);
    if (!chunk) {
      chunk = { bytes: this.#ofExtent(number) ?? noBytes, pages: 0, lent: 0 };
      if (this.#chunks === noChunks) this.#chunks = new Map();
      this.#chunks.set(number, chunk);
    }
    this.#setPages(chunk, chunk.pages | pagesOf(start, end));
    if (chunk.bytes.length < end) {
      let size = smallestBytes;
      while (size < end) size *= 2;
      this.#move(chunk, Buffer.alloc(size));
    } else if (this.#isLent(chunk)) this.#move(chunk, Buffer.alloc(chunk.bytes.length));
    return chunk.bytes;
  }

  /** Memory for a new chunk behind one that is there already, hence for a file that is written in order. */
  #ofExtent(number: number): Buffer | undefined {
    const before = this.#chunks.get(number - 1);
    if (!before) return undefined;
    if (number % extentChunks(number) === 0) this.#newExtent(number);
    else if (number === 1 && before.bytes.length === chunkBytes) {
      this.#newExtent(0);
      this.#move(before, this.#piece());
    }
    return this.#extent && number === this.#extentNext ? this.#piece() : undefined;
  }

  #newExtent(first: number): void {
    this.#extent = pageAlignedBytes(extentChunks(first) * chunkBytes, 0, first > 0);
    this.#extentFirst = first;
    this.#extentNext = first;
  }

  /** Of the extent, the next. */
  #piece(): Buffer {
    const at = (this.#extentNext++ - this.#extentFirst) * chunkBytes;
    return this.#extent!.subarray(at, at + chunkBytes);
  }

  #isLent(chunk: Chunk): boolean {
    return this.#loans > 0 && chunk.lent === this.#age;
  }

  #move(chunk: Chunk, to: Buffer): void {
    chunk.bytes.copy(to);
    chunk.bytes = to;
    chunk.lent = 0;
  }

  #punchChunk(number: number, from: number, to: number): void {
    const chunk = this.#chunks.get(number);
    if (!chunk) return;
    if (this.#isLent(chunk)) this.#move(chunk, Buffer.alloc(chunk.bytes.length));
    chunk.bytes.fill(0, Math.min(from, chunk.bytes.length), Math.min(to, chunk.bytes.length));
    const firstWhole = Math.ceil(from / pageBytes) * pageBytes;
    const endWhole = Math.floor(to / pageBytes) * pageBytes;
    if (firstWhole < endWhole) this.#setPages(chunk, chunk.pages & ~pagesOf(firstWhole, endWhole));
    if (chunk.pages === 0) this.#chunks.delete(number);
  }

  #setPages(chunk: Chunk, pages: number): void {
    this.#pages += countBits(pages) - countBits(chunk.pages);
    chunk.pages = pages;
  }
}
