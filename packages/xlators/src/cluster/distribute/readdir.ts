/**
 * Listing: the children one after the other. An offset is the child's own, moved up by the child's number times the
 * span of offsets below it, so that it survives whatever happens to the directory.
 */
import {
  type Args,
  type Call,
  type Dirent,
  Errno,
  FileType,
  fail,
  locAt,
  locOf,
  type Reply,
  type Xlator,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { childOfHash } from './layout.ts';
import { withoutMigratingBits } from './linkto.ts';
import { Listing } from './listing.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { onlyWanted } from './names.ts';
import { isLacking } from './on-file.ts';
import { isLinktoEntry } from './remove.ts';
import type { DirectoryState } from './state.ts';

/** Offsets of a brick: the hash of a name in 40 bits, and 16 numbers in reserve. */
const brickSpan = 2 ** 40;
const spans = new WeakMap<Xlator, number>();

/** How many offsets a translator uses: a distribute as many times more as it has children. */
export function offsetSpan(xlator: Xlator): number {
  const known = spans.get(xlator);
  if (known !== undefined) return known;
  const below = xlator.children.map((child) => offsetSpan(child.xlator));
  const most = Math.max(brickSpan, ...below);
  const spreads = xlator.type === 'cluster/distribute' && below.length > 1;
  const span = spreads ? most * below.length : most;
  spans.set(xlator, span);
  return span;
}

function spanOfChildren(d: Distribute): number {
  return offsetSpan(d) / d.children.length;
}

export async function readdirp(d: Distribute, call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>> {
  const span = spanOfChildren(d);
  const reply = await list(d, call, args, withAttributes);
  if (!reply.ok) return reply;
  const childOf = (offset: number) => Math.min(Math.floor(offset / span), d.children.length - 1);
  const entries = await Promise.all(reply.entries.map((entry) => completed(d, call, childOf(entry.offset), entry)));
  return { ...reply, entries };
}

/** How children are listed, and which of their entries count. */
interface Style {
  ask(d: Distribute, child: number, call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>>;
  listed: typeof listed;
}

const withAttributes: Style = {
  ask: (d, child, call, args) => d.children[child]!.readdirp(call, args),
  listed,
};

/** Nothing tells linktos from files here, but where a name hashes to there is the one or the other. */
const namesOnly: Style = {
  ask: (d, child, call, { fd, size, offset, xdata }) =>
    d.children[child]!.readdir(call, { fd, size, offset, ...(xdata && { xdata }) }),
  listed: (d, state, child, entries, { base }) =>
    entries
      .filter((entry) => listsDirectory(d, state, child, entry.name))
      .map((entry) => ({ ...entry, offset: base + entry.offset })),
};

async function list(d: Distribute, call: Call, args: Args<'readdirp'>, style: Style): Promise<Reply<'readdirp'>> {
  const state = await d.locateFd(call, args.fd);
  if (isFailure(state)) return state;
  if (state.kind !== 'directory') return fail(Errno.ENOTDIR);
  const span = spanOfChildren(d);
  const want = [...(args.want ?? []), d.names.linkto];
  const finalChild = d.children.length - 1;
  let index = Math.min(Math.floor(args.offset / span), finalChild);
  let offset = args.offset - index * span;
  let room = args.size;
  let reached = false;
  const listing = Listing.of(args.fd, args.offset);
  const entries: Dirent[] = [];
  for (;;) {
    const reply = d.isUp(index)
      ? await style.ask(d, index, call, { ...args, size: room, offset, want })
      : (fail(Errno.ENOTCONN) as Reply<'readdirp'>);
    // A child that is away, or lacks the directory, has nothing to list; but one at least must answer.
    const unanswered = index === finalChild && !reached && args.offset < span;
    if (!reply.ok && (!isLacking(reply) || unanswered))
      return entries.length > 0 ? { ok: true, entries, end: false } : reply;
    reached ||= reply.ok;
    const last = reply.ok ? reply.entries.at(-1) : undefined;
    const childEnds = !reply.ok || reply.end || last === undefined;
    const shown = reply.ok
      ? style.listed(d, state, index, reply.entries, { want: args.want, base: index * span, listing })
      : [];
    entries.push(...shown);
    room -= shown.reduce((sum, entry) => sum + entryBytes + entry.name.length, 0);
    if (childEnds && index === finalChild) {
      const passed = await passedBy(d, call, args, listing, finalChild * span + span - 1);
      return { ok: true, entries: [...entries, ...passed], end: true };
    }
    if (entries.length > 0 && room < args.size / 2) return { ok: true, entries, end: false };
    if (childEnds) {
      index++;
      offset = 0;
    } else offset = last.offset;
  }
}

/** Files that were moved, while this listing went on, from a child that it had yet to come to to one that it had been at. */
async function passedBy(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  listing: Listing,
  offset: number,
): Promise<Dirent[]> {
  const entries: Dirent[] = [];
  for (const name of listing.takePassed()) {
    const loc = locAt(args.fd.gfid, name);
    const reply = await d.ops.lookup(d.ownCall(call), { loc, ...(args.want && { want: args.want }) });
    if (!reply.ok || reply.iatt.type === FileType.directory) continue;
    listing.show(name, offset, offset);
    const { iatt, xattrs } = reply;
    entries.push({ name, gfid: iatt.gfid, type: iatt.type, offset, iatt, xattrs });
  }
  return entries;
}

/** About what an entry takes in a caller's buffer, its name aside. */
const entryBytes = 160;

/** A directory's attributes are made of those of all its copies; the one that is listed comes first. */
async function completed(d: Distribute, call: Call, listing: number, entry: Dirent): Promise<Dirent> {
  const { iatt } = entry;
  if (!iatt || !isDirectoryEntry(entry) || entry.name === '..') return entry;
  const others = d.indices.filter((i) => i !== listing && d.isUp(i));
  const replies = await d.ask(others, (child) => child.stat(call, { loc: locOf(iatt.gfid) }));
  return { ...entry, iatt: mergeDirectoryIatts([iatt, ...replies.flatMap((reply) => (reply.ok ? [reply.iatt] : []))]) };
}

/** Without attributes for the caller; by default distribute asks for them, to tell linktos. */
export async function readdir(d: Distribute, call: Call, args: Args<'readdir'>): Promise<Reply<'readdir'>> {
  const reply = await list(d, call, args, d.options['use-readdirp'] ? withAttributes : namesOnly);
  if (!reply.ok) return reply;
  return { ...reply, entries: reply.entries.map((entry) => ({ ...entry, iatt: null, xattrs: null })) };
}

function listed(
  d: Distribute,
  state: DirectoryState,
  child: number,
  entries: readonly Dirent[],
  { want, base, listing }: { want: Args<'readdirp'>['want']; base: number; listing: Listing },
): Dirent[] {
  const shown: Dirent[] = [];
  for (const entry of entries) {
    if (isLinktoEntry(d, entry)) {
      listing.hide(entry.name);
      continue;
    }
    if (isDirectoryEntry(entry)) {
      if (!listsDirectory(d, state, child, entry.name)) continue;
    } else if (!listing.show(entry.name, base + entry.offset, base)) continue;
    const { iatt, xattrs } = entry;
    shown.push({
      ...entry,
      offset: base + entry.offset,
      iatt: iatt && xattrs ? withoutMigratingBits(iatt, xattrs, d.names.linkto) : iatt,
      xattrs: xattrs && onlyWanted(xattrs, want),
    });
  }
  return shown;
}

function isDirectoryEntry(entry: Dirent): boolean {
  return entry.type === FileType.directory || entry.iatt?.type === FileType.directory;
}

/** A directory is on all children and shall be listed once: by the one that its name hashes to, if it is up. */
function listsDirectory(d: Distribute, state: DirectoryState, child: number, name: string): boolean {
  const firstUp = d.indices.find((i) => d.isUp(i));
  if (name === '.' || name === '..' || d.options['readdir-optimize']) return child === firstUp;
  const hashed = childOfHash(state.layout, d.hasher.hash(name));
  return child === (hashed !== undefined && d.isUp(hashed) ? hashed : firstUp);
}
