/** What a new object takes over from its directory's default ACL (acl(5); Linux's xattr form, version 2). */

export const accessAclXattr = 'system.posix_acl_access';
export const defaultAclXattr = 'system.posix_acl_default';

const userObj = 0x01;
const groupObj = 0x04;
const mask = 0x10;
const other = 0x20;
const headerSize = 4;
const entrySize = 8;

export interface Inherited {
  /** Permission bits after the ACL. */
  mode: number;
  /** The access ACL; null when the mode says it all. */
  acl: Uint8Array | null;
}

/** Null if the value is not an ACL. The set-id and sticky bits of `mode` stay. */
export function inheritAcl(defaultAcl: Uint8Array, mode: number): Inherited | null {
  const count = (defaultAcl.length - headerSize) / entrySize;
  if (count < 3 || !Number.isInteger(count)) return null;
  const acl = defaultAcl.slice();
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  if (view.getUint32(0, true) !== 2) return null;
  const permOf = new Map<number, number>();
  for (let at = headerSize; at < acl.length; at += entrySize) permOf.set(view.getUint16(at, true), at + 2);
  /** Lets an entry have no more than the mode asks for; the bits that are left. */
  const limit = (tag: number, shift: number): number => {
    const at = permOf.get(tag);
    if (at === undefined) return (mode >> shift) & 7;
    const left = view.getUint16(at, true) & (mode >> shift) & 7;
    view.setUint16(at, left, true);
    return left;
  };
  const group = limit(permOf.has(mask) ? mask : groupObj, 3);
  const bits = (limit(userObj, 6) << 6) | (group << 3) | limit(other, 0);
  return { mode: (mode & 0o7000) | bits, acl: count > 3 ? acl : null };
}
