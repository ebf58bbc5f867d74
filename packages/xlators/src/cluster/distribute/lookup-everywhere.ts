/** A name is looked for on all children: found there, its linkto is put right; found nowhere, stale linktos go. */
import { type Args, type Call, Errno, fail } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { linktoTarget } from './linkto.ts';
import { makeLinkto, removeStaleLinkto } from './linkto-files.ts';
import {
  askArgs,
  type Found,
  finishFile,
  isAbsent,
  isData,
  isDirectory,
  isFirstRoot,
  isLeaving,
  isLinkto,
  type LookupReply,
} from './lookup.ts';
import { finishDirectory } from './lookup-directory.ts';
import { isRemoved } from './remains.ts';
import { lookedAt } from './second-look.ts';

/** `hashed`: the child that the name hashes to, if one does; `first`: its answer, if it was asked already, by the layout believed where that counts; since `beganMs` one looks. */
export async function lookEverywhere(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  hashed: number | undefined,
  beganMs: number,
  first?: LookupReply,
): Promise<LookupReply> {
  const ask = askArgs(d, args);
  const generation = d.generation;
  const askAll = () => d.ask(d.indices, (child) => child.lookup(call, ask));
  const askOthers = async (known: LookupReply) => {
    const others = d.indices.filter((i) => i !== hashed);
    return (await d.ask(others, (child) => child.lookup(call, ask))).toSpliced(hashed!, 0, known);
  };
  const replies = await lookedAt(d, beganMs, first ? () => askOthers(first) : askAll, askAll);
  const all = d.indices.filter((i) => isData(d, replies[i]!));
  const left = (i: number) => {
    const reply = replies[i] as Found;
    const isElsewhere = (j: number) => {
      const other = replies[j] as Found;
      return other.iatt.gfid === reply.iatt.gfid && !isLeaving(d, other);
    };
    return isLeaving(d, reply) && all.some(isElsewhere);
  };
  // A move that ended halfway leaves the file at its old place, too.
  const files = all.filter((i) => !left(i));
  if (replies.some(isDirectory)) {
    if (files.length > 0) return conflict(d, args, 'a directory on one subvolume and a file on another');
    if (isLeftover(d, replies, hashed)) return fail(Errno.ENOENT);
    return finishDirectory(d, call, args, replies, hashed === undefined ? { generation } : { generation, hashed });
  }
  return files.length > 0
    ? foundFile(d, call, args, replies, files, all.length > files.length, hashed)
    : notFound(d, call, args, replies, first);
}

function conflict(d: Distribute, args: Args<'lookup'>, what: string): LookupReply {
  d.warn(`${args.loc.parent}/${args.loc.name}: ${what}; remove the wrong one on its brick`);
  return fail(Errno.EIO);
}

/** Only copies of one that is gone are there: it is not brought back to life. */
export function isLeftover(d: Distribute, replies: readonly LookupReply[], hashed: number | undefined): boolean {
  if (hashed === undefined || !replies.every((reply) => isDirectory(reply) || isAbsent(reply))) return false;
  return isRemoved(d, replies, hashed, replies.find(isDirectory)!.iatt.gfid);
}

async function foundFile(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  replies: readonly LookupReply[],
  files: readonly number[],
  others: boolean,
  hashed: number | undefined,
): Promise<LookupReply> {
  const at = (i: number) => replies[i] as Found;
  const link = hashed === undefined ? undefined : replies[hashed];
  const linked = link && isLinkto(d, link) ? linktoTarget(link.iatt, link.xattrs, d.names.linkto) : undefined;
  const linkedChild = linked === undefined ? undefined : d.childNamed(linked);
  const gfids = new Set(files.map((i) => at(i).iatt.gfid));
  const preferred = [hashed, linkedChild].find((i) => i !== undefined && files.includes(i));
  if (gfids.size > 1 && preferred === undefined)
    return conflict(d, args, 'files of different gfids on several subvolumes');
  const cached = preferred ?? files[0]!;
  if (hashed !== undefined && hashed !== cached) await mendLinkto(d, call, args, hashed, link, cached, at(cached));
  return finishFile(d, args, cached, at(cached), others);
}

/** Where the name hashes to there shall be a linkto to the child that has the file. Best effort: the file is found anyway. */
async function mendLinkto(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  hashed: number,
  link: LookupReply | undefined,
  cached: number,
  file: Found,
): Promise<void> {
  if (!d.isUp(hashed)) return;
  if (link && isLinkto(d, link)) {
    const points = d.childNamed(linktoTarget(link.iatt, link.xattrs, d.names.linkto)!);
    if (points === cached && link.iatt.gfid === file.iatt.gfid) return;
    if (link.iatt.gfid !== file.iatt.gfid) await removeStaleLinkto(d, call, hashed, args.loc);
  } else if (!isAbsent(link)) return;
  const made = await makeLinkto(d, call, hashed, args.loc, file.iatt, cached);
  if (!made.ok) d.warn(`${args.loc.parent}/${args.loc.name}: no linkto on ${d.childName(hashed)}: errno ${made.errno}`);
}

async function notFound(
  d: Distribute,
  call: Call,
  args: Args<'lookup'>,
  replies: readonly LookupReply[],
  first: LookupReply | undefined,
): Promise<LookupReply> {
  // A child that cannot be asked may have it: it is looked for everywhere because nothing else excludes that.
  const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
  const isCertain = isAbsent(first) && isFirstRoot(d, args.loc.parent);
  if (unsure && !unsure.ok && !isCertain) return fail(unsure.errno);
  const links = d.indices.filter((i) => isLinkto(d, replies[i]!));
  for (const i of links) await removeStaleLinkto(d, call, i, args.loc);
  return fail(Errno.ENOENT);
}
