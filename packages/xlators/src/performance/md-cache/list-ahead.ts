/**
 * Lists directories ahead of those who look their names up one by one, as `git status`, `rsync` and `make` do (README,
 * Listing ahead): a page of a listing tells of a hundred names what a hundred lookups would, for the price of a few.
 */
import { type Args, type Call, type Clock, Fd, type Gfid, locOf, type Reply, type Timer } from '@mortar/core';
import { Credit } from './credit.ts';

/** Pages grow: a small directory is done with the first, and nobody waits long behind one. */
const pageMinBytes = 8 * 1024;
const pageMaxBytes = 32 * 1024;
/** A listing of which nobody wants more for so long ends. */
const idleMs = 1000;
const directoriesMax = 256;
const listingsMax = 8;

/** The subvolume; `readdirp` keeps what it learns. */
export interface Below {
  opendir(call: Call, args: Args<'opendir'>): Promise<Reply<'opendir'>>;
  readdirp(call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>>;
}

interface Directory {
  readonly credit: Credit;
  listing: Listing | undefined;
}

interface Listing {
  readonly directory: Directory;
  readonly call: Call;
  readonly fd: Fd;
  offset: number;
  pageBytes: number;
  isReading: boolean;
  idle: Timer | undefined;
}

export class ListAhead {
  readonly #below: Below;
  readonly #clock: Clock;
  readonly #bug: (error: unknown) => void;
  /** From the one that was longest not asked about. */
  readonly #directories = new Map<Gfid, Directory>();
  readonly #listings = new Set<Listing>();
  readonly counts = { listings: 0, entries: 0, hits: 0 };

  /** `bug`: is told of an exception from below, which ends the listing. */
  constructor(below: Below, clock: Clock, bug: (error: unknown) => void) {
    this.#below = below;
    this.#clock = clock;
    this.#bug = bug;
  }

  /** A name of the directory had to be asked for, and is there; what is listed now is believed for `validMs`. */
  missed(parent: Gfid, call: Call, validMs: number): void {
    const directory = this.#directory(parent);
    if (!directory.credit.missed(this.#clock.nowMs(), validMs)) return;
    if (directory.listing || this.#listings.size >= listingsMax) return;
    this.#begin(directory, parent, call);
  }

  /** A name was looked up that a listing had told of. */
  hit(parent: Gfid): void {
    this.counts.hits++;
    const directory = this.#directories.get(parent);
    if (!directory) return;
    directory.credit.earn();
    if (directory.listing && !directory.listing.isReading) void this.#read(directory.listing);
  }

  /** What was listed is not believed any more, and descriptors are to be closed. */
  stop(): void {
    for (const listing of [...this.#listings]) this.#end(listing);
    this.#directories.clear();
  }

  #directory(gfid: Gfid): Directory {
    const directory = this.#directories.get(gfid) ?? { credit: new Credit(), listing: undefined };
    this.#directories.delete(gfid);
    this.#directories.set(gfid, directory);
    if (this.#directories.size > directoriesMax) {
      const [oldest] = this.#directories.keys() as IterableIterator<Gfid>;
      const { listing } = this.#directories.get(oldest!)!;
      if (listing) this.#end(listing);
      this.#directories.delete(oldest!);
    }
    return directory;
  }

  /** In the name of who looks up: what he may not list is not listed for him. Nobody waits for it. */
  #begin(directory: Directory, parent: Gfid, { uid, gid, groups, pid, clientId, time }: Call): void {
    const call: Call = { uid, gid, groups, pid, lockOwner: '', clientId, time };
    const fd = new Fd(parent);
    const listing: Listing = {
      directory,
      call,
      fd,
      offset: 0,
      pageBytes: pageMinBytes,
      isReading: false,
      idle: undefined,
    };
    directory.listing = listing;
    this.#listings.add(listing);
    directory.credit.begin(this.#clock.nowMs());
    this.counts.listings++;
    void this.#read(listing);
  }

  async #read(listing: Listing): Promise<void> {
    listing.isReading = true;
    listing.idle?.cancel();
    try {
      await this.#readPages(listing);
    } catch (error) {
      // Nobody waits for it who could be told.
      this.#bug(error);
      this.#end(listing);
    }
    listing.isReading = false;
    if (this.#listings.has(listing)) listing.idle = this.#clock.after(idleMs, () => this.#end(listing));
    // Ended while it read: the descriptor was in use until now.
    else listing.fd.release();
  }

  /** As far as the credit goes; ends a listing of which there is no more. */
  async #readPages(listing: Listing): Promise<void> {
    const { call, fd, directory } = listing;
    if (listing.offset === 0 && !(await this.#below.opendir(call, { loc: locOf(fd.gfid), fd })).ok) this.#end(listing);
    while (this.#listings.has(listing) && directory.credit.isLeft) {
      const { offset, pageBytes: size } = listing;
      const page = await this.#below.readdirp(call, { fd, size, offset });
      const last = page.ok ? page.entries.at(-1) : undefined;
      directory.credit.spend(page.ok ? page.entries.length : 0);
      this.counts.entries += page.ok ? page.entries.length : 0;
      if (!page.ok || page.end || !last) this.#end(listing);
      else listing.offset = last.offset;
      listing.pageBytes = Math.min(pageMaxBytes, size * 2);
    }
  }

  #end(listing: Listing): void {
    listing.idle?.cancel();
    this.#listings.delete(listing);
    listing.directory.listing = undefined;
    if (!listing.isReading) listing.fd.release();
  }
}
