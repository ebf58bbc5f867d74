/** The handle tree `.glusterfs/XX/YY/<gfid>` (ondisk format, section 1.2): how objects are found by gfid. */
import { type ByteString, type Gfid, gfidFromBytes, isGfid, rootGfid } from '@mortar/core';
import type { Sys } from './brick.ts';

export const hiddenName = '.glusterfs';
export const gfidXattr = 'trusted.gfid';
/** Where the inode of an open file waits that has lost its last name. */
export const unlinkFolder = 'unlink';
/** What waits to be deleted in the background, and directories that are being made. */
export const landfillFolder = 'landfill';

/** Relative to `.glusterfs`. */
export function handlePath(gfid: Gfid): ByteString {
  return `${gfid.slice(0, 2)}/${gfid.slice(2, 4)}/${gfid}`;
}

export function unlinkedPath(gfid: Gfid): ByteString {
  return `${unlinkFolder}/${gfid}`;
}

/** What the handle of a directory points to. */
export function directoryTarget(parent: Gfid, name: ByteString): ByteString {
  return `../../${handlePath(parent)}/${name}`;
}

/** Parent and name out of a directory handle's target; null if it is no such target. */
export function parseTarget(target: ByteString): { parent: Gfid; name: ByteString } | null {
  const parent = target.slice(12, 48);
  if (!isGfid(parent) || target.length < 50 || target[48] !== '/') return null;
  const name = target.slice(49);
  return target === directoryTarget(parent, name) && !name.includes('/') ? { parent, name } : null;
}

const gfidBuffer = new Uint8Array(16);

/** The gfid xattr of an open file or a path; null if it has none (or one of a wrong length), negative errno else. */
export function readGfid(sys: Sys, target: number | ByteString): Gfid | null | number {
  const length = sys.getxattrInto(target, gfidXattr, gfidBuffer);
  if (length === 16) return gfidFromBytes(gfidBuffer);
  // ENODATA, ERANGE
  return length >= 0 || length === -61 || length === -34 ? null : length;
}

/** Runs what makes something at a handle's place; makes its two folders first where they are missing. */
export function atHandle(sys: Sys, hiddenFd: number, gfid: Gfid, make: () => number): number {
  const first = make();
  if (first !== -2) return first;
  const outer = gfid.slice(0, 2);
  for (const folder of [outer, `${outer}/${gfid.slice(2, 4)}`]) {
    const made = sys.mkdirat(hiddenFd, folder, 0o700);
    if (made < 0 && made !== -17) return made;
  }
  return make();
}

export function isRoot(gfid: Gfid): boolean {
  return gfid === rootGfid;
}
