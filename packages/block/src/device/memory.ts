/**
 * A device in memory: pages that were never written do not exist. Reads give the pages themselves. For tests, for scratch
 * volumes, and to measure everything above.
 */
import { Errno } from '@mortar/core';
import {
  type Answer,
  type Done,
  done,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
  zeroPiece,
} from './device.ts';
import { ExtentList } from './extents.ts';
import { GuardedDevice, plainTraits } from './guarded.ts';

export interface MemoryOptions {
  readonly sizeBytes: number;
  readonly readOnly?: boolean;
  /** The most memory that it takes: what is beyond is refused with ENOSPC. By default its size. */
  readonly allocatedMaxBytes?: number;
  /** A power of 2, up to 1 MiB. */
  readonly pageBytes?: number;
}

export class MemoryDevice extends GuardedDevice {
  readonly traits: Traits;
  readonly #pageBytes: number;
  readonly #pagesMax: number;
  /** Array buffers, never shared ones: those are copied with atomics, which takes twice the time. */
  readonly #pages = new Map<number, Buffer>();
  #sizeBytes: number;

  constructor({ sizeBytes, readOnly = false, allocatedMaxBytes, pageBytes = 64 * 1024 }: MemoryOptions) {
    super();
    this.#sizeBytes = sizeBytes;
    this.#pageBytes = pageBytes;
    this.#pagesMax = allocatedMaxBytes === undefined ? Number.POSITIVE_INFINITY : allocatedMaxBytes / pageBytes;
    this.traits = { ...plainTraits, readOnly, streams: true, resizable: !readOnly };
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get allocatedBytes(): number {
    return this.#pages.size * this.#pageBytes;
  }

  protected doRead(offset: number, length: number): Answer<ReadReply> {
    const pageBytes = this.#pageBytes;
    const start = offset % pageBytes;
    if (start + length <= pageBytes) {
      const page = this.#pages.get(Math.floor(offset / pageBytes));
      return { ok: true, pieces: [page ? page.subarray(start, start + length) : zeroPiece(length)] };
    }
    const pieces: Uint8Array[] = [];
    this.#eachPage(offset, length, (number, from, to) => {
      const page = this.#pages.get(number);
      pieces.push(page ? page.subarray(from, to) : zeroPiece(to - from));
    });
    return { ok: true, pieces };
  }

  protected doWrite(offset: number, bytes: Uint8Array): Answer<Done> {
    if (!this.#hasRoom(offset, bytes.length)) return refuse(Errno.ENOSPC);
    let at = 0;
    this.#eachPage(offset, bytes.length, (number, from, to) => {
      this.#pageAt(number).set(
        at === 0 && to - from === bytes.length ? bytes : bytes.subarray(at, at + to - from),
        from,
      );
      at += to - from;
    });
    return done;
  }

  protected doZero(offset: number, length: number, { mayTrim }: ZeroHow): Answer<Done> {
    // Only where memory is limited does a page that exists promise anything.
    if (mayTrim || this.#pagesMax === Number.POSITIVE_INFINITY) return this.doTrim(offset, length);
    if (!this.#hasRoom(offset, length)) return refuse(Errno.ENOSPC);
    this.#eachPage(offset, length, (number, from, to) => void this.#pageAt(number).fill(0, from, to));
    return done;
  }

  protected doTrim(offset: number, length: number): Answer<Done> {
    const first = Math.floor(offset / this.#pageBytes);
    const last = Math.floor((offset + length - 1) / this.#pageBytes);
    // Of a large range most pages do not exist.
    if (last - first > this.#pages.size) {
      for (const number of [...this.#pages.keys()]) if (number > first && number < last) this.#pages.delete(number);
      this.#clear(first, offset % this.#pageBytes, this.#pageBytes);
      this.#clear(last, 0, ((offset + length - 1) % this.#pageBytes) + 1);
    } else {
      this.#eachPage(offset, length, (number, from, to) => this.#clear(number, from, to));
    }
    return done;
  }

  protected doFlush(): Answer<Done> {
    return done;
  }

  protected doStatus(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    const list = new ExtentList(extentsMax);
    // A bounded look, whatever the size of the device: the asker comes again.
    const looked = Math.min(length, 16_384 * this.#pageBytes);
    this.#eachPage(offset, looked, (number, from, to) => {
      const isThere = this.#pages.has(number);
      list.add(to - from, !isThere, !isThere);
    });
    return { ok: true, extents: list.extents };
  }

  protected override doResize(sizeBytes: number): Answer<Done> {
    if (sizeBytes < this.#sizeBytes) this.doTrim(sizeBytes, this.#sizeBytes - sizeBytes);
    this.#sizeBytes = sizeBytes;
    return done;
  }

  override async close(): Promise<void> {
    this.#pages.clear();
  }

  #eachPage(offset: number, length: number, visit: (number: number, from: number, to: number) => void): void {
    const pageBytes = this.#pageBytes;
    for (let at = offset, end = offset + length; at < end; ) {
      const from = at % pageBytes;
      const to = Math.min(pageBytes, from + end - at);
      visit(Math.floor(at / pageBytes), from, to);
      at += to - from;
    }
  }

  #pageAt(number: number): Buffer {
    let page = this.#pages.get(number);
    if (!page) {
      page = Buffer.alloc(this.#pageBytes);
      this.#pages.set(number, page);
    }
    return page;
  }

  /** Also after the change itself, of the pages that it adds. */
  #hasRoom(offset: number, length: number): boolean {
    if (this.#pagesMax === Number.POSITIVE_INFINITY) return true;
    let added = 0;
    this.#eachPage(offset, length, (number) => {
      if (!this.#pages.has(number)) added++;
    });
    return this.#pages.size + added <= this.#pagesMax;
  }

  #clear(number: number, from: number, to: number): void {
    if (from === 0 && to === this.#pageBytes) this.#pages.delete(number);
    else this.#pages.get(number)?.fill(0, from, to);
  }
}
