/** Listing of directories. */
import { type Dirent, Errno, Fd, FileType, type Gfid, locOf } from '@mortar/core';
import { DirentList, DirentWriter, inodeNumber, type RequestOf, shortInodeNumber } from '../../protocol/index.ts';
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
/** What is fetched of names at a time. */
const batchBytes = 64 * 1024;
/** Records of `.` and `..`. */
const dotsBytes = 64;
const noRecords = new DirentList([], () => unknownIno);

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
  let handle = await s.use(ask, args.fh);
  // It may have moved on to the next graph just now.
  while (handle && handle.graph !== ask.graph) handle = await s.use(ask, args.fh);
  if (!handle) return;
  if (!handle.directory) return ask.fail(Errno.ENOTDIR);
  const { offset } = args;
  const atDots = offset === 0 || offset === behindDot || offset === behindDotDot;
  if (!atDots && !Number.isSafeInteger(offset)) return ask.fail(Errno.EINVAL);
  const from = atDots ? 0 : offset;
  const size = Math.min(args.size, answerBytes);
  if (endsAt(handle, offset, from)) {
    // Said once: who reads on behind the end wants to see what came since.
    handle.ahead = null;
    return ask.data(Buffer.alloc(0));
  }
  // While this request is under way in a graph, the descriptor there stays open though the handle moves.
  await (plus ? listPlus : listNames)(s, ask, handle, handle.fd, offset, from, size);
}

/** Whether it is known that nothing follows. A listing begins with `.` and `..`, and they are no end. */
function endsAt({ ahead }: Handle, offset: number, from: number): boolean {
  const isBehindDots = offset !== 0 && offset !== behindDot;
  if (!isBehindDots || !ahead?.end) return false;
  return ahead.from === from && ahead.first === ahead.list.count;
}

/** Entries behind `from`, at least one unless the directory ends; or an errno. */
async function fetch(ask: Ask, fd: Fd, from: number, size: number, plus: boolean): Promise<Batch | number> {
  for (let at = from; ; ) {
    const args = { fd, size, offset: at };
    const reply = plus ? await ask.top.readdirp(ask.call, args) : await ask.top.readdir(ask.call, args);
    if (!reply.ok) return reply.errno;
    const { entries, end } = reply;
    if (end || entries.some(({ name }) => name !== '.' && name !== '..')) return { entries, end };
    const last = entries.at(-1);
    // An answer with neither entries nor an end would make this loop for ever.
    if (!last || last.offset === at) return { entries: [], end: true };
    at = last.offset;
  }
}

interface Batch {
  entries: readonly Dirent[];
  end: boolean;
}

/**
 * Names without attributes. They are fetched by larger pieces than the kernel asks for, and kept as the records that go
 * out: names that are gone meanwhile may be listed (POSIX).
 */
async function listNames(
  s: Session,
  ask: Ask,
  handle: Handle,
  fd: Fd,
  offset: number,
  from: number,
  size: number,
): Promise<void> {
  let ahead = offset !== 0 && handle.ahead?.from === from ? handle.ahead : null;
  const pieces: Buffer[] = [];
  const writer = new DirentWriter(s.reply, size, false);
  let room = writer.room - (from === 0 ? dotsBytes : 0);
  for (let at = from; ; ) {
    if (!ahead || (ahead.first === ahead.list.count && !ahead.end)) {
      const batch = await fetch(ask, fd, at, batchBytes, false);
      if (typeof batch === 'number') {
        if (pieces.length > 0) break;
        return ask.fail(batch);
      }
      ahead = { from: at, list: recordsOf(s, batch.entries), first: 0, end: batch.end };
    }
    const { list, first, end } = ahead;
    const count = list.fitting(first, room);
    if (count > 0) {
      const piece = list.slice(first, count);
      pieces.push(piece);
      room -= piece.length;
      at = list.next(first + count - 1);
      ahead = { from: at, list, first: first + count, end };
    }
    if (ahead.first < list.count || end) break;
  }
  handle.ahead = ahead;
  if (from !== 0 && pieces.length === 1) return ask.data(pieces[0]!);
  // Synchronous from here to the reply: its buffer is shared.
  addDots(s, handle, writer, offset);
  for (const piece of pieces) writer.append(piece);
  writer.finish(ask.uniqueLow, ask.uniqueHigh);
  ask.send();
}

/** A file system that answers with the same entries has listed the same: a reply is not changed once it is made. */
function recordsOf(s: Session, entries: readonly Dirent[]): DirentList {
  let list = s.listings.get(entries);
  if (!list) {
    list = new DirentList(entries, ({ gfid }) => (gfid ? inoOf(s, gfid) : unknownIno));
    s.listings.set(entries, list);
  }
  return list;
}

/**
 * Names with attributes, as many as go into one answer: what is left over is forgotten, for its attributes may be old ones
 * by the time of the next request, and the kernel would believe them.
 */
async function listPlus(
  s: Session,
  ask: Ask,
  handle: Handle,
  fd: Fd,
  offset: number,
  from: number,
  size: number,
): Promise<void> {
  const askedMs = s.services.clock.nowMs();
  const batch = await fetch(ask, fd, from, size, true);
  if (typeof batch === 'number') return ask.fail(batch);
  const writer = new DirentWriter(s.reply, size, true);
  const shown: Node[] = [];
  addDots(s, handle, writer, offset);
  const names = batch.entries.filter(({ name }) => name !== '.' && name !== '..');
  const left = names.findIndex((entry) => {
    if (!writer.fits(entry.name)) return true;
    addPlus(s, handle.node, writer, entry, shown, askedMs);
    return false;
  });
  const isWhole = batch.end && left < 0;
  handle.ahead = isWhole ? { from: names.at(-1)?.offset ?? from, list: noRecords, first: 0, end: true } : null;
  writer.finish(ask.uniqueLow, ask.uniqueHigh);
  if (!ask.send()) for (const node of shown) s.nodes.forget(node.id, 1);
}

/** `.` and `..`, if they are due. Without an entry the kernel counts no lookup, as it must be for these two. */
function addDots(s: Session, handle: Handle, writer: DirentWriter, offset: number): void {
  if (offset === 0 && writer.fits('.')) writer.add('.', handle.node.ino, FileType.directory, behindDot, null);
  const dotDotIsDue = offset === behindDot || (offset === 0 && writer.used > 0);
  if (!dotDotIsDue) return;
  const ino = inoOf(s, handle.node.inode.parent ?? handle.node.gfid);
  if (writer.fits('..')) writer.add('..', ino, FileType.directory, behindDotDot, null);
}

function addPlus(s: Session, parent: Node, writer: DirentWriter, entry: Dirent, shown: Node[], askedMs: number): void {
  const { name, gfid, iatt } = entry;
  if (!iatt) {
    writer.add(name, gfid ? inoOf(s, gfid) : unknownIno, entry.type, entry.offset, null);
    return;
  }
  const node = s.nodes.lookedUp(iatt, parent, name, askedMs, s.services.clock.nowMs());
  shown.push(node);
  const out = s.entryOut(node, iatt);
  writer.add(name, out.ino, iatt.type, entry.offset, out);
}

function inoOf(s: Session, gfid: Gfid): { high: number; low: number } {
  return s.options.shortInodeNumbers ? shortInodeNumber(gfid) : inodeNumber(gfid);
}
