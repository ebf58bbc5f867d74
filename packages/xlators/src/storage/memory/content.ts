/** The bytes of a file: 64 KiB chunks by number; a chunk that is not there is a hole. */

const chunkBytes = 64 * 1024;
const smallestBytes = 512;

export class Content {
  readonly #chunks = new Map<number, Buffer>();
  size = 0;
  /** Memory that the data takes. */
  allocated = 0;

  read(offset: number, size: number): Buffer {
    const length = Math.max(0, Math.min(size, this.size - offset));
    const out = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const start = at % chunkBytes;
      const part = Math.min(length - done, chunkBytes - start);
      const chunk = this.#chunks.get(Math.floor(at / chunkBytes));
      const copied = chunk && start < chunk.length ? chunk.copy(out, done, start, start + part) : 0;
      if (copied < part) out.fill(0, done + copied, done + part);
      done += part;
    }
    return out;
  }

  write(offset: number, data: Uint8Array): void {
    for (let done = 0; done < data.length; ) {
      const at = offset + done;
      const start = at % chunkBytes;
      const part = Math.min(data.length - done, chunkBytes - start);
      this.#room(Math.floor(at / chunkBytes), start + part).set(data.subarray(done, done + part), start);
      done += part;
    }
    this.size = Math.max(this.size, offset + data.length);
  }

  resize(size: number): void {
    if (size < this.size) this.punch(size, Number.POSITIVE_INFINITY);
    this.size = size;
  }

  /** Gives the range back: it reads as zeros. */
  punch(start: number, end: number): void {
    if (end - start > this.#chunks.size * chunkBytes) {
      for (const number of [...this.#chunks.keys()]) this.#punchChunk(number, start, end);
      return;
    }
    for (let number = Math.floor(start / chunkBytes); number * chunkBytes < end; number++)
      this.#punchChunk(number, start, end);
  }

  /** Makes the range take memory. */
  allocate(start: number, end: number): void {
    for (let number = Math.floor(start / chunkBytes); number * chunkBytes < end; number++)
      this.#room(number, chunkBytes);
  }

  /** The first offset at or behind `offset` that is data (or a hole; the end of the file is one); undefined: none. */
  seek(offset: number, what: 'data' | 'hole'): number | undefined {
    if (offset >= this.size) return undefined;
    const wanted = what === 'data';
    const numbers = wanted ? this.#chunksFrom(offset) : undefined;
    if (numbers) {
      const next = numbers[0];
      if (next === undefined) return undefined;
      const at = Math.max(offset, next * chunkBytes);
      return at < this.size ? at : undefined;
    }
    let number = Math.floor(offset / chunkBytes);
    if (!this.#chunks.has(number)) return offset;
    while (this.#chunks.has(number)) number++;
    return Math.min(number * chunkBytes, this.size);
  }

  #chunksFrom(offset: number): number[] {
    const first = Math.floor(offset / chunkBytes);
    return [...this.#chunks.keys()].filter((number) => number >= first).sort((a, b) => a - b);
  }

  /** The chunk, with at least `length` bytes. */
  #room(number: number, length: number): Buffer {
    const chunk = this.#chunks.get(number);
    if (chunk && chunk.length >= length) return chunk;
    let bytes = smallestBytes;
    while (bytes < length) bytes *= 2;
    const larger = Buffer.alloc(bytes);
    if (chunk) chunk.copy(larger);
    this.allocated += bytes - (chunk?.length ?? 0);
    this.#chunks.set(number, larger);
    return larger;
  }

  #punchChunk(number: number, start: number, end: number): void {
    const chunk = this.#chunks.get(number);
    if (!chunk) return;
    const base = number * chunkBytes;
    const from = Math.max(0, start - base);
    const to = Math.min(chunkBytes, end - base);
    if (from >= to) return;
    if (from === 0 && to >= chunk.length) {
      this.#chunks.delete(number);
      this.allocated -= chunk.length;
    } else chunk.fill(0, Math.min(from, chunk.length), Math.min(to, chunk.length));
  }
}
