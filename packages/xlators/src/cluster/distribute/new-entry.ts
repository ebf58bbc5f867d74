/** create, mknod, symlink, put: a new name goes to the child it hashes to, or leaves a linkto there. */
import { type Args, type Call, Errno, type Fop, fail, type Gfid, type Loc, locAt, type Reply } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healNow } from './heal.ts';
import { looksLikeLinkto } from './linkto.ts';
import { makeLinkto, removeLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { isNotNamed, lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';
import type { State } from './state.ts';
import { type Hashed, hashedPlace, underLayout } from './under-layout.ts';

type NewFop = 'create' | 'mknod' | 'symlink' | 'put';
const exclusive = 0o200;

export async function create(d: Distribute, call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
  for (let attempt = 0; ; attempt++) {
    const reply = await newEntry(d, call, 'create', args);
    if (!reply.ok || reply.iatt.gfid === args.gfid) {
      const state = reply.ok ? d.stateOf(reply.iatt.gfid) : undefined;
      if (state?.kind === 'file') d.rememberFd(args.fd, state);
      return reply;
    }
    if (!looksLikeLinkto(reply.iatt)) return reply;
    const opened = await openInstead(d, call, args, reply);
    // It led nowhere: who looked for its file has taken it away.
    if (opened.ok || opened.errno !== Errno.ENOENT || attempt > 0) return opened;
  }
}

/** The name was there as a linkto: what the caller wants opened is the file that it leads to. */
async function openInstead(
  d: Distribute,
  call: Call,
  args: Args<'create'>,
  opened: Reply<'create'> & { ok: true },
): Promise<Reply<'create'>> {
  const found = await lookupAfresh(d, call, { loc: { ...args.loc, gfid: null } });
  if (!found.ok) return found;
  if (args.flags & exclusive) return fail(Errno.EEXIST);
  const flags = args.flags & ~exclusive;
  const reply = await d.ops.open(call, { loc: { ...args.loc, gfid: found.iatt.gfid }, flags, fd: args.fd });
  return reply.ok ? { ...opened, iatt: found.iatt } : reply;
}

/** Any of the four, by its name. */
export async function newEntry<N extends NewFop>(d: Distribute, call: Call, fop: N, args: Args<N>): Promise<Reply<N>> {
  const { loc } = args as unknown as { loc: Loc };
  const made = await underLayout(d, call, loc.parent, (says) => tryTwice(d, call, fop, args, loc, says));
  return made as Reply<N>;
}

async function tryTwice<N extends NewFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  loc: Loc,
  says: boolean,
): Promise<Reply<NewFop>> {
  for (let attempt = 0; ; attempt++) {
    const hashed = await hashedPlace(d, call, loc, says);
    if (isFailure(hashed)) return hashed;
    const reply = (await makeAt(d, call, fop, args, hashed)) as Reply<NewFop>;
    if (reply.ok || attempt > 0) return reply;
    if (!(await mayRetry(d, call, loc, reply.errno))) return reply;
  }
}

async function makeAt<N extends NewFop>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  { child: hashed, believe }: Hashed,
): Promise<Reply<N>> {
  const { loc, gfid } = args as unknown as { loc: Loc; gfid: Args<'mknod'>['gfid'] };
  await d.space.refresh();
  const parent = d.stateOf(loc.parent!);
  const place = parent?.kind === 'directory' ? d.space.choose(hashed, parent.layout, (i) => d.isUsable(i)) : hashed;
  const given = (place === hashed ? believe(args as Args<NewFop>) : args) as Args<NewFop>;
  const run = async () => finish(d, loc, place, gfid, await (d.children[place]![fop] as Fop<NewFop>)(call, given));
  if (place === hashed) return (await run()) as Reply<N>;
  const made = await withNames(d, call, [{ child: hashed, parent: loc.parent!, name: loc.name! }], async () => {
    const owner = { gfid, uid: call.uid, gid: call.gid };
    const link = await makeLinkto(d, call, hashed, loc, owner, place, believe);
    if (!link.ok) return link;
    const reply = await run();
    // If it is there all the same, nobody would find it.
    if (!reply.ok && (await isNotNamed(d, call, place, loc, gfid))) await removeLinkto(d, call, hashed, loc);
    return reply;
  });
  return made as Reply<N>;
}

/** What was there already may be unsettled: who knows nothing of it looks, before he changes its names. */
function stateOfMade(d: Distribute, made: Gfid, child: number, gfid: Gfid): State {
  const known = d.stateOf(gfid);
  if (known?.kind === 'file' && known.child === child) return known;
  return { kind: 'file', child, ...(made !== gfid && { isUnsettled: true }) };
}

function finish<N extends NewFop>(d: Distribute, loc: Loc, child: number, made: Gfid, reply: Reply<N>): Reply<N> {
  if (!reply.ok) return reply;
  const found = reply as Reply<'mknod'> & { ok: true };
  if (!looksLikeLinkto(found.iatt)) {
    const inode = d.remember(found.iatt.gfid, stateOfMade(d, made, child, found.iatt.gfid));
    d.services.inodes.link(loc.parent!, loc.name!, inode);
  }
  return {
    ...found,
    preParent: directoryIatt(found.preParent),
    postParent: directoryIatt(found.postParent),
  } as unknown as Reply<N>;
}

/** Whether the refusal came of something that is put right now: a stale linkto, an outdated layout. */
async function mayRetry(d: Distribute, call: Call, loc: Loc, errno: Errno): Promise<boolean> {
  if (errno === Errno.EEXIST) {
    const found = await lookupAfresh(d, call, { loc: locAt(loc.parent!, loc.name!) });
    return !found.ok && found.errno === Errno.ENOENT;
  }
  if (errno !== Errno.ESTALE && errno !== Errno.ENOENT) return false;
  // The child lacks the directory: all are asked about it, which makes it where it is missing.
  return healNow(d, call, loc.parent!);
}
