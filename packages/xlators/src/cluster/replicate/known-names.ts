/**
 * Names of a directory whose lease we hold: while we do, nobody else gives it one. A name that is not among those it had
 * and those that we touched since does not exist, and need not be asked for (docs/replicate.md, Names that are not there).
 */
import { type ByteString, Fd, type Gfid, locOf } from '@mortar/core';
import type { Lease } from './lease.ts';
import type { Replica } from './replica.ts';

/** More names are not kept. */
const namesMax = 16_384;
const pageBytes = 64 * 1024;
/** After so many names that were not there, all names are asked for at once. */
const missesBeforeListing = 8;
/** A lease without an answer from its bricks for so long may have been lost without our knowing. */
const believedForMs = 1_000;

export class KnownNames {
  /** What may be there: all names at the beginning, and every one that was touched since. */
  readonly #names = new Set<ByteString>();
  #complete: boolean;
  #misses = 0;
  #isListing = false;
  /** A layout of the directory that its bricks have confirmed under this lease: nobody changes it meanwhile. */
  layout: string | undefined;

  constructor(isEmpty: boolean) {
    this.#complete = isEmpty;
  }

  /** Before a name is changed. */
  touch(name: ByteString): void {
    if (this.#complete || this.#isListing) this.#add(name);
  }

  /** Nothing is known any more: somebody works on the directory past us. */
  forget(): void {
    this.#complete = false;
    this.#isListing = false;
    this.#names.clear();
  }

  lacks(name: ByteString): boolean {
    return this.#complete && !this.#names.has(name) && name !== '.' && name !== '..';
  }

  /** A name was asked for in vain. Whether it is time to list the directory. */
  missed(): boolean {
    return !this.#complete && !this.#isListing && ++this.#misses % missesBeforeListing === 0;
  }

  /** Reads all names from one page after the other; undefined ends it in vain. */
  async list(pages: (offset: number) => Promise<Page | undefined>): Promise<void> {
    this.#isListing = true;
    for (let offset = 0; this.#isListing; ) {
      const page = await pages(offset);
      if (!page || !this.#isListing) return this.forget();
      for (const name of page.names) this.#add(name);
      if (page.end && this.#isListing) {
        this.#complete = true;
        this.#isListing = false;
        return;
      }
      offset = page.next;
    }
  }

  #add(name: ByteString): void {
    this.#names.add(name);
    if (this.#names.size > namesMax) this.forget();
  }
}

interface Page {
  readonly names: readonly ByteString[];
  readonly next: number;
  readonly end: boolean;
}

/** Whether a name is known not to be there; `layout`: and the directory to be laid out so. */
export function isKnownMissing(replica: Replica, parent: Gfid, name: ByteString, layout?: string): boolean {
  const lease = replica.contexts.find(parent)?.lease;
  if (lease === undefined || !isSole(replica, lease) || !lease.names.lacks(name)) return false;
  return layout === undefined || layout === lease.names.layout;
}

/** A name was not there, by this layout. Where many are asked for, as before many are made, it pays to know all that are. */
export function learnFromMiss(replica: Replica, parent: Gfid, before: Lease | undefined, layout?: string): void {
  const lease = replica.contexts.find(parent)?.lease;
  if (!lease || !isSole(replica, lease)) return;
  // Held since before it was asked for.
  if (lease === before && layout !== undefined) lease.names.layout = layout;
  if (!lease.names.missed()) return;
  const { set } = replica;
  const child = set.children.findIndex((_, i) => set.holdsData(i));
  const call = replica.rootCall();
  const fd = new Fd(parent);
  const pages = async (offset: number): Promise<Page | undefined> => {
    if (offset === 0 && !(await set.windOne(child, 'opendir', call, { loc: locOf(parent), fd })).ok) return undefined;
    const page = await set.windOne(child, 'readdir', call, { fd, size: pageBytes, offset });
    if (!page.ok || !isSole(replica, lease)) return undefined;
    const last = page.entries.at(-1);
    return { names: page.entries.map(({ name }) => name), next: last?.offset ?? 0, end: page.end || !last };
  };
  void lease.names.list(pages).finally(() => fd.release());
}

/** Held on all replicas, which are alike as far as anybody said, and heard of just now. */
function isSole({ set, services }: Replica, lease: Lease): boolean {
  if (lease.recalled || lease.leaving || lease.holds.size < set.count) return false;
  return lease.isUnmarked && services.clock.nowMs() - lease.heardMs <= believedForMs;
}
