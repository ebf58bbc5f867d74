/** Ownership rules that are not a matter of permission bits. Pure; the errno, or 0 when allowed. */
import { type AttrChange, type ByteString, Errno } from '@mortar/core';
import { type Asker, aclAccess, aclDefault, type Guard, isMember, permits, write } from './acl.ts';

const sticky = 0o1000;
const setGid = 0o2000;

export type Verdict = Errno | 0;

/** In a sticky directory only its owner and the file's may remove or replace a file. */
export function isSticky({ mode }: Guard): boolean {
  return (mode & sticky) !== 0;
}

export function maySetattr(guard: Guard, asker: Asker, attr: AttrChange): Verdict {
  const owner = asker.uid === guard.uid;
  if (attr.mode !== undefined && !owner) return Errno.EPERM;
  if (attr.uid !== undefined && !(owner && attr.uid === guard.uid)) return Errno.EPERM;
  if (attr.gid !== undefined && !(owner && (attr.gid === guard.gid || isMember(asker, attr.gid)))) return Errno.EPERM;
  const times = attr.atime !== undefined || attr.mtime !== undefined;
  if (times && !owner && !permits(guard, asker, write)) return Errno.EACCES;
  return 0;
}

/** chmod by one who is not in the file's group loses the set-group-id bit (chmod(2)). */
export function withoutForeignSetGid(guard: Guard, asker: Asker, attr: AttrChange): AttrChange {
  if (attr.mode === undefined || (attr.mode & setGid) === 0) return attr;
  return isMember(asker, attr.gid ?? guard.gid) ? attr : { ...attr, mode: attr.mode & ~setGid };
}

/** Setting or removing an xattr. Names of the volume's own (trusted.) are set by translators in a user's name. */
export function mayChangeXattr(guard: Guard, asker: Asker, name: ByteString): Verdict {
  if (name === aclAccess || name === aclDefault) return asker.uid === guard.uid ? 0 : Errno.EPERM;
  if (!name.startsWith('user.')) return 0;
  if (guard.isDirectory && isSticky(guard) && asker.uid !== guard.uid) return Errno.EPERM;
  return permits(guard, asker, write) ? 0 : Errno.EACCES;
}
