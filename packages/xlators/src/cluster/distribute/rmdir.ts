/** rmdir: when nothing is in it that anybody sees, its copies go; last the one where its name hashes to, which decides. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  fail,
  type Gfid,
  type Loc,
  locAt,
  type Reply,
  type Success,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { whenEmpty } from './empty.ts';
import { healDirectory } from './heal.ts';
import { withNames } from './locks.ts';
import { askArgs, isAbsent, isDirectory } from './lookup.ts';
import { copiesOf } from './lookup-directory.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { beliefIn, believesNothing, hashedPlace, underLayout } from './under-layout.ts';

type RmdirReply = Reply<'rmdir'>;
type Removed = Success<'rmdir'>;

/** What the attempts of one request have removed so far. */
interface Progress {
  hashed: number;
  readonly removed: Removed[];
}

export async function rmdir(d: Distribute, call: Call, args: Args<'rmdir'>): Promise<RmdirReply> {
  const { loc } = args;
  const located = await directoryOf(d, call, loc);
  if (isFailure(located)) return located;
  // A copy that cannot be removed would bring the directory back.
  if (d.someDown) return fail(Errno.ENOTCONN);
  const { gfid } = located;
  const at = { ...args, loc: { ...loc, gfid } };
  const progress: Progress = { hashed: -1, removed: [] };
  const remove = () => underLayout(d, call, loc.parent, (says) => removeCopies(d, call, at, says, progress));
  const reply = args.recursive ? await remove() : await whenEmpty(d, call, gfid, remove);
  if (!reply.ok) {
    if (progress.removed.length > 0) void restore(d, call, at.loc, progress.hashed);
    return reply;
  }
  d.forgetState(gfid);
  const { removed } = progress;
  return {
    ...reply,
    preParent: mergeDirectoryIatts(removed.map(({ preParent }) => preParent)),
    postParent: mergeDirectoryIatts(removed.map(({ postParent }) => postParent)),
  };
}

/** By a name alone the subvolume where it hashes to tells which directory it is; nothing else need be known of one that goes. */
async function directoryOf(d: Distribute, call: Call, loc: Loc): Promise<{ readonly gfid: Gfid } | Failure> {
  if (loc.gfid === null) {
    const hashed = await d.hashedOf(call, loc.parent, loc.name);
    const found = isFailure(hashed) ? hashed : await d.children[hashed]!.lookup(call, { loc });
    if (found.ok && isDirectory(found)) return found.iatt;
  }
  const state = await d.locateLoc(call, loc);
  return isFailure(state) || state.kind === 'directory' ? state : fail(Errno.ENOTDIR);
}

/**
 * Under the lock of the name, and under the layout that makes it the lock that all take: who makes missing copies by another
 * layout holds another one.
 */
async function removeCopies(
  d: Distribute,
  call: Call,
  args: Args<'rmdir'>,
  says: boolean,
  progress: Progress,
): Promise<RmdirReply> {
  const { loc } = args;
  const place = await hashedPlace(d, call, loc, says);
  if (isFailure(place)) return place;
  const hashed = place.child;
  const believe = says ? beliefIn(d, loc.parent!) : () => believesNothing;
  progress.hashed = hashed;
  const removeOn = async (i: number) => {
    const reply = await d.children[i]!.rmdir(call, believe(i)(args));
    if (reply.ok) progress.removed.unshift(reply);
    return reply;
  };
  return withNames(d, call, [{ child: hashed, parent: loc.parent!, name: loc.name! }], async () => {
    const rest = await d.ask(
      d.indices.filter((i) => i !== hashed),
      (_child, i) => removeOn(i),
    );
    const failed = rest.find((reply): reply is Failure => !reply.ok && !isAbsent(reply));
    const last = failed ?? (await removeOn(hashed));
    // An attempt by another layout had it among the others.
    return isAbsent(last) ? (progress.removed[0] ?? last) : last;
  });
}

/** Makes again what was removed of a directory that stays; starts when the lock of the removal is given back. */
async function restore(d: Distribute, call: Call, loc: Loc, hashed: number): Promise<void> {
  const at = locAt(loc.parent!, loc.name!);
  const own = d.ownCall(call);
  const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc: at })));
  if (!replies.some(isDirectory)) return;
  await healDirectory(d, own, { ...at, gfid: loc.gfid }, copiesOf(d, replies, hashed));
}
