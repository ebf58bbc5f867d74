/** link: the new name is on the child that has the file; a linkto where it hashes to, if that is another one. */
import { type Args, type Call, Errno, fail, type Reply } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { makeLinkto, removeLinkto } from './linkto-files.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';

export async function link(d: Distribute, call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
  const { from, to } = args;
  const state = await d.locateLoc(call, from);
  if (isFailure(state)) return state;
  if (state.kind === 'directory') return fail(Errno.EPERM);
  const hashed = await d.hashedOf(call, to.parent, to.name);
  if (isFailure(hashed)) return hashed;
  const { child, gfid } = state;
  if (!d.isUp(child)) return fail(Errno.ENOTCONN);
  const run = async (): Promise<Reply<'link'>> => {
    const reply = await d.children[child]!.link(call, { ...args, from: { ...from, gfid } });
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
    const made = await makeLinkto(d, call, hashed, to, file.iatt, child);
    if (!made.ok) return made;
    const reply = await run();
    if (!reply.ok) await removeLinkto(d, call, hashed, to);
    return reply;
  });
}
