/** Which xattrs are kept. Pure. */
import type { ByteString, OptionValues } from '@mortar/core';
import type { options } from './options.ts';

type Switch = keyof typeof options;

const groups: readonly (readonly [Switch, readonly ByteString[]])[] = [
  ['cache-selinux', ['security.selinux']],
  ['cache-capability-xattrs', ['security.capability']],
  ['cache-ima-xattrs', ['security.ima']],
  ['cache-swift-metadata', ['user.swift.metadata']],
  ['cache-samba-metadata', ['user.DOSATTRIB', 'security.NTACL', 'user.org.netatalk.Metadata']],
  ['cache-posix-acl', ['system.posix_acl_access', 'system.posix_acl_default']],
  ['cache-glusterfs-acl', ['glusterfs.posix.acl', 'glusterfs.posix.default_acl']],
];

/** Names, without patterns: of an absent one it must be known that it is absent. */
export function cachedXattrs(values: OptionValues<typeof options>): ReadonlySet<ByteString> {
  const names = groups.flatMap(([option, group]) => (values[option] === true ? group : []));
  const more = values['xattr-cache-list'].split(/[\s,]+/).filter((name) => name !== '' && !name.includes('*'));
  return new Set([...names, ...more]);
}
