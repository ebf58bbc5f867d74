/** unlink. */
import { type Args, type Call, Errno, fail, type Reply, type Success } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { meaningData } from './linkto.ts';
import { removeStaleLinkto } from './linkto-files.ts';
import { isAbsent, lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';
import { orElsewhere } from './on-file.ts';
import { settled } from './settle.ts';

export async function unlink(d: Distribute, call: Call, args: Args<'unlink'>): Promise<Reply<'unlink'>> {
  const { loc } = args;
  const hashed = await d.hashedOf(call, loc.parent, loc.name);
  if (isFailure(hashed)) return hashed;
  if (loc.gfid === null) {
    const done = await unlinkWhereHashed(d, call, args, hashed);
    if (done.ok || !isAbsent(done)) return done;
  }
  const reply = await orElsewhere(d, call, loc.gfid, () => unlinkOnce(d, call, args, hashed));
  if (reply.ok || !isAbsent(reply)) return reply;
  // Another file may have the name by now.
  const found = await lookupAfresh(d, call, { loc: { ...loc, gfid: null } });
  if (!found.ok) return reply;
  const { gfid } = found.iatt;
  return orElsewhere(d, call, gfid, () => unlinkOnce(d, call, { ...args, loc: { ...loc, gfid } }, hashed));
}

/**
 * Most files are where their names hash to: which file it is need not be known. What is no file in good order there (a linkto, one
 * that a move has marked or brought just now) is not meant, and the brick says that it is not there.
 */
async function unlinkWhereHashed(
  d: Distribute,
  call: Call,
  args: Args<'unlink'>,
  hashed: number,
): Promise<Reply<'unlink'>> {
  const reply = await d.children[hashed]!.unlink(call, meaningData(args, d.names.linkto));
  return reply.ok ? ofWholeParents(reply) : reply;
}

async function unlinkOnce(d: Distribute, call: Call, args: Args<'unlink'>, hashed: number): Promise<Reply<'unlink'>> {
  const { loc } = args;
  const located = await d.locateLoc(call, loc);
  if (isFailure(located)) return located;
  const { gfid } = located;
  const state = await settled(d, call, gfid, located);
  if (isFailure(state)) return state;
  if (state.kind === 'directory') return fail(Errno.EISDIR);
  const { child } = state;
  if (!d.isUp(child)) return fail(Errno.ENOTCONN);
  const given = meaningData({ ...args, loc: { ...loc, gfid } }, d.names.linkto);
  const reply = await d.children[child]!.unlink(call, given);
  if (!reply.ok) return reply;
  // After the file: the caller's permission was checked there, and a linkto that is left over leads nowhere and is
  // removed by the next lookup, whereas a file without its linkto would be lost from sight: the name may have been given again by now.
  if (child !== hashed) await removeStaleLinkto(d, call, hashed, loc);
  return ofWholeParents(reply);
}

function ofWholeParents(reply: Success<'unlink'>): Success<'unlink'> {
  return { ...reply, preParent: directoryIatt(reply.preParent), postParent: directoryIatt(reply.postParent) };
}
