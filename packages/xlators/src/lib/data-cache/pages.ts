/** Pages of all files within one bound of bytes: the least recently used of the least weight goes first. */
import { strict as assert } from 'node:assert';

export interface Page {
  readonly owner: PagesOfFile;
  readonly index: number;
  readonly data: Uint8Array;
}

/** What a page costs beside its data. */
const overheadBytes = 200;

/** The pages of one file; made by `PageStore.file`. */
export class PagesOfFile {
  readonly pages = new Map<number, Page>();
  weight: number;

  constructor(weight: number) {
    this.weight = weight;
  }
}

export class PageStore {
  limitBytes: number;
  #used = 0;
  /** By weight; each oldest first (a Set keeps the order of insertion). */
  readonly #recent = new Map<number, Set<Page>>();

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** The data of a page, which is in use now. */
  get(file: PagesOfFile, index: number): Uint8Array | undefined {
    const page = file.pages.get(index);
    if (!page) return undefined;
    const recent = this.#recent.get(file.weight)!;
    recent.delete(page);
    recent.add(page);
    return page.data;
  }

  /** Keeps `data`, which must not be changed any more. */
  put(file: PagesOfFile, index: number, data: Uint8Array): void {
    this.remove(file, index);
    const page: Page = { owner: file, index, data };
    file.pages.set(index, page);
    let recent = this.#recent.get(file.weight);
    if (!recent) {
      recent = new Set();
      this.#recent.set(file.weight, recent);
    }
    recent.add(page);
    this.#used += data.length + overheadBytes;
    this.shrink();
  }

  remove(file: PagesOfFile, index: number): void {
    const page = file.pages.get(index);
    if (page) this.#drop(page);
  }

  clear(file: PagesOfFile): void {
    for (const page of [...file.pages.values()]) this.#drop(page);
  }

  setWeight(file: PagesOfFile, weight: number): void {
    if (file.weight === weight) return;
    const kept = [...file.pages.values()];
    this.clear(file);
    file.weight = weight;
    for (const page of kept) this.put(file, page.index, page.data);
  }

  /** Down to the limit, after it was lowered too. */
  shrink(): void {
    while (this.#used > this.limitBytes) {
      const lightest = Math.min(...this.#recent.keys());
      const [oldest] = this.#recent.get(lightest)!;
      this.#drop(oldest!);
    }
  }

  #drop(page: Page): void {
    const { owner } = page;
    const recent = this.#recent.get(owner.weight)!;
    assert(recent.delete(page), 'a page is in the list of its weight');
    if (recent.size === 0) this.#recent.delete(owner.weight);
    owner.pages.delete(page.index);
    this.#used -= page.data.length + overheadBytes;
    assert(this.#used >= 0);
  }
}
