import {
  type ByteString,
  type Call,
  Fd,
  type Gfid,
  type Iatt,
  isKnownIatt,
  locAt,
  locOf,
  type Subvolume,
} from '@mortar/core';
import { flagsToReopen } from './open-files.ts';

const openCreate = 0o100;
const openTruncate = 0o1000;

export type Created = { ok: true; iatt: Iatt; fd: Fd } | { ok: false; errno: number };

/** Makes a file and opens it; without O_EXCL also one that is there already. A failure leaves nothing open. */
export async function createFile(
  top: Subvolume,
  call: Call,
  parent: Gfid,
  name: ByteString,
  how: { flags: number; mode: number; gfid: Gfid },
): Promise<Created> {
  const { flags, mode, gfid } = how;
  const fd = new Fd(gfid, flagsToReopen(flags));
  const loc = locAt(parent, name, gfid);
  const reply = await top.create(call, { loc, flags: flags | openCreate, mode, gfid, fd });
  if (!reply.ok) {
    fd.release();
    return reply;
  }
  if (reply.iatt.gfid === gfid) return { ok: true, iatt: reply.iatt, fd };
  // Somebody else made the file first: the fd must be of that file.
  fd.release();
  const other = new Fd(reply.iatt.gfid, fd.flags);
  const opened = await top.open(call, { loc: locOf(reply.iatt.gfid), flags: fd.flags, fd: other });
  if (!opened.ok) {
    other.release();
    return opened;
  }
  if ((flags & openTruncate) === 0) return { ok: true, iatt: reply.iatt, fd: other };
  const emptied = await top.ftruncate(call, { fd: other, size: 0 });
  if (!emptied.ok) {
    other.release();
    return emptied;
  }
  return { ok: true, iatt: isKnownIatt(emptied.post) ? emptied.post : { ...reply.iatt, size: 0 }, fd: other };
}
