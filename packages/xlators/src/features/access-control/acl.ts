/** POSIX access control lists: the kernel's xattr form (linux/posix_acl_xattr.h, version 2) and their evaluation (acl(5)). */

export const aclAccess = 'system.posix_acl_access';
export const aclDefault = 'system.posix_acl_default';

export const read = 4;
export const write = 2;
export const execute = 1;

const tags = { owner: 0x01, user: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const;
type Tag = keyof typeof tags;
const tagOf = new Map<number, Tag>(Object.entries(tags).map(([name, value]) => [value, name as Tag]));

export interface AclEntry {
  readonly tag: Tag;
  /** Of `user` and `namedGroup`. */
  readonly id: number;
  /** Three bits: read 4, write 2, execute 1. */
  readonly permissions: number;
}

const version = 2;
const headerBytes = 4;
const entryBytes = 8;

/** The entries, or undefined if the bytes are no list. */
export function parseAcl(bytes: Uint8Array): AclEntry[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < headerBytes || (bytes.length - headerBytes) % entryBytes !== 0) return undefined;
  if (view.getUint32(0, true) !== version) return undefined;
  const entries: AclEntry[] = [];
  for (let at = headerBytes; at < bytes.length; at += entryBytes) {
    const tag = tagOf.get(view.getUint16(at, true));
    if (!tag) return undefined;
    entries.push({ tag, permissions: view.getUint16(at + 2, true) & 7, id: view.getUint32(at + 4, true) });
  }
  return entries;
}

/** Whose file it is and what it permits. */
export interface Guard {
  readonly uid: number;
  readonly gid: number;
  /** The twelve permission bits; of a file with an ACL the group's are its mask. */
  readonly mode: number;
  readonly isDirectory: boolean;
  readonly acl: readonly AclEntry[] | undefined;
}

export interface Asker {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export function isMember({ gid, groups }: Asker, group: number): boolean {
  return gid === group || groups.includes(group);
}

/** Whether all of `wanted` is permitted. Not for the superuser. */
export function permits(guard: Guard, asker: Asker, wanted: number): boolean {
  const { uid, gid, mode, acl } = guard;
  if (asker.uid === uid) return allows(mode >> 6, wanted);
  if (acl && acl.length > 0) return aclPermits(acl, guard, asker, wanted);
  if (isMember(asker, gid)) return allows(mode >> 3, wanted);
  return allows(mode, wanted);
}

function aclPermits(acl: readonly AclEntry[], { gid }: Guard, asker: Asker, wanted: number): boolean {
  const mask = acl.find((entry) => entry.tag === 'mask')?.permissions ?? 7;
  const named = acl.find((entry) => entry.tag === 'user' && entry.id === asker.uid);
  if (named) return allows(named.permissions & mask, wanted);
  const groups = acl.filter(
    ({ tag, id }) => (tag === 'group' && isMember(asker, gid)) || (tag === 'namedGroup' && isMember(asker, id)),
  );
  // One of the groups must permit all of it; what several permit together does not count.
  if (groups.length > 0) return groups.some(({ permissions }) => allows(permissions & mask, wanted));
  return allows(acl.find((entry) => entry.tag === 'other')?.permissions ?? 0, wanted);
}

function allows(permissions: number, wanted: number): boolean {
  return (permissions & wanted) === wanted;
}
