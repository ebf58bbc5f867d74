/** unlink. */
import { type Args, type Call, Errno, fail, type Reply } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { meaningData } from './linkto.ts';
import { removeLinkto } from './linkto-files.ts';
import { lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';
import { orElsewhere } from './on-file.ts';
import { settled } from './settle.ts';

export async function unlink(d: Distribute, call: Call, args: Args<'unlink'>): Promise<Reply<'unlink'>> {
  const { loc } = args;
  const hashed = await d.hashedOf(call, loc.parent, loc.name);
  if (isFailure(hashed)) return hashed;
  const reply = await orElsewhere(d, call, loc.gfid, () => unlinkOnce(d, call, args, hashed));
  if (reply.ok || (reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE)) return reply;
  // Another file may have the name by now.
  const found = await lookupAfresh(d, call, { loc: { ...loc, gfid: null } });
  if (!found.ok) return reply;
  const { gfid } = found.iatt;
  return orElsewhere(d, call, gfid, () => unlinkOnce(d, call, { ...args, loc: { ...loc, gfid } }, hashed));
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
  // removed by the next lookup, whereas a file without its linkto would be lost from sight.
  if (child !== hashed) await removeLinkto(d, call, hashed, loc);
  return { ...reply, preParent: directoryIatt(reply.preParent), postParent: directoryIatt(reply.postParent) };
}
