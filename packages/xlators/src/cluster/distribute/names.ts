/** The xattrs that distribute keeps on the bricks, and those that callers never see. Pure. */
import type { ByteString, Xattrs } from '@mortar/core';

export interface XattrNames {
  readonly layout: ByteString;
  readonly linkto: ByteString;
  readonly mds: ByteString;
  readonly commit: ByteString;
  /** On copies of the root: how many changes they have that another copy missed. */
  readonly ahead: ByteString;
  /** On a file that is being copied elsewhere: setting it waits for what others are doing to the file on any replica. */
  readonly moving: ByteString;
  /** On a file that is marked as being moved: its own mode, in octal. */
  readonly movingMode: ByteString;
  /** On what a rename has shown, a linkto if there is one: what it replaced under which name. */
  readonly replaced: ByteString;
  /** On a linkto that a rename is about to show: from which name to which. */
  readonly renaming: ByteString;
  /** On the root of a child that leaves: another value with each rename of a file there. */
  readonly renamed: ByteString;
}

export function xattrNames(base: string): XattrNames {
  return {
    layout: base,
    linkto: `${base}.linkto`,
    mds: `${base}.mds`,
    commit: `${base}.commithash`,
    ahead: `${base}.ahead`,
    moving: `${base}.moving`,
    movingMode: `${base}.moving-mode`,
    replaced: `${base}.replaced`,
    renaming: `${base}.renaming`,
    renamed: `${base}.renamed`,
  };
}

const internalPrefixes = [
  'trusted.glusterfs.dht',
  'trusted.glusterfs.quota.',
  'trusted.glusterfs.shard.',
  'trusted.afr.',
  'trusted.ec.',
  'trusted.gfid',
  'trusted.pgfid.',
  'trusted.bit-rot.',
];
const internalNames = new Set(['trusted.glusterfs.volume-id', 'trusted.glusterfs.mdata']);

/** Whether an xattr is the file system's own: kept from listings and from ordinary callers' hands. */
export function isInternalXattr(name: ByteString): boolean {
  return internalNames.has(name) || internalPrefixes.some((prefix) => name.startsWith(prefix));
}

/** Xattrs that a directory has the same on all children, and that its MDS decides: users', ACLs, security labels. */
export function isSharedXattr(name: ByteString): boolean {
  return !isInternalXattr(name) && !name.startsWith('glusterfs.') && !isAccounting(name);
}

function isAccounting(name: ByteString): boolean {
  return /^trusted\.glusterfs\.([0-9a-f-]{36}|node-uuid|pathinfo|list-)/.test(name);
}

export function isWanted(name: ByteString, want: readonly ByteString[]): boolean {
  return want.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

/** Xattrs that the caller asked for, out of those that distribute asked for in addition. */
export function onlyWanted(xattrs: Xattrs, want: readonly ByteString[] | undefined): Xattrs {
  if (!want || want.length === 0) return {};
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => isWanted(name, want)));
}

export function withoutInternal(xattrs: Xattrs): Xattrs {
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => !isInternalXattr(name)));
}
