/** Lookup: the child that a name hashes to first, the others only when the name may be there (docs/distribute.md). */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  FileType,
  fail,
  type Gfid,
  type Loc,
  locOf,
  nullGfid,
  type Reply,
  rootGfid,
  type Success,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { childOfHash, isAsFirstDealt } from './layout.ts';
import { isMigrating, linktoTarget } from './linkto.ts';
import { withoutIdentity } from './loc.ts';
import { finishDirectory } from './lookup-directory.ts';
import { isLeftover, lookEverywhere } from './lookup-everywhere.ts';
import { withOwnMode } from './marks.ts';
import { directoryIatt } from './merge.ts';
import { onlyWanted } from './names.ts';
import { lookedAt } from './second-look.ts';
import type { DirectoryState } from './state.ts';
import { believing } from './under-layout.ts';

export type LookupReply = Reply<'lookup'>;
export type Found = Success<'lookup'>;

export async function lookup(d: Distribute, call: Call, args: Args<'lookup'>): Promise<LookupReply> {
  const { loc } = args;
  const named = loc.parent !== null && loc.name !== null && loc.name !== '';
  if (named && (loc.name === '.' || loc.name === '..')) return lookupDots(d, call, args);
  if (named && loc.gfid !== rootGfid) {
    const { gfid } = args;
    if (gfid === undefined) return lookupName(d, call, args);
    return d.offers.share(loc.parent!, loc.name!, gfid, (shared) => lookupName(d, call, { ...args, gfid: shared }));
  }
  if (loc.gfid === null || loc.gfid === nullGfid) return fail(Errno.EINVAL);
  return discover(d, call, loc.gfid, args);
}

/** Every copy of a directory has them; what they lead to is a directory, too. */
async function lookupDots(d: Distribute, call: Call, args: Args<'lookup'>): Promise<LookupReply> {
  const [reply] = await d.ask([d.indices.find((i) => d.isUp(i)) ?? 0], (child) => child.lookup(call, args));
  if (!reply!.ok || reply!.iatt.type !== FileType.directory) return reply!;
  return discover(d, call, reply!.iatt.gfid, args);
}

/** The arguments for children: what distribute needs beside what was asked for. */
export function askArgs(d: Distribute, args: Args<'lookup'>, loc: Loc = args.loc): Args<'lookup'> {
  const { layout, linkto, mds, commit, ahead, movingMode } = d.names;
  const own = loc.gfid === rootGfid ? [layout, mds, commit, ahead] : [layout, linkto, mds, movingMode];
  return { ...args, loc, want: [...(args.want ?? []), ...own] };
}

/** What one child has under a name. */
export function lookOn(d: Distribute, call: Call, child: number, loc: Loc): Promise<LookupReply> {
  return d.children[child]!.lookup(d.ownCall(call), askArgs(d, { loc: withoutIdentity(loc) }));
}

export function isDirectory(reply: LookupReply): reply is Found {
  return reply.ok && reply.iatt.type === FileType.directory;
}

/** A file with its data, not a linkto. */
export function isData(d: Distribute, reply: LookupReply): reply is Found {
  return reply.ok && !isDirectory(reply) && !isLinkto(d, reply);
}

export function isLinkto(d: Distribute, reply: LookupReply): reply is Found {
  return reply.ok && linktoTarget(reply.iatt, reply.xattrs, d.names.linkto) !== undefined;
}

/** A file that is being moved away, or was already, and not removed yet. */
export function isLeaving(d: Distribute, { iatt, xattrs }: Found): boolean {
  return isMigrating(iatt) && xattrs[d.names.linkto] !== undefined;
}

/** Whether it is certain that a file does not have a name on a child: what was to give it that may have been done, though it was not answered. */
export async function isNotNamed(d: Distribute, call: Call, child: number, loc: Loc, gfid: Gfid): Promise<boolean> {
  const there = await lookOn(d, call, child, loc);
  return there.ok ? !isData(d, there) || there.iatt.gfid !== gfid : isAbsent(there);
}

/** The child surely has nothing there; any other error leaves it open. */
export function isAbsent(reply: { readonly ok: true } | Failure | undefined): boolean {
  return reply !== undefined && !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
}

/** `others`: there is data of the file elsewhere, too. */
export function finishFile(
  d: Distribute,
  args: Args<'lookup'>,
  child: number,
  reply: Found,
  others = false,
): LookupReply {
  const { loc } = args;
  // A file that has just come, or is about to go, still says so.
  const { linkto, movingMode } = d.names;
  const isUnsettled = others || [linkto, movingMode].some((name) => reply.xattrs[name] !== undefined);
  const inode = d.remember(reply.iatt.gfid, { kind: 'file', child, ...(isUnsettled && { isUnsettled }) });
  if (loc.parent !== null && loc.name !== null) d.services.inodes.link(loc.parent, loc.name, inode);
  return {
    ...reply,
    iatt: withOwnMode(d, reply.iatt, reply.xattrs),
    postParent: directoryIatt(reply.postParent),
    xattrs: onlyWanted(reply.xattrs, args.want),
  };
}

/** By gfid alone: a known file on its child, anything else on all. */
export async function discover(
  d: Distribute,
  call: Call,
  gfid: Gfid,
  args: Args<'lookup'> = { loc: locOf(gfid) },
): Promise<LookupReply> {
  const loc = locOf(gfid);
  const ask = askArgs(d, args, loc);
  const known = d.stateOf(gfid);
  if (known?.kind === 'file') {
    const [reply] = await d.ask([known.child], (child) => child.lookup(call, ask));
    if (isData(d, reply!) && !isLeaving(d, reply)) return finishFile(d, { ...args, loc }, known.child, reply);
  }
  const generation = d.generation;
  const askAll = () => d.ask(d.indices, (child) => child.lookup(call, ask));
  const replies = await lookedAt(d, d.services.clock.nowMs(), askAll, askAll);
  if (replies.some(isDirectory)) return finishDirectory(d, call, { ...args, loc }, replies, { generation });
  const data = d.indices.filter((i) => isData(d, replies[i]!));
  // A migration that ended halfway leaves the file at its old place, marked as being moved.
  const child = data.find((i) => !isLeaving(d, replies[i] as Found)) ?? data[0] ?? -1;
  if (child >= 0) return finishFile(d, { ...args, loc }, child, replies[child] as Found, data.length > 1);
  // What is known stays known while somebody cannot be asked: others may be using it.
  const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
  if (unsure) return fail(unsure.ok ? Errno.EIO : unsure.errno);
  d.forgetState(gfid);
  return replies.find((reply) => !reply.ok) ?? fail(Errno.ENOENT);
}

async function lookupName(d: Distribute, call: Call, args: Args<'lookup'>): Promise<LookupReply> {
  const { loc } = args;
  const ask = askArgs(d, args);
  const known = loc.gfid === null ? undefined : d.stateOf(loc.gfid);
  if (known?.kind === 'directory') {
    const generation = d.generation;
    const replies = await d.ask(d.indices, (child) => child.lookup(call, ask));
    const isOther = replies.some((reply) => reply.ok && !isDirectory(reply));
    if (replies.some(isDirectory) && !isOther && !isGone(d, loc, replies))
      return finishDirectory(d, call, args, replies, { generation });
  } else if (known?.kind === 'file') {
    const [reply] = await d.ask([known.child], (child) => child.lookup(call, ask));
    const isHere = isData(d, reply!) && reply.iatt.gfid === loc.gfid && !isLeaving(d, reply);
    if (isHere) return finishFile(d, args, known.child, reply);
  }
  return lookupAfresh(d, call, args);
}

/** Others may have removed it, and known fewer children. */
function isGone(d: Distribute, { parent, name }: Loc, replies: readonly LookupReply[]): boolean {
  const above = d.stateOf(parent!);
  return isLeftover(
    d,
    replies,
    above?.kind === 'directory' ? childOfHash(above.layout, d.hasher.hash(name!)) : undefined,
  );
}

/** Nothing is believed of the name but the layout of its directory. */
export async function lookupAfresh(d: Distribute, call: Call, args: Args<'lookup'>): Promise<LookupReply> {
  const { loc } = args;
  const ask = askArgs(d, args);
  const beganMs = d.services.clock.nowMs();
  const parent = await d.locateDirectory(call, loc.parent);
  if (isFailure(parent)) return parent;
  const hashed = childOfHash(parent.layout, d.hasher.hash(loc.name!));
  if (hashed === undefined || !d.isUp(hashed)) return lookEverywhere(d, call, args, hashed, beganMs);
  const generation = d.generation;
  // Where the child's word is to be final it must go by the same layout.
  const isFinal = !mayBeElsewhere(d, parent);
  const counts = isFinal || isFirstRoot(d, loc.parent);
  const reply = await d.children[hashed]!.lookup(call, counts ? believing(d, parent.layout, hashed)(ask) : ask);
  if (!reply.ok) {
    if (reply.errno === Errno.ENOTCONN) return lookEverywhere(d, call, args, hashed, beganMs);
    if (reply.errno === Errno.EREMCHG) return lookUnderNewLayout(d, call, args);
    const elsewhere = isAbsent(reply) && !isFinal;
    return elsewhere ? lookEverywhere(d, call, args, hashed, beganMs, reply) : reply;
  }
  if (isDirectory(reply)) {
    const others = d.indices.filter((i) => i !== hashed);
    const replies = await d.ask(others, (child) => child.lookup(call, ask));
    replies.splice(hashed, 0, reply);
    return finishDirectory(d, call, args, replies, { generation, hashed });
  }
  if (isLinkto(d, reply)) return follow(d, call, args, hashed, beganMs, reply);
  return isLeaving(d, reply)
    ? lookEverywhere(d, call, args, hashed, beganMs, reply)
    : finishFile(d, args, hashed, reply);
}

/**
 * The root of a volume that never had a rebalance. As a lookup lays it out it begins with the commit hash of which nothing is known;
 * yet no name in it has been left behind by a change, as long as it is laid out so.
 */
export function isFirstRoot(d: Distribute, directory: Gfid | null): boolean {
  const state = directory === rootGfid ? d.stateOf(rootGfid) : undefined;
  return state?.kind === 'directory' && d.volumeCommit === 0 && isAsFirstDealt(state.layout);
}

/** The directory was laid out anew: files may have moved, or be about to. */
async function lookUnderNewLayout(d: Distribute, call: Call, args: Args<'lookup'>): Promise<LookupReply> {
  const { parent, name } = args.loc;
  const beganMs = d.services.clock.nowMs();
  const found = await discover(d, call, parent!);
  if (!found.ok) return found;
  const directory = await d.locateDirectory(call, parent);
  if (isFailure(directory)) return directory;
  return lookEverywhere(d, call, args, childOfHash(directory.layout, d.hasher.hash(name!)), beganMs);
}

/** Whether a name that its child does not have can be on another one. */
function mayBeElsewhere(d: Distribute, parent: DirectoryState): boolean {
  if (d.options['lookup-optimize']) return parent.layout.commit !== d.volumeCommit;
  switch (d.options['lookup-unhashed']) {
    case 'auto':
      return parent.layout.parts.some((part) => part.state !== 'range');
    case 'on':
    case 'yes':
    case 'enable':
    case 'true':
    case '1':
      return true;
    default:
      return false;
  }
}

async function follow(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  hashed: number,
  beganMs: number,
  link: Found,
): Promise<LookupReply> {
  const target = d.childNamed(linktoTarget(link.iatt, link.xattrs, d.names.linkto)!);
  if (target === undefined || target === hashed) return lookEverywhere(d, call, args, hashed, beganMs, link);
  const [reply] = await d.ask([target], (child) => child.lookup(call, askArgs(d, args)));
  if (isData(d, reply!) && reply.iatt.gfid === link.iatt.gfid && !isLeaving(d, reply))
    return finishFile(d, args, target, reply);
  // The child with the data is away: the name exists, its file cannot be had.
  if (!reply!.ok && reply!.errno === Errno.ENOTCONN && !d.leaves(target)) return reply!;
  return lookEverywhere(d, call, args, hashed, beganMs, link);
}
