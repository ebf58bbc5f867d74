/** Listing of directories. */
import { type Dirent, Errno, Fd, FileType, type Gfid, locOf } from '@mortar/core';
import { DirentWriter, inodeNumber, type RequestOf, shortInodeNumber, splitOffset } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Handle } from '../handles.ts';
import type { Node } from '../nodes.ts';
import type { Session } from '../session.ts';
import { failWith, nodeOf } from './common.ts';
import { closeHandle } from './file.ts';

/** Where a listing goes on behind `.` and `..`: beyond all offsets of names, which are below 2^53. */
const behindDot = 2 ** 54;
const behindDotDot = 2 ** 55;
/** st_ino of a name whose gfid the listing does not know. */
const unknownIno = { high: 0, low: 0xffffffff };
/** Most bytes of one answer. */
const answerBytes = 64 * 1024;

export async function opendir(s: Session, ask: Ask): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  const graph = ask.graph!;
  const fd = new Fd(node.gfid, 0);
  const reply = await ask.top.opendir(ask.call, { loc: locOf(node.gfid), fd });
  if (!reply.ok) {
    fd.release();
    return failWith(ask, reply);
  }
  const handle = s.handles.add(node, 0, true, fd, graph);
  s.reply.opened(ask.uniqueLow, ask.uniqueHigh, handle.fh, 0);
  if (!ask.send()) s.undoOpen(handle, false);
}

export async function releasedir(s: Session, ask: Ask, { fh }: RequestOf<'releasedir'>): Promise<void> {
  const handle = s.handles.get(fh);
  if (!handle) return ask.fail(Errno.EBADF);
  closeHandle(s, handle);
  ask.ok();
}

export function readdir(s: Session, ask: Ask, args: RequestOf<'readdir'>): Promise<void> {
  return list(s, ask, args, false);
}

export function readdirplus(s: Session, ask: Ask, args: RequestOf<'readdirplus'>): Promise<void> {
  return list(s, ask, args, true);
}

async function list(s: Session, ask: Ask, args: RequestOf<'readdir'>, plus: boolean): Promise<void> {
  const handle = await s.use(ask, args.fh);
  if (!handle) return;
  if (!handle.directory) return ask.fail(Errno.ENOTDIR);
  const { offset } = args;
  const atDots = offset === 0 || offset === behindDot || offset === behindDotDot;
  if (!atDots && !Number.isSafeInteger(offset)) return ask.fail(Errno.EINVAL);
  if (offset === 0) handle.ahead = null;
  const from = atDots ? 0 : offset;
  const size = Math.min(args.size, answerBytes);
  const batch = await fetch(ask, handle, from, size, plus);
  if (typeof batch === 'number') return ask.fail(batch);
  fill(s, ask, handle, new DirentWriter(s.reply, size, plus), offset, batch);
}

interface Batch {
  from: number;
  entries: readonly Dirent[];
  end: boolean;
  plus: boolean;
}

/** Entries behind `from`: those read ahead, or at least one more unless the directory ends; or an errno. */
async function fetch(ask: Ask, handle: Handle, from: number, size: number, plus: boolean): Promise<Batch | number> {
  const { ahead } = handle;
  if (ahead && ahead.from === from && ahead.plus === plus && (ahead.entries.length > 0 || ahead.end)) return ahead;
  const { fd } = handle;
  for (let at = from; ; ) {
    const args = { fd, size, offset: at };
    const reply = plus ? await ask.top.readdirp(ask.call, args) : await ask.top.readdir(ask.call, args);
    if (!reply.ok) return reply.errno;
    const entries = reply.entries.filter(({ name }) => name !== '.' && name !== '..');
    if (entries.length > 0 || reply.end) return { from, entries, end: reply.end, plus };
    const last = reply.entries.at(-1);
    // An answer with neither entries nor an end would make this loop for ever.
    if (!last || last.offset === at) return { from, entries, end: true, plus };
    at = last.offset;
  }
}

/** Writes what fits and remembers the rest. Synchronous from here to the reply: the buffer is shared. */
function fill(s: Session, ask: Ask, handle: Handle, writer: DirentWriter, offset: number, batch: Batch): void {
  const shown: Node[] = [];
  if (offset === 0 && writer.fits('.')) addDot(writer, '.', handle.node.ino, behindDot);
  const dotDotIsDue = offset === behindDot || (offset === 0 && writer.used > 0);
  if (dotDotIsDue && writer.fits('..'))
    addDot(writer, '..', inoOf(s, handle.node.inode.parent ?? handle.node.gfid), behindDotDot);
  let count = 0;
  let last = batch.from;
  for (const entry of batch.entries) {
    if (!writer.fits(entry.name)) break;
    addEntry(s, handle.node, writer, entry, shown);
    last = entry.offset;
    count++;
  }
  handle.ahead = { from: last, entries: batch.entries.slice(count), end: batch.end, plus: batch.plus };
  writer.finish(ask.uniqueLow, ask.uniqueHigh);
  if (!ask.send()) for (const node of shown) s.nodes.forget(node.id, 1);
}

function addDot(writer: DirentWriter, name: string, ino: { high: number; low: number }, next: number): void {
  // Without an entry the kernel counts no lookup, as it must be for these two.
  writer.add({ name, ino, type: FileType.directory, next: splitOffset(next) }, null);
}

function addEntry(s: Session, parent: Node, writer: DirentWriter, entry: Dirent, shown: Node[]): void {
  const { name, gfid, iatt } = entry;
  const next = splitOffset(entry.offset);
  if (!writer.plus || !iatt) {
    const ino = gfid ? inoOf(s, gfid) : unknownIno;
    writer.add({ name, ino, type: entry.type, next }, null);
    return;
  }
  const node = s.nodes.lookedUp(iatt, parent, name);
  shown.push(node);
  writer.add({ name, ino: node.ino, type: iatt.type, next }, s.entryOut(node, iatt));
}

function inoOf(s: Session, gfid: Gfid): { high: number; low: number } {
  return s.options.shortInodeNumbers ? shortInodeNumber(gfid) : inodeNumber(gfid);
}
