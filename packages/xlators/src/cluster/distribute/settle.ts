/**
 * Ends what a killed move left of a file, or takes it back. Until that is done the file's names stay as they are: one that
 * was removed at its new place only would come back with what is left at the old one.
 */
import { type Call, Errno, type Failure, FileType, fail, type Gfid, locOf } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import type { Done } from './linkto-files.ts';
import { withMovesShut } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, type LookupReply } from './lookup.ts';
import { isMarked, leaveLinkto, removeMark, unmark } from './marks.ts';
import { durable } from './show.ts';
import { settleSpecial } from './special.ts';
import type { State } from './state.ts';
import { inTurn } from './turns.ts';

/** A file can be moved on while one waits for who moves it. */
const attemptsMax = 4;

/** A file whose names are about to change: where it is, when nothing of a move is left. */
export async function settled<S extends State>(
  d: Distribute,
  call: Call,
  gfid: Gfid,
  state: S,
): Promise<S | State | Failure> {
  if (state.kind !== 'file' || !state.isUnsettled) return state;
  const done = await settle(d, call, gfid);
  if (!done.ok) return done;
  d.forgetState(gfid);
  return d.locate(call, gfid);
}

/** While this process does not move the file. */
export function settle(d: Distribute, call: Call, gfid: Gfid): Promise<Done> {
  return inTurn(d, gfid, () => settleInTurn(d, call, gfid));
}

/** Who moves the file now ends what he does first. */
export async function settleInTurn(d: Distribute, call: Call, gfid: Gfid): Promise<Done> {
  const own = d.ownCall(call);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const files = filesAmong(d, await everywhere(d, own, gfid));
    const done = await withMovesShut(d, own, files, gfid, () => settleShut(d, own, gfid, files));
    if (done.ok || done.errno !== Errno.EAGAIN) return done;
  }
  return fail(Errno.EAGAIN);
}

function filesAmong(d: Distribute, replies: readonly LookupReply[]): number[] {
  return d.indices.filter((i) => isData(d, replies[i]!));
}

async function everywhere(d: Distribute, own: Call, gfid: Gfid): Promise<LookupReply[]> {
  const args = askArgs(d, { loc: locOf(gfid), want: [d.names.moving] });
  return d.ask(d.indices, (child) => child.lookup(own, args));
}

function markedAt(d: Distribute, replies: readonly LookupReply[], child: number): boolean {
  const reply = replies[child]!;
  return isData(d, reply) && isMarked(d, reply);
}

/** EAGAIN: it has come to another child than these, which are locked. */
async function settleShut(d: Distribute, own: Call, gfid: Gfid, locked: readonly number[]): Promise<Done> {
  const replies = await everywhere(d, own, gfid);
  const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
  if (unsure && !unsure.ok) return unsure;
  const files = filesAmong(d, replies);
  if (files.some((i) => !locked.includes(i))) return fail(Errno.EAGAIN);
  const at = (i: number) => replies[i] as Found;
  if (files.some((i) => at(i).iatt.type !== FileType.regular)) {
    const copies = files.map((child) => ({ child, found: at(child) }));
    return settleSpecial(d, own, gfid, copies);
  }
  const places = files.filter((i) => !markedAt(d, replies, i));
  if (places.length > 1) return fail(Errno.EIO);
  const marked = files.filter((i) => markedAt(d, replies, i));
  const [place] = places;
  if (place === undefined) {
    // Both, where the file's own mode is that of the mark: only the old place has it in its xattr.
    const [from] = marked.length > 1 ? marked.filter((i) => at(i).xattrs[d.names.movingMode]) : marked;
    if (from === undefined) return { ok: true };
    if (!(await unmark(d, own, { gfid, from }, at(from)))) return fail(Errno.EIO);
    const hasBarrier = at(from).xattrs[d.names.moving] !== undefined;
    return hasBarrier ? removeMark(d, own, from, at(from).iatt, d.names.moving) : { ok: true };
  }
  if (marked.length > 0 && d.options['ensure-durability']) {
    const synced = await d.children[place]!.compound(own, { steps: [durable(gfid)] });
    if (!synced.ok) return synced;
    const [reply] = synced.replies;
    if (!reply?.ok) return fail((reply as Failure | undefined)?.errno ?? Errno.EIO);
  }
  for (const from of marked)
    if (!(await leaveLinkto(d, own, { gfid, from, to: place }, at(from)))) return fail(Errno.EIO);
  for (const name of [d.names.linkto, d.names.movingMode, d.names.moving]) {
    if (!at(place).xattrs[name]) continue;
    const removed = await removeMark(d, own, place, at(place).iatt, name);
    if (!removed.ok) return removed;
  }
  return { ok: true };
}
