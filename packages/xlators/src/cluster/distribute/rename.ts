/** rename: which of the two kinds, and what stands in the way. */
import { type Args, type Call, Errno, FileType, fail, type Gfid, type Reply, type Success } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { healNow } from './heal.ts';
import { withoutIdentity } from './loc.ts';
import { lookupAfresh } from './lookup.ts';
import { directoryIatt } from './merge.ts';
import { orElsewhere } from './on-file.ts';
import { renameDirectory } from './rename-directory.ts';
import { exchange } from './rename-exchange.ts';
import { renameFile } from './rename-file.ts';
import { tellRenamed } from './renamed.ts';
import { settled } from './settle.ts';
import type { State } from './state.ts';
import { type Believe, hashedPlace, underLayout } from './under-layout.ts';

const attemptsMax = 3;

export const renameFlags = { noReplace: 1, exchange: 2 } as const;

export interface RenamePlan {
  readonly args: Args<'rename'>;
  readonly gfid: Gfid;
  /** The children that the old and the new name hash to. */
  readonly fromHashed: number;
  readonly toHashed: number;
  /** For the step of a file's rename that shows the new name where it hashes to. */
  readonly believe: Believe;
  /** What has the new name now. */
  readonly target: { gfid: Gfid; directory: boolean; child: number | undefined } | undefined;
}

export async function rename(d: Distribute, call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
  const reply = await renameKnown(d, call, args);
  if (reply.ok || (reply.errno !== Errno.ENOENT && reply.errno !== Errno.ESTALE)) return reply;
  // Who gave the name alone meant what has it now; who knew the file may have known one that has it no more.
  const found = await lookupAfresh(d, call, { loc: withoutIdentity(args.from) });
  if (!found.ok) return reply;
  // A child may lack one of the directories.
  for (const { parent } of [args.from, args.to]) await healNow(d, call, parent!);
  return renameKnown(d, call, { ...args, from: { ...args.from, gfid: found.iatt.gfid } });
}

function renameKnown(d: Distribute, call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
  const once = () => underLayout(d, call, args.to.parent, (says) => renameUnder(d, call, args, says));
  const run = async () => {
    // What is to be replaced may have moved to where nothing was, since it was looked up.
    for (let attempt = 1; ; attempt++) {
      const reply = await once();
      const isInTheWay = !reply.ok && reply.errno === Errno.EEXIST && !(args.flags & renameFlags.noReplace);
      if (!isInTheWay || attempt === attemptsMax) return reply;
    }
  };
  return orElsewhere(d, call, args.from.gfid, run);
}

async function renameUnder(d: Distribute, call: Call, args: Args<'rename'>, says: boolean): Promise<Reply<'rename'>> {
  const { from, to } = args;
  // What this client has left under the new name would be taken for another name of the file, and then go.
  if (!d.leftovers.isEmpty && (await d.leftovers.isUnder(to.parent!, to.name!))) return fail(Errno.ENOTCONN);
  const fromHashed = await d.hashedOf(call, from.parent, from.name);
  if (isFailure(fromHashed)) return fromHashed;
  const place = await hashedPlace(d, call, to, says);
  if (isFailure(place)) return place;
  const { child: toHashed, believe } = place;
  if (args.flags & ~(renameFlags.noReplace | renameFlags.exchange) || args.flags === 3) return fail(Errno.EINVAL);
  const [located, found] = await Promise.all([
    d.locateLoc(call, from),
    lookupAfresh(d, call, { loc: withoutIdentity(to) }),
  ]);
  if (isFailure(located)) return located;
  const { gfid } = located;
  const source = await settled(d, call, gfid, located);
  if (isFailure(source)) return source;
  if (!found.ok && found.errno !== Errno.ENOENT) return found;
  if (found.ok && args.flags & renameFlags.noReplace) return fail(Errno.EEXIST);
  if (found.ok && found.iatt.gfid === gfid && source.kind === 'file' && !(args.flags & renameFlags.exchange))
    return sameFile(d, call, args);
  const replaced = found.ok ? d.stateOf(found.iatt.gfid) : undefined;
  if (found.ok && replaced) {
    const done = await settled(d, call, found.iatt.gfid, replaced);
    if (isFailure(done)) return done;
  }
  const target = found.ok
    ? { gfid: found.iatt.gfid, directory: found.iatt.type === FileType.directory, child: childOf(d, found.iatt.gfid) }
    : undefined;
  const full = { ...args, from: { ...from, gfid }, to: { ...to, gfid: target?.gfid ?? null } };
  const plan: RenamePlan = { args: full, gfid, fromHashed, toHashed, target, believe };
  const reply = await renameOfKind(d, call, plan, source);
  const places = source.kind === 'file' && !target?.directory ? [source.child, target?.child] : d.indices;
  if (reply.ok)
    for (const child of new Set(places)) if (child !== undefined && d.leaves(child)) await tellRenamed(d, child);
  return reply;
}

function renameOfKind(d: Distribute, call: Call, plan: RenamePlan, source: State): Promise<Reply<'rename'>> {
  if (plan.args.flags & renameFlags.exchange) return exchange(d, call, plan);
  return source.kind === 'file' ? renameFile(d, call, plan, source.child) : renameDirectory(d, call, plan);
}

function childOf(d: Distribute, gfid: Gfid): number | undefined {
  const state = d.stateOf(gfid);
  return state?.kind === 'file' ? state.child : undefined;
}

/** Two names of one file: POSIX leaves both. */
async function sameFile(d: Distribute, call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
  const [file, fromParent, toParent] = await Promise.all([
    d.ops.lookup(call, { loc: withoutIdentity(args.from) }),
    d.ops.stat(call, { loc: { gfid: args.from.parent, parent: null, name: null } }),
    d.ops.stat(call, { loc: { gfid: args.to.parent, parent: null, name: null } }),
  ]);
  if (!file.ok) return file;
  if (!fromParent.ok) return fromParent;
  if (!toParent.ok) return toParent;
  return {
    ok: true,
    iatt: file.iatt,
    preFromParent: fromParent.iatt,
    postFromParent: fromParent.iatt,
    preToParent: toParent.iatt,
    postToParent: toParent.iatt,
  };
}

export function withDirectoryParents(reply: Success<'rename'>): Success<'rename'> {
  return {
    ...reply,
    preFromParent: directoryIatt(reply.preFromParent),
    postFromParent: directoryIatt(reply.postFromParent),
    preToParent: directoryIatt(reply.preToParent),
    postToParent: directoryIatt(reply.postToParent),
  };
}
