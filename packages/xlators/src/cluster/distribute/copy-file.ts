/** The data and extended attributes of a file, from one child to another. */
import { type Call, Errno, Fd, type Gfid, locOf } from '@mortar/core';
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

/** Holes stay holes; what is on the disk is synced. False: it did not succeed. */
export async function copyData(d: Distribute, own: Call, { gfid, from, to }: Copying, size: number): Promise<boolean> {
  // Without being opened: an open file is not moved.
  const source = new Fd(gfid);
  const target = new Fd(gfid, readWrite);
  const [source_, target_] = [d.children[from]!, d.children[to]!];
  const opened = await target_.open(own, { loc: locOf(gfid), flags: readWrite, fd: target });
  if (!opened.ok) return false;
  try {
    const emptied = await target_.ftruncate(own, { fd: target, size: 0 });
    if (!emptied.ok || !(await target_.ftruncate(own, { fd: target, size })).ok) return false;
    for (let offset = 0; offset < size; ) {
      const begin = await nextData(d, own, from, source, offset);
      if (begin === undefined) return false;
      if (begin >= size) break;
      const page = await source_.readv(own, { fd: source, size: Math.min(blockBytes, size - begin), offset: begin });
      if (!page.ok) return false;
      if (page.data.length === 0) break;
      const written = await target_.writev(own, { fd: target, offset: begin, data: page.data });
      if (!written.ok || written.written !== page.data.length) return false;
      offset = begin + page.data.length;
    }
    return (await target_.fsync(own, { fd: target, dataOnly: false })).ok;
  } finally {
    target.release();
    source.release();
  }
}

/** Where the next data begins; the end of the file or beyond, if only a hole is left. */
async function nextData(d: Distribute, own: Call, from: number, fd: Fd, offset: number): Promise<number | undefined> {
  const found = await d.children[from]!.seek(own, { fd, offset, what: 'data' });
  if (found.ok) return found.offset;
  if (found.errno === Errno.ENXIO) return Number.POSITIVE_INFINITY;
  return found.errno === Errno.EOPNOTSUPP || found.errno === Errno.EINVAL || found.errno === Errno.ENOSYS
    ? offset
    : undefined;
}

export async function copyXattrs(d: Distribute, own: Call, { gfid, from, to }: Copying): Promise<boolean> {
  const loc = locOf(gfid);
  const reply = await d.children[from]!.getxattr(own, { loc });
  if (!reply.ok) return reply.errno === Errno.ENODATA;
  const xattrs = Object.fromEntries(Object.entries(reply.xattrs).filter(([name]) => isSharedXattr(name)));
  if (Object.keys(xattrs).length === 0) return true;
  return (await d.children[to]!.setxattr(own, { loc, xattrs, flags: 0 })).ok;
}
