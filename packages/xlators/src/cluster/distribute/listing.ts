/**
 * A page of a directory out of the listings of all children. They list in one order, that of the names' hashes
 * (docs/directory-listing.md), hence they are merged like sorted files, and an offset means the same whatever children
 * there are, and wherever a file has been moved to since.
 */
import { type Args, type Dirent, Errno, type Fd, fail, type Reply } from '@mortar/core';
import type { Distribute } from './distribute.ts';

/** What a child has of a name. */
export interface Copy {
  readonly child: number;
  readonly entry: Dirent;
}

export interface Page {
  /** In the order of their offsets. */
  readonly names: Map<string, Copy[]>;
  /** All names up to this offset are in it. */
  readonly through: number;
  readonly end: boolean;
}

/** Entries of one child behind an offset; undefined: it has nothing to say. */
export type Ask = (child: number, size: number, offset: number) => Promise<Reply<'readdirp'> | undefined>;

/** What is remembered from page to page of one reading of a directory. */
export class Reading {
  static readonly #of = new WeakMap<Fd, Reading>();
  /** Since then the children keep what they list. */
  readonly beganMs: number;
  /** How much of a page comes from each child. */
  readonly shares: number[];

  constructor(d: Distribute) {
    this.beganMs = d.services.clock.nowMs();
    this.shares = d.indices.map(() => 1);
  }

  /** From its beginning a reading is a new one. */
  static of(d: Distribute, fd: Fd, offset: number): Reading {
    const known = offset === 0 ? undefined : Reading.#of.get(fd);
    const reading = known ?? new Reading(d);
    if (!known) Reading.#of.set(fd, reading);
    return reading;
  }
}

/** About what an entry takes in a caller's buffer, its name aside. */
const entryBytes = 160;
/** Shares differ from page to page. */
const spare = 1.25;
const leastBytes = 1024;

class Source {
  readonly child: number;
  /** How far it is known, and whether that is all. */
  at: number;
  end = false;
  entries: Dirent[] = [];

  constructor(child: number, at: number) {
    this.child = child;
    this.at = at;
  }

  take(limit: number): Copy[] {
    const count = this.entries.findIndex((entry) => entry.offset > limit);
    const taken = this.entries.splice(0, count < 0 ? this.entries.length : count);
    return taken.map((entry) => ({ child: this.child, entry }));
  }
}

/** One page, of at least one name unless there is none; or the failure of a child that should have answered. */
export async function pageOf(
  reading: Reading,
  { size, offset }: Pick<Args<'readdirp'>, 'size' | 'offset'>,
  ask: Ask,
): Promise<Page | Extract<Reply<'readdirp'>, { ok: false }>> {
  const sources = reading.shares.map((_, child) => new Source(child, offset));
  const names = new Map<string, Copy[]>();
  const taken = sources.map(() => 0);
  let through = offset;
  let room = size;
  for (;;) {
    const lacking = sources.filter((source) => !source.end && source.at <= through);
    const refused = await Promise.all(lacking.map((source) => fill(source, reading, size, room, ask)));
    const failure = refused.find((one) => one !== undefined);
    if (failure) return names.size > 0 ? { names, through, end: false } : failure;
    const limit = Math.min(...sources.map((source) => (source.end ? Number.POSITIVE_INFINITY : source.at)));
    const due = sources.flatMap((source) => source.take(limit)).sort((a, b) => a.entry.offset - b.entry.offset);
    let isFull = false;
    for (const copy of due) {
      const { name, offset: at } = copy.entry;
      isFull = room <= 0 && at > through;
      if (isFull) break;
      const bytes = entryBytes + name.length;
      taken[copy.child]! += bytes;
      const copies = names.get(name);
      if (copies) copies.push(copy);
      else {
        names.set(name, [copy]);
        room -= bytes;
      }
      through = at;
    }
    const isAll = !isFull && limit === Number.POSITIVE_INFINITY;
    if (!isFull && !isAll) through = limit;
    if (!isFull && !isAll && room > size / 4) continue;
    const all = size - room;
    if (all > 0) for (const [child, bytes] of taken.entries()) reading.shares[child] = Math.min(1, bytes / all);
    return { names, through, end: isAll };
  }
}

async function fill(source: Source, reading: Reading, size: number, room: number, ask: Ask) {
  const share = Math.ceil(room * reading.shares[source.child]! * spare);
  const reply = await ask(source.child, Math.min(size, Math.max(leastBytes, share)), source.at);
  if (reply && !reply.ok) return reply;
  const last = reply?.entries.at(-1);
  // Not a listing in order: it might go on for ever.
  if (last && last.offset <= source.at) return fail(Errno.EIO);
  source.end = !reply || reply.end || last === undefined;
  source.entries.push(...(reply?.entries ?? []));
  if (last) source.at = last.offset;
  return undefined;
}
