/** What every client of a volume keeps to, be it a mount or a library. */
import type { ByteString } from '@mortar/core';

const setuid = 0o4000;
const setgid = 0o2000;
const groupExecute = 0o010;

/** The mode that is left when privileges are killed: setgid without group execute is no privilege. */
export function withoutPrivileges(mode: number): number {
  const kept = mode & ~setuid;
  return mode & groupExecute ? kept & ~setgid : kept;
}

/** The file system's own: not shown in lists. */
const internal = ['trusted.afr.', 'trusted.gfid', 'trusted.glusterfs.', 'trusted.ec.', 'trusted.pgfid.'];
const guarded = /^trusted\.(afr\.|ec\.|gfid$|gfid2path\.|glusterfs\.volume-id$)/;

/** Whether an xattr is left out of a list that this user asks for. */
export function isHiddenXattr(name: ByteString, uid: number): boolean {
  return name.startsWith('trusted.') && (uid !== 0 || internal.some((prefix) => name.startsWith(prefix)));
}

/** Whether no client may change an xattr. */
export function isGuardedXattr(name: ByteString): boolean {
  return guarded.test(name);
}

/** Longest value and longest list of names. */
export const xattrMaxBytes = 65536;
