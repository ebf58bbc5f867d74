/** Attributes that a reply tells: each part from a replica that is right about it. Rules: docs/replicate.md, Attributes in replies. */
import { emptyIatt, FileType, type FopName, fops, type Gfid, type Iatt, nullGfid, type Success } from '@mortar/core';
import { iattFieldsOf } from '../../lib/subjects.ts';
import type { Kind } from './changelog.ts';
import type { Lease } from './lease.ts';
import { type ReplicaSet, type Replies, successAt } from './replica-set.ts';

/** Children that are right about a file, best first. */
export interface Right {
  /** About its data, of a directory its names: size and blocks. */
  readonly contents: readonly number[];
  /** About all else. */
  readonly metadata: readonly number[];
}

/** From one that is right about all, else put together. Undefined where nobody who is right about a part has said anything. */
export function mergedIatt(right: Right, iattOf: (child: number) => Iatt | undefined): Iatt | undefined {
  const metadata = right.metadata.filter(iattOf);
  const contents = right.contents.filter(iattOf);
  const best = metadata.find((child) => contents.includes(child)) ?? metadata[0];
  const attributes = best === undefined ? undefined : iattOf(best);
  const holder = contents[0];
  if (!attributes || holder === undefined) return undefined;
  if (contents.includes(best!)) return attributes;
  const { type, size, blocks } = iattOf(holder)!;
  return attributes.type === type ? { ...attributes, size, blocks } : attributes;
}

/** Of `done`, by the marks under the lease. Where these are right about nothing, what some have is shown. */
export function rightUnder(lease: Lease, set: ReplicaSet, type: FileType, done: readonly number[]): Right {
  const holders = done.filter((child) => set.holdsData(child));
  const able = holders.length > 0 ? holders : done;
  if (done.length === set.count && lease.isUnmarked) return { contents: able, metadata: able };
  const sources = (kind: Kind, among: readonly number[]) => {
    const right = lease.sources(kind, set).filter((child) => among.includes(child));
    return right.length > 0 ? right : among;
  };
  // An arbiter has the names, and no data.
  const contents = type === FileType.directory ? sources('entry', done) : sources('data', able);
  return { contents, metadata: sources('metadata', done) };
}

/**
 * The reply of `best`, with attributes of those that are right about each file in it. Of one of which `rightOf` does not know who is
 * they are unknown (`isKnownIatt`), but for `iatt` of what was made just now: whoever made it has it alike.
 */
export function told<N extends FopName>(
  fop: N,
  replies: Replies<N>,
  best: number,
  rightOf: (gfid: Gfid, type: FileType) => Right | undefined,
): Success<N> {
  const reply = successAt(replies, best)!;
  const isMade = 'gfid' in fops[fop].args;
  let whole = reply;
  for (const field of iattFieldsOf(fop)) {
    const own = iattIn(reply, field);
    if (!own || own.gfid === nullGfid || (isMade && field === 'iatt')) continue;
    const right = rightOf(own.gfid, own.type);
    const iatt = right && mergedIatt(right, (child) => ofSame(iattIn(successAt(replies, child), field), own.gfid));
    if (iatt !== own) whole = { ...whole, [field]: iatt ?? emptyIatt(own.gfid) };
  }
  return whole;
}

function iattIn(reply: object | undefined, field: string): Iatt | undefined {
  return (reply as Record<string, Iatt> | undefined)?.[field];
}

function ofSame(iatt: Iatt | undefined, gfid: Gfid): Iatt | undefined {
  return iatt?.gfid === gfid ? iatt : undefined;
}
