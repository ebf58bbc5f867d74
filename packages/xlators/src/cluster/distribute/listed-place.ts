/**
 * What a listing with attributes tells of where things are. Who lists a directory uses what is in it next: that then needs no
 * lookup of its own. Only what is in good order is learned; the rest is for a lookup, which also heals. That it may be out of date by then
 * is nothing new: who believes what a lookup said some time ago is told by the bricks as well.
 */
import { Errno, fail, type Gfid, locAt } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { needsHeal } from './heal.ts';
import type { Copy } from './listing.ts';
import type { Found } from './lookup.ts';
import { copiesOf, learn } from './lookup-directory.ts';

/** `copies`: all that there is of a file, without linktos. */
export function learnFile(d: Distribute, copies: readonly Copy[]): void {
  const [{ child, entry }] = copies as [Copy];
  const { gfid, iatt, xattrs } = entry;
  if (gfid === null || !iatt || !xattrs || d.stateOf(gfid)) return;
  // One that has just come, is about to go, or is there twice is looked at more closely.
  if (copies.length > 1 || xattrs[d.names.linkto] !== undefined) return;
  d.remember(gfid, d.settledAt[child]!);
}

/**
 * `copies`: all that there are, of children that are up; `generation`: counted before they were asked. False: it is to be looked up,
 * which heals it, as one is that is not on all children yet.
 */
export function learnDirectory(d: Distribute, parent: Gfid, copies: readonly Copy[], generation: number): boolean {
  const { gfid, name } = copies[0]!.entry;
  if (gfid === null) return true;
  const known = d.stateOf(gfid);
  if (known?.kind === 'directory' && known.generation === d.generation) return true;
  const replies = d.indices.map((i) => {
    const entry = copies.find(({ child }) => child === i)?.entry;
    if (!entry) return d.isUp(i) ? fail(Errno.ENOENT) : undefined;
    const isWhole = entry.gfid === gfid && entry.iatt && entry.xattrs;
    return isWhole ? foundAs(entry.iatt!, entry.xattrs!) : undefined;
  });
  const all = replies.every((reply) => reply !== undefined) ? copiesOf(d, replies, undefined) : undefined;
  const isAmiss = all !== undefined && needsHeal(d, all);
  if (all && !isAmiss) learn(d, locAt(parent, name, gfid), all, generation);
  // Who heals it must know its name.
  else d.services.inodes.link(parent, name, d.services.inodes.get(gfid));
  return !isAmiss;
}

function foundAs(iatt: Found['iatt'], xattrs: Found['xattrs']): Found {
  return { ok: true, iatt, postParent: iatt, xattrs };
}
