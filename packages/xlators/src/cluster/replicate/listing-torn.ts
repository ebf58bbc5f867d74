/**
 * The listing of a directory whose replicas all accuse each other of missing names. Heal gives all of them what any has
 * (docs/heal.md), so that is what is listed until then: no name that was acknowledged is missing. Which file a name is of
 * is for its lookup to say.
 */
import {
  type Args,
  type Call,
  type Dirent,
  Errno,
  type Failure,
  fail,
  type Gfid,
  type Reply,
  type Success,
} from '@mortar/core';
import { parkingPrefix } from './heal/parking.ts';
import type { Replica } from './replica.ts';
import { failureOf, successAt } from './replica-set.ts';

type Listing = 'readdir' | 'readdirp';

/** The directory in which heal parks objects is not for users. */
export function isHidden(name: string): boolean {
  return name.startsWith(parkingPrefix);
}

/** Whether it could not be listed for that; with a replica away, that one may be right, and the others have names that are gone. */
export function isTorn(replica: Replica, gfid: Gfid, { errno }: Failure): boolean {
  const context = errno === Errno.EIO ? replica.contexts.find(gfid) : undefined;
  return context?.present.length === replica.set.count && context.readable.entry.length === 0;
}

/** A page of what all of them have together: they list in one order, with the same offsets. */
export async function listAll<N extends Listing>(
  replica: Replica,
  fop: N,
  call: Call,
  args: Args<N>,
): Promise<Reply<N>> {
  const { set } = replica;
  const replies = await set.wind(set.up, fop, call, () => args);
  const pages = set.children.map((_, child) => successAt(replies, child) as Success<Listing> | undefined);
  if (!pages.every((page) => page !== undefined)) return failureOf(replies);
  // Each is known up to its last entry only.
  const known = pages.filter(({ end }) => !end).map(({ entries }) => entries.at(-1)?.offset);
  if (known.includes(undefined)) return fail(Errno.EIO);
  const through = Math.min(...(known as number[]), Number.POSITIVE_INFINITY);
  const names = new Map<string, Dirent>();
  for (const { entries } of pages)
    for (const entry of entries)
      if (entry.offset <= through && !names.has(entry.name)) names.set(entry.name, asName(entry));
  const sorted = [...names.values()].sort((a, b) => a.offset - b.offset);
  // No more than fits the caller's page: about as many as the longest had. Names of one offset are told together.
  const most = Math.max(...pages.map(({ entries }) => entries.length));
  const last = sorted.slice(0, most).at(-1)?.offset ?? 0;
  const page = sorted.filter(({ offset }) => offset <= last);
  const end = known.length === 0 && page.length === sorted.length;
  return { ok: true, entries: page.filter(({ name }) => !isHidden(name)), end } as Reply<N>;
}

function asName(entry: Dirent): Dirent {
  return { ...entry, iatt: null, xattrs: null };
}
