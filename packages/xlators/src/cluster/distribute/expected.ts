/**
 * How many files of one directory, and bytes of them, are to be moved once it is laid out anew: collected before the layout is
 * known, in memory that does not grow with the directory. Few names are told apart exactly, many by the beginning of their hash.
 */
import { childOfHash, type Layout } from './layout.ts';

const exactMax = 4096;
const bucketBits = 20;

interface Files {
  count: number;
  bytes: number;
}

export class Expected {
  /** By child, and in it by hash, or by bucket. */
  #files = new Map<number, Map<number, Files>>();
  #size = 0;
  #isCoarse = false;

  add(child: number, hash: number, bytes: number): void {
    this.#put(child, this.#isCoarse ? bucketOf(hash) : hash, 1, bytes);
    if (!this.#isCoarse && this.#size > exactMax) this.#coarsen();
  }

  /** Files whose name hashes to another child than the one that has them. */
  misplaced(layout: Layout, use: (count: number, bytes: number) => void): void {
    for (const [child, files] of this.#files)
      for (const [hash, { count, bytes }] of files) if (childOfHash(layout, hash) !== child) use(count, bytes);
  }

  #put(child: number, key: number, count: number, bytes: number): void {
    const files = this.#files.get(child) ?? new Map<number, Files>();
    this.#files.set(child, files);
    const known = files.get(key);
    if (known) {
      known.count += count;
      known.bytes += bytes;
    } else {
      files.set(key, { count, bytes });
      this.#size++;
    }
  }

  #coarsen(): void {
    const exact = this.#files;
    this.#files = new Map();
    this.#isCoarse = true;
    for (const [child, files] of exact)
      for (const [hash, { count, bytes }] of files) this.#put(child, bucketOf(hash), count, bytes);
  }
}

/** The middle of its bucket: of one that a range ends in, half is right. */
function bucketOf(hash: number): number {
  return (((hash >>> bucketBits) << bucketBits) >>> 0) + 2 ** (bucketBits - 1);
}
