/** Operations that are about no single file. */
import { type Args, type Call, Errno, fail, locOf, type Reply, rootGfid, type Success } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { discover } from './lookup.ts';
import { mergeStatfs } from './merge.ts';
import { fdOn, movedAway } from './on-file.ts';

export async function statfs(d: Distribute, call: Call, args: Args<'statfs'>): Promise<Reply<'statfs'>> {
  const state = args.loc.gfid ? d.stateOf(args.loc.gfid) : undefined;
  // A file is on one child only; the others are asked about their root.
  const locFor = (i: number) =>
    state?.kind === 'directory' || (state?.kind === 'file' && state.child === i) ? args.loc : locOf(rootGfid);
  const replies = await d.ask(d.indices, (child, i) => child.statfs(call, { ...args, loc: locFor(i) }));
  const good = replies.filter((reply) => reply.ok) as Success<'statfs'>[];
  if (good.length === 0) return replies[0]!;
  return { ok: true, statfs: mergeStatfs(good.map((reply) => reply.statfs)) };
}

/** Within one child; between two the caller copies. */
export async function copy_file_range(
  d: Distribute,
  call: Call,
  args: Args<'copy_file_range'>,
): Promise<Reply<'copy_file_range'>> {
  const [from, to] = await Promise.all([d.locateFd(call, args.from), d.locateFd(call, args.to)]);
  if (isFailure(from)) return from;
  if (isFailure(to)) return to;
  if (from.kind === 'directory' || to.kind === 'directory') return fail(Errno.EISDIR);
  if (from.child !== to.child) return fail(Errno.EXDEV);
  if (!d.isUp(from.child)) return fail(Errno.ENOTCONN);
  const [source, target] = [await fdOn(d, call, args.from, from.child), await fdOn(d, call, args.to, to.child)];
  const reply = await d.children[from.child]!.copy_file_range(call, { ...args, from: source, to: target });
  if (!movedAway(reply)) return reply;
  for (const { gfid } of [args.from, args.to]) {
    d.forgetState(gfid);
    await discover(d, call, gfid);
  }
  // Who copies by reading and writing finds both where they are now.
  return fail(Errno.EXDEV);
}

/** To all children; the first that knows the operation answers. */
export async function ipc(d: Distribute, call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
  const replies = await d.ask(d.indices, (child) => child.ipc(call, args));
  return replies.find((reply) => reply.ok) ?? replies[0]!;
}
