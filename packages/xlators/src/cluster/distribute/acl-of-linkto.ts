/**
 * The ACL of a file on the linkto that is to become it (linux/posix_acl_xattr.h, version 2). Pure. With the file's own the kernel would give the
 * linkto the file's permissions, and it would be none any more. The mode that the copy gets in the end says the rest: chmod writes it into the ACL.
 */
import type { Xattrs } from '@mortar/core';

const accessAcl = 'system.posix_acl_access';
const [userObj, groupObj, mask, other] = [0x01, 0x04, 0x10, 0x20];
const headerBytes = 4;
const entryBytes = 8;

export function asOnLinkto(xattrs: Xattrs): Xattrs {
  const acl = xattrs[accessAcl];
  return acl ? { ...xattrs, [accessAcl]: withoutMode(acl) } : xattrs;
}

/** Without what the permission bits of the mode are made of. */
function withoutMode(acl: Uint8Array): Uint8Array {
  const bytes = Buffer.from(acl);
  const entries: number[] = [];
  for (let at = headerBytes; at + entryBytes <= bytes.length; at += entryBytes) entries.push(at);
  const hasMask = entries.some((at) => bytes.readUInt16LE(at) === mask);
  const ofMode = [userObj, hasMask ? mask : groupObj, other];
  for (const at of entries) if (ofMode.includes(bytes.readUInt16LE(at))) bytes.writeUInt16LE(0, at + 2);
  return bytes;
}
