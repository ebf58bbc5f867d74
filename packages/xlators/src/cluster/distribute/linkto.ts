/** Linkto files: an empty file of mode 01000 where a name hashes to, naming the child that has the data. Pure. */
import { type ByteString, FileType, type Iatt, withXdata, type Xattrs, type Xdata } from '@mortar/core';

export const linktoMode = 0o1000;
/** Sticky and set-gid on a regular file with a linkto xattr: it is being moved to the child that the xattr names. */
export const migratingBits = 0o3000;

/** A linkto's xattr: the child's name and a NUL. */
export function encodeLinkto(child: string): Uint8Array {
  return Buffer.from(`${child}\0`, 'utf8');
}

export function decodeLinkto(bytes: Uint8Array): string | undefined {
  const end = bytes.indexOf(0);
  if (end === 0 || bytes.length === 0 || bytes.length > 4096) return undefined;
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

/** Whether attributes alone may be a linkto's; its xattr decides. */
export function looksLikeLinkto(iatt: Iatt): boolean {
  return iatt.type === FileType.regular && iatt.mode === linktoMode;
}

/** The arguments of what is done to the name of a file where it has its data: a linkto in its place is not meant. */
export function meaningData<A extends { xdata?: Xdata }>(args: A, linktoName: ByteString): A {
  return withXdata(args, { notLinkto: linktoName });
}

/** The arguments of what has no attributes in its reply, by which a linkto in the file's place would show. */
export function meaningFile<A extends { xdata?: Xdata }>(args: A, linktoName: ByteString): A {
  return withXdata(args, { asFile: linktoName });
}

/** The name of the child a linkto points to, or undefined if this is none. */
export function linktoTarget(iatt: Iatt, xattrs: Xattrs, linktoName: string): string | undefined {
  if (!looksLikeLinkto(iatt)) return undefined;
  const value = xattrs[linktoName];
  return value && decodeLinkto(value);
}

/** Whether attributes alone may be those of a file that is being moved away. */
export function isMigrating(iatt: Iatt): boolean {
  return iatt.type === FileType.regular && (iatt.mode & migratingBits) === migratingBits;
}

/** A file that a rebalance is moving away shows its own mode. */
export function withoutMigratingBits(iatt: Iatt, xattrs: Xattrs, linktoName: string): Iatt {
  const moving = isMigrating(iatt) && xattrs[linktoName] !== undefined;
  return moving ? { ...iatt, mode: iatt.mode & ~migratingBits } : iatt;
}
