/** link: the new name is on the child that has the file; a linkto where it hashes to, if that is another one. */
import { type Args, type Call, Errno, fail, type Gfid, type Reply, type Success } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healNow } from './heal.ts';
import { meaningData } from './linkto.ts';
import { makeLinkto, removeLinkto } from './linkto-files.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { isAbsent, isData, isNotNamed, lookOn, lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';
import { orElsewhere } from './on-file.ts';
import { settled } from './settle.ts';
import { hashedPlace, underLayout } from './under-layout.ts';

export async function link(d: Distribute, call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
  const run = () => underLayout(d, call, args.to.parent, (says) => linkUnder(d, call, args, says));
  const reply = await orElsewhere(d, call, args.from.gfid, run);
  if (!isAbsent(reply) || args.to.parent === null) return reply;
  // The child that has the file may lack the directory.
  return (await healNow(d, call, args.to.parent)) ? orElsewhere(d, call, args.from.gfid, run) : reply;
}

async function linkUnder(d: Distribute, call: Call, args: Args<'link'>, says: boolean): Promise<Reply<'link'>> {
  const { from, to } = args;
  const located = await d.locateLoc(call, from);
  if (isFailure(located)) return located;
  const { gfid } = located;
  const state = await settled(d, call, gfid, located);
  if (isFailure(state)) return state;
  if (state.kind === 'directory') return fail(Errno.EPERM);
  const place = await hashedPlace(d, call, to, says);
  if (isFailure(place)) return place;
  const { child: hashed, believe } = place;
  const { child } = state;
  if (!d.isUp(child)) return fail(Errno.ENOTCONN);
  const run = async (): Promise<Reply<'link'>> => {
    const given = meaningData({ ...args, from: { ...from, gfid } }, d.names.linkto);
    const reply = await d.children[child]!.link(call, child === hashed ? believe(given) : given);
    if (!reply.ok) return reply;
    return { ...reply, preParent: directoryIatt(reply.preParent), postParent: directoryIatt(reply.postParent) };
  };
  if (child === hashed) return run();
  // A name that is taken is found where it hashes to, or by its linkto; stale ones are removed here.
  const taken = await lookupAfresh(d, call, { loc: withoutIdentity(to) });
  if (taken.ok) return fail(Errno.EEXIST);
  if (taken.errno !== Errno.ENOENT) return taken;
  return withNames(d, call, [{ child: hashed, parent: to.parent!, name: to.name! }], async () => {
    const file = await d.children[child]!.stat(d.ownCall(call), { loc: { ...from, gfid } });
    if (!file.ok) return file;
    const made = await makeLinkto(d, call, hashed, to, file.iatt, child, believe);
    if (!made.ok) return made;
    let reply = await run();
    // A linkto where the name does not hash to has no use.
    if (!reply.ok && reply.errno === Errno.EEXIST && (await removeLinkto(d, call, child, to)).ok) reply = await run();
    if (reply.ok) return reply;
    const arrived = await arrivedThere(d, call, hashed, to, gfid);
    // If it has that name, the linkto is that of who gave it.
    if (!arrived && (await isNotNamed(d, call, child, to, gfid))) await removeLinkto(d, call, hashed, to);
    return arrived ?? reply;
  });
}

/**
 * The file has been moved to where the new name hashes to, after that got a linkto: then the linkto has become the file, and the new
 * name one of its names.
 */
async function arrivedThere(
  d: Distribute,
  call: Call,
  hashed: number,
  to: Args<'link'>['to'],
  gfid: Gfid,
): Promise<Success<'link'> | undefined> {
  const found = await lookOn(d, call, hashed, to);
  if (!found.ok || !isData(d, found) || found.iatt.gfid !== gfid) return undefined;
  d.remember(gfid, { kind: 'file', child: hashed });
  const parent = directoryIatt(found.postParent);
  return { ok: true, iatt: found.iatt, preParent: parent, postParent: parent };
}
