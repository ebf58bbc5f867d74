/**
 * RENAME_EXCHANGE: on every child the two names change places, after linktos were laid where they will be needed. On
 * one child that is one step; over several a crash in between can leave the names exchanged on some of them only.
 */
import { type Call, Errno, type Failure, fail, type Loc, type Reply, type Success } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { makeLinkto, removeLinkto } from './linkto-files.ts';
import { withoutIdentity } from './loc.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isDirectory, isLinkto, type LookupReply } from './lookup.ts';
import { type RenamePlan, renameFlags, withDirectoryParents } from './rename.ts';

/** What the children have under one of the names. */
interface Side {
  readonly loc: Loc;
  readonly hashed: number;
  readonly replies: readonly LookupReply[];
}

export async function exchange(d: Distribute, call: Call, plan: RenamePlan): Promise<Reply<'rename'>> {
  const { args, fromHashed, toHashed, target } = plan;
  if (!target) return fail(Errno.ENOENT);
  if (d.someDown) return fail(Errno.ENOTCONN);
  const names = [
    { child: fromHashed, parent: args.from.parent!, name: args.from.name! },
    { child: toHashed, parent: args.to.parent!, name: args.to.name! },
  ];
  return withNames(d, call, names, async () => {
    const [from, to] = await Promise.all([lookAt(d, call, args.from, fromHashed), lookAt(d, call, args.to, toHashed)]);
    // Since they were looked up another client may have taken one away.
    const missing = [from, to].map((side) => whyMissing(d, side)).find((why) => why !== undefined);
    if (missing) return missing;
    // Each file's linkto under its old name on the child that its new name hashes to.
    const prepared = [await prepare(d, call, from, toHashed), await prepare(d, call, to, fromHashed)];
    const failed = prepared.find((done) => !done.ok);
    if (failed && !failed.ok) return failed;
    const reply = await swap(d, call, plan, from, to);
    if (!reply.ok) return reply;
    await tidy(d, call, from, args.to, toHashed);
    await tidy(d, call, to, args.from, fromHashed);
    remember(d, plan, from, to);
    return withDirectoryParents(reply);
  });
}

async function lookAt(d: Distribute, call: Call, loc: Loc, hashed: number): Promise<Side> {
  const at = withoutIdentity(loc);
  const replies = await d.ask(d.indices, (child) => child.lookup(d.ownCall(call), askArgs(d, { loc: at })));
  return { loc: at, hashed, replies };
}

function dataChild(d: Distribute, side: Side): number {
  return side.replies.findIndex((reply) => isData(d, reply));
}

/** Undefined: there is a file or a directory under the name. */
function whyMissing(d: Distribute, { replies }: Side): Failure | undefined {
  if (replies.some((reply) => isDirectory(reply) || isData(d, reply))) return undefined;
  const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
  return unsure && !unsure.ok ? unsure : fail(Errno.ENOENT);
}

async function prepare(d: Distribute, call: Call, side: Side, needed: number) {
  const source = dataChild(d, side);
  if (source < 0 || side.replies[needed]!.ok) return { ok: true } as const;
  return makeLinkto(d, call, needed, side.loc, (side.replies[source] as Found).iatt, source);
}

/** Where a file comes from or goes to, first; that reply is the caller's. */
async function swap(
  d: Distribute,
  call: Call,
  { args, fromHashed, toHashed }: RenamePlan,
  from: Side,
  to: Side,
): Promise<Reply<'rename'>> {
  const has = (side: Side, i: number, needed: number) =>
    side.replies[i]!.ok || (i === needed && dataChild(d, side) >= 0);
  const forth = { from: args.from, to: args.to };
  const back = { from: args.to, to: args.from };
  const done: number[] = [];
  let shown: Success<'rename'> | undefined;
  for (const i of [...new Set([toHashed, fromHashed, ...d.indices])]) {
    const hasFrom = has(from, i, toHashed);
    const hasTo = has(to, i, fromHashed);
    if (!hasFrom && !hasTo) continue;
    const flags = hasFrom && hasTo ? renameFlags.exchange : renameFlags.noReplace;
    const reply = await d.children[i]!.rename(call, { ...(hasFrom ? forth : back), flags });
    if (!reply.ok) {
      for (const k of done) await undo(d, call, k, forth, has(from, k, toHashed), has(to, k, fromHashed));
      return reply;
    }
    done.push(i);
    if (hasFrom && (!shown || isData(d, from.replies[i]!))) shown = { ...reply };
  }
  return shown ?? fail(Errno.ENOENT);
}

async function undo(
  d: Distribute,
  call: Call,
  child: number,
  forth: { from: Loc; to: Loc },
  hadFrom: boolean,
  hadTo: boolean,
): Promise<void> {
  const flags = hadFrom && hadTo ? renameFlags.exchange : renameFlags.noReplace;
  const a = withoutIdentity(forth.from);
  const b = withoutIdentity(forth.to);
  const way = hadFrom ? { from: b, to: a } : { from: a, to: b };
  const reply = await d.children[child]!.rename(d.ownCall(call), { ...way, flags });
  if (!reply.ok) d.warn(`an exchange of names failed half-way on ${d.childName(child)}: errno ${reply.errno}`);
}

/** Linktos of the file that are not where its new name hashes to. */
async function tidy(d: Distribute, call: Call, side: Side, now: Loc, hashed: number): Promise<void> {
  for (const i of d.indices)
    if (i !== hashed && isLinkto(d, side.replies[i]!)) await removeLinkto(d, call, i, withoutIdentity(now));
}

function remember(d: Distribute, { args }: RenamePlan, from: Side, to: Side): void {
  const link = (side: Side, now: Loc) => {
    const found = side.replies.find((reply) => isDirectory(reply) || isData(d, reply)) as Found | undefined;
    const inode = found && d.services.inodes.find(found.iatt.gfid);
    if (inode && now.parent !== null && now.name !== null) d.services.inodes.link(now.parent, now.name, inode);
  };
  link(from, args.to);
  link(to, args.from);
}
