/** The data and extended attributes of a file, from one child to another. */
import { type Call, Errno, Fd, type Gfid, type Iatt, locOf, type Subvolume, type Xattrs } from '@mortar/core';
import { asOnLinkto } from './acl-of-linkto.ts';
import type { Distribute } from './distribute.ts';
import { isSharedXattr } from './names.ts';

const blockBytes = 256 * 1024;
/** O_RDWR */
const readWrite = 2;

export interface Copying {
  readonly gfid: Gfid;
  readonly from: number;
  readonly to: number;
}

/** From `start` up to, without, `end`; Infinity: to the end of the file. */
export type Span = readonly [start: number, end: number];

/** All of it. Holes stay holes; what is on the disk is synced. False: it did not succeed. */
export function copyData(d: Distribute, own: Call, file: Copying, size: number): Promise<boolean> {
  return withBoth(d, own, file, async (copy) => {
    const emptied = await copy.target.ftruncate(own, { fd: copy.to, size: 0 });
    if (!emptied.ok || !(await copy.target.ftruncate(own, { fd: copy.to, size })).ok) return false;
    return copySpan(copy, [0, size]);
  });
}

/** What changed of a file that was copied before; `size` is the file's now. */
export function copySpans(
  d: Distribute,
  own: Call,
  file: Copying,
  spans: readonly Span[],
  size: number,
): Promise<boolean> {
  return withBoth(d, own, file, async (copy) => {
    const { target, to } = copy;
    // What was cut off and came back is empty in between.
    const cut = spans.find(([, end]) => end === Number.POSITIVE_INFINITY);
    if (cut && !(await target.ftruncate(own, { fd: to, size: Math.min(cut[0], size) })).ok) return false;
    if (!(await target.ftruncate(own, { fd: to, size })).ok) return false;
    for (const [start, end] of spans) {
      if (start >= size) continue;
      const stop = Math.min(end, size);
      // New holes: not all children can make them.
      if (end !== Number.POSITIVE_INFINITY && !(await emptied(copy, start, stop))) return false;
      if (!(await copySpan(copy, [start, stop]))) return false;
    }
    return true;
  });
}

interface Copy {
  readonly own: Call;
  readonly source: Subvolume;
  readonly target: Subvolume;
  readonly from: Fd;
  readonly to: Fd;
}

async function withBoth(
  d: Distribute,
  own: Call,
  { gfid, from, to }: Copying,
  work: (copy: Copy) => Promise<boolean>,
): Promise<boolean> {
  const copy: Copy = {
    own,
    source: d.children[from]!,
    target: d.children[to]!,
    from: new Fd(gfid),
    to: new Fd(gfid, readWrite),
  };
  const opened = await copy.target.open(own, { loc: locOf(gfid), flags: readWrite, fd: copy.to });
  if (!opened.ok) return false;
  try {
    if (!(await work(copy))) return false;
    return !d.options['ensure-durability'] || (await copy.target.fsync(own, { fd: copy.to, dataOnly: false })).ok;
  } finally {
    copy.to.release();
    copy.from.release();
  }
}

async function copySpan({ own, source, target, from, to }: Copy, [start, end]: Span): Promise<boolean> {
  for (let offset = start; offset < end; ) {
    const begin = await nextData(source, own, from, offset);
    if (begin === undefined) return false;
    if (begin >= end) break;
    const page = await source.readv(own, { fd: from, size: Math.min(blockBytes, end - begin), offset: begin });
    if (!page.ok) return false;
    if (page.data.length === 0) break;
    const written = await target.writev(own, { fd: to, offset: begin, data: page.data });
    if (!written.ok || written.written !== page.data.length) return false;
    offset = begin + page.data.length;
  }
  return true;
}

async function emptied({ own, target, to }: Copy, start: number, end: number): Promise<boolean> {
  const punched = await target.discard(own, { fd: to, offset: start, size: end - start });
  return punched.ok || (await target.zerofill(own, { fd: to, offset: start, size: end - start })).ok;
}

/** Where the next data begins; the end of the file or beyond, if only a hole is left. */
async function nextData(source: Subvolume, own: Call, fd: Fd, offset: number): Promise<number | undefined> {
  const found = await source.seek(own, { fd, offset, what: 'data' });
  if (found.ok) return found.offset;
  if (found.errno === Errno.ENXIO) return Number.POSITIVE_INFINITY;
  return found.errno === Errno.EOPNOTSUPP || found.errno === Errno.EINVAL || found.errno === Errno.ENOSYS
    ? offset
    : undefined;
}

/** The owner of a linkto that is to become the file, and the file's xattrs: a new owner would take its capabilities off. */
export async function copyOwnerAndXattrs(
  d: Distribute,
  own: Call,
  file: Copying,
  { uid, gid }: Pick<Iatt, 'uid' | 'gid'>,
): Promise<boolean> {
  const owned = await d.children[file.to]!.setattr(own, { loc: locOf(file.gfid), attr: { uid, gid } });
  return owned.ok && copyXattrs(d, own, file, asOnLinkto);
}

/** The target has those of the source, and no others: an earlier attempt may have left some. */
export async function copyXattrs(
  d: Distribute,
  own: Call,
  { gfid, from, to }: Copying,
  as: (xattrs: Xattrs) => Xattrs = (xattrs) => xattrs,
): Promise<boolean> {
  const xattrs = await sharedXattrs(d.children[from]!, own, gfid);
  const there = await sharedXattrs(d.children[to]!, own, gfid);
  if (!xattrs || !there) return false;
  const loc = locOf(gfid);
  for (const name of Object.keys(there)) {
    if (xattrs[name] !== undefined) continue;
    const removed = await d.children[to]!.removexattr(own, { loc, name });
    if (!removed.ok && removed.errno !== Errno.ENODATA) return false;
  }
  if (Object.keys(xattrs).length === 0) return true;
  return (await d.children[to]!.setxattr(own, { loc, xattrs: as(xattrs), flags: 0 })).ok;
}

async function sharedXattrs(child: Subvolume, own: Call, gfid: Gfid): Promise<Xattrs | undefined> {
  const reply = await child.getxattr(own, { loc: locOf(gfid) });
  if (!reply.ok) return reply.errno === Errno.ENODATA ? {} : undefined;
  return Object.fromEntries(Object.entries(reply.xattrs).filter(([name]) => isSharedXattr(name)));
}
