/** The operations on the virtual files. What is not here cannot be done to them. */
import {
  type Args,
  type Call,
  type Dirent,
  Errno,
  emptyIatt,
  FileType,
  type Fops,
  fail,
  type Gfid,
  type Iatt,
  rootGfid,
} from '@mortar/core';
import { nameOffset } from '../lib/name-offset.ts';
import { type Found, type FoundOrGone, type MetaVolume, metaName, modeOf } from './volume.ts';

/** Answers only; no operation waits for anything. */
export type MetaFops = { [N in keyof Fops]?: Fops[N] };

const accessMode = 0o3;
const readMask = 4;
const writeMask = 2;
/** Longest text that a file takes. */
const writtenMax = 4096;
/** What an entry costs beside its name in an answer, as the kernel counts it. */
const entryBytes = 24;
const attributesBytes = 128;

export function metaFops(volume: MetaVolume): MetaFops {
  const at = (gfid: Gfid | null): FoundOrGone => (gfid === null ? undefined : volume.find(gfid));
  const stat = (found: FoundOrGone): { ok: true; iatt: Iatt } | ReturnType<typeof fail> =>
    isThere(found) ? { ok: true, iatt: volume.iatt(found) } : gone();
  const unchanged = (found: FoundOrGone) => {
    if (!isThere(found)) return gone();
    if (found.node.kind !== 'file' || !found.node.take) return fail(Errno.EACCES);
    const iatt = volume.iatt(found);
    return { ok: true as const, pre: iatt, post: iatt };
  };
  const list = (directory: Gfid, args: { size: number; offset: number }, plus: boolean) => {
    const entries = volume.list(directory);
    return entries ? page(entries, args, plus ? (found) => volume.iatt(found) : undefined) : fail(Errno.ENOTDIR);
  };
  const done = async () => ({ ok: true as const });
  return {
    lookup: async (_call, { loc: { gfid, parent, name } }) => {
      const found = name === null || parent === null ? at(gfid) : named(volume, parent, name);
      if (!isThere(found)) return gone();
      const above = parent === null || parent === rootGfid ? undefined : volume.find(parent);
      const postParent = isThere(above) ? volume.iatt(above) : emptyIatt(parent ?? undefined, FileType.directory);
      return { ok: true, iatt: volume.iatt(found), postParent, xattrs: {} };
    },
    stat: async (_call, { loc }) => stat(at(loc.gfid)),
    fstat: async (_call, { fd }) => {
      const found = at(fd.gfid);
      return isThere(found) ? { ok: true, iatt: volume.iatt(found, fd) } : gone();
    },
    access: async (call, { loc, mask }) => {
      const found = at(loc.gfid);
      if (!isThere(found)) return gone();
      return may(call, modeOf(found.node), mask) ? { ok: true } : fail(Errno.EACCES);
    },
    readlink: async (_call, { loc }) => {
      const found = at(loc.gfid);
      if (!isThere(found)) return gone();
      if (found.node.kind !== 'link') return fail(Errno.EINVAL);
      return { ok: true, target: found.node.target(), iatt: volume.iatt(found) };
    },
    open: async (call, { loc, flags, fd }) => {
      const found = at(loc.gfid);
      if (!isThere(found)) return gone();
      if (found.node.kind !== 'file') return fail(found.node.kind === 'link' ? Errno.ELOOP : Errno.EISDIR);
      if (!mayOpen(call, found, flags & accessMode)) return fail(Errno.EACCES);
      volume.content(fd, found);
      return { ok: true, xdata: { uncached: true } };
    },
    readv: async (_call, { fd, size, offset }) => {
      const found = at(fd.gfid);
      if (!isThere(found)) return gone();
      if (found.node.kind !== 'file') return fail(Errno.EISDIR);
      const data = volume.content(fd, found).subarray(offset, offset + size);
      return { ok: true, data, iatt: volume.iatt(found, fd) };
    },
    writev: async (_call, args) => write(volume, at(args.fd.gfid), args),
    // `echo 8 > file` empties the file before it writes.
    truncate: async (_call, { loc }) => unchanged(at(loc.gfid)),
    ftruncate: async (_call, { fd }) => unchanged(at(fd.gfid)),
    opendir: async (_call, { loc }) => {
      const found = at(loc.gfid);
      if (!isThere(found)) return gone();
      return found.node.kind === 'directory' ? { ok: true } : fail(Errno.ENOTDIR);
    },
    readdir: async (_call, args) => list(args.fd.gfid, args, false),
    readdirp: async (_call, args) => list(args.fd.gfid, args, true),
    getxattr: async () => ({ ok: true, xattrs: {} }),
    fgetxattr: async () => ({ ok: true, xattrs: {} }),
    flush: done,
    fsyncdir: done,
    fsync: async (_call, { fd }) => {
      const found = at(fd.gfid);
      if (!isThere(found)) return gone();
      const iatt = volume.iatt(found, fd);
      return { ok: true, pre: iatt, post: iatt };
    },
  };
}

function isThere(found: FoundOrGone): found is Found {
  return typeof found === 'object';
}

function gone() {
  return fail(Errno.ENOENT);
}

function named(volume: MetaVolume, parent: Gfid, name: string): FoundOrGone {
  return parent === rootGfid && name === metaName ? volume.top() : volume.entry(parent, name);
}

/** The owner is root, who may do what the mode's first digit says; others what its last says. */
function may({ uid }: Call, mode: number, mask: number): boolean {
  const bits = uid === 0 ? mode >> 6 : mode;
  return (mask & ~bits & 7) === 0;
}

function mayOpen(call: Call, { node }: Found, access: number): boolean {
  const mask = access === 0 ? readMask : access === 1 ? writeMask : readMask | writeMask;
  return may(call, modeOf(node), mask);
}

function write(volume: MetaVolume, found: FoundOrGone, { data, offset, append }: Args<'writev'>) {
  if (!isThere(found)) return gone();
  if (found.node.kind !== 'file' || !found.node.take) return fail(Errno.EACCES);
  // A value comes in one piece.
  if ((offset !== 0 && append !== true) || data.length > writtenMax) return fail(Errno.EINVAL);
  const pre = volume.iatt(found);
  if (!found.node.take(Buffer.from(data).toString('utf8'))) return fail(Errno.EINVAL);
  return { ok: true as const, written: data.length, pre, post: volume.iatt(found) };
}

/** Entries in the order of their offsets, which depend on their names (docs/directory-listing.md). */
function page(
  found: [string, Found][],
  { size, offset }: { size: number; offset: number },
  iattOf: ((found: Found) => Iatt) | undefined,
) {
  const ordered = found.map(([name, entry]) => ({ name, entry, offset: nameOffset(name) }));
  ordered.sort((a, b) => a.offset - b.offset || (a.name < b.name ? -1 : 1));
  let last = 0;
  // Names that hash alike follow one another.
  for (const one of ordered) last = one.offset = Math.max(one.offset, last + 1);
  const rest = ordered.filter((one) => one.offset > offset);
  const entries: Dirent[] = [];
  let used = 0;
  for (const { name, entry, offset: next } of rest) {
    used += entryBytes + name.length + (iattOf ? attributesBytes : 0);
    if (used > size && entries.length > 0) break;
    const iatt = iattOf?.(entry) ?? null;
    const type = kindTypes[entry.node.kind];
    entries.push({ name, gfid: entry.gfid, type, offset: next, iatt, xattrs: iatt && {} });
  }
  return { ok: true as const, entries, end: entries.length === rest.length };
}

const kindTypes = { directory: FileType.directory, file: FileType.regular, link: FileType.symlink } as const;
