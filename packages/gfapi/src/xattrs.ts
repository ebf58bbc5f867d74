/** Which extended attributes a program may name; what a kernel checks before it asks a file system. */
import { type ByteString, Errno, FileType, type Xattrs } from '@mortar/core';
import { isGuardedXattr, isHiddenXattr, xattrMaxBytes } from '@mortar/host';

const spaces = ['user.', 'trusted.', 'security.', 'system.posix_acl_'];

/** The errno with which it is refused, or 0. */
export function xattrProblem(name: ByteString, uid: number, type: FileType | null, change: boolean): number {
  if (name.length === 0) return Errno.EINVAL;
  if (name.length > 255) return Errno.ERANGE;
  if (!spaces.some((space) => name.startsWith(space))) return Errno.EOPNOTSUPP;
  if (name.startsWith('trusted.') && uid !== 0) return change ? Errno.EPERM : Errno.ENODATA;
  const holds = type === null || type === FileType.regular || type === FileType.directory;
  if (name.startsWith('user.') && !holds) return change ? Errno.EPERM : Errno.ENODATA;
  return change && isGuardedXattr(name) ? Errno.EPERM : 0;
}

export interface SetXattrOptions {
  /** EEXIST if it is there. */
  create?: boolean;
  /** ENODATA if it is not there. */
  replace?: boolean;
}

export function xattrFlags({ create, replace }: SetXattrOptions): number {
  return (create ? 1 : 0) | (replace ? 2 : 0);
}

/** The value that was asked for. */
export function valueIn(xattrs: Xattrs, name: ByteString): Uint8Array | number {
  const value = Object.hasOwn(xattrs, name) ? xattrs[name] : undefined;
  if (!value) return Errno.ENODATA;
  return value.length > xattrMaxBytes ? Errno.E2BIG : value;
}

export function shownNames(xattrs: Xattrs, uid: number): ByteString[] {
  return Object.keys(xattrs).filter((name) => !isHiddenXattr(name, uid) && !name.includes('\0'));
}
