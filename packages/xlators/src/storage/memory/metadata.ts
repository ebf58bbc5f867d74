/** Fops on attributes, xattrs and directory listings. */
import {
  type AttrChange,
  type ByteString,
  type Call,
  type Dirent,
  Errno,
  FileType,
  type Fops,
  fail,
  gfidBytes,
  type Reply,
  type Xattrs,
} from '@mortar/core';
import type { MemoryFile } from './file.ts';
import { meant } from './meant.ts';
import { type Found, type Volume, wantedXattrs } from './volume.ts';

type MetadataFops = Pick<
  Fops,
  | 'stat'
  | 'fstat'
  | 'setattr'
  | 'fsetattr'
  | 'readlink'
  | 'access'
  | 'statfs'
  | 'getxattr'
  | 'fgetxattr'
  | 'setxattr'
  | 'fsetxattr'
  | 'removexattr'
  | 'fremovexattr'
  | 'xattrop'
  | 'fxattrop'
  | 'readdir'
  | 'readdirp'
>;

const xattrCreate = 1;
const xattrReplace = 2;
const blockBytes = 4096;
/** Of a record in a listing, as the kernel will have it: fuse_dirent without the name, fuse_entry_out. */
const direntBytes = 24;
const plusBytes = 128;
/** Pages of a listing that are kept beyond what covers it once. */
const spareMax = 16;
/** Names that are the object's identity. */
const immutable = new Set(['trusted.gfid', 'trusted.glusterfs.volume-id']);

function change(found: Found<MemoryFile>, call: Call, attr: AttrChange): Reply<'setattr'> {
  if (!found.ok) return found;
  const file = found.value;
  const pre = file.iatt();
  if (attr.mode !== undefined) file.mode = attr.mode & 0o7777;
  if (attr.uid !== undefined) file.uid = attr.uid;
  if (attr.gid !== undefined) file.gid = attr.gid;
  if (attr.atime) file.atime = attr.atime;
  if (attr.mtime) file.mtime = attr.mtime;
  file.ctime = attr.ctime ?? call.time;
  return { ok: true, pre, post: file.iatt() };
}

function get(found: Found<MemoryFile>, name: ByteString | undefined): Reply<'getxattr'> {
  if (!found.ok) return found;
  const file = found.value;
  const xattrs: Xattrs = Object.create(null);
  if (name === undefined) for (const [key, value] of file.xattrs) xattrs[key] = value;
  else {
    const value = xattrOf(file, name);
    if (value === undefined) return fail(Errno.ENODATA);
    xattrs[name] = value;
  }
  return { ok: true, xattrs };
}

function xattrOf(file: MemoryFile, name: ByteString): Uint8Array | undefined {
  if (name === 'trusted.gfid') return gfidBytes(file.gfid);
  if (name === 'glusterfs.gfid.string') return Buffer.from(file.gfid, 'latin1');
  return file.xattrs.get(name);
}

/** Attributes are of one of these, as on any disk. */
const nameSpaces = /^(user|trusted|security|system)\../;

function set(found: Found<MemoryFile>, call: Call, xattrs: Xattrs, flags: number): Reply<'setxattr'> {
  if (!found.ok) return found;
  const file = found.value;
  for (const name of Object.keys(xattrs)) {
    if (immutable.has(name)) return fail(Errno.EPERM);
    if (!nameSpaces.test(name)) return fail(Errno.EOPNOTSUPP);
    if (flags === xattrCreate && file.xattrs.has(name)) return fail(Errno.EEXIST);
    if (flags === xattrReplace && !file.xattrs.has(name)) return fail(Errno.ENODATA);
  }
  for (const [name, value] of Object.entries(xattrs)) file.setXattr(name, Uint8Array.from(value));
  file.ctime = call.time;
  return { ok: true };
}

function remove(found: Found<MemoryFile>, call: Call, name: ByteString): Reply<'removexattr'> {
  if (!found.ok) return found;
  if (immutable.has(name)) return fail(Errno.EPERM);
  if (!found.value.removeXattr(name)) return fail(Errno.ENODATA);
  found.value.ctime = call.time;
  return { ok: true };
}

/** Adds or ors big-endian integers of `width` bytes; what is longer than the stored value extends it. */
function combine(stored: Uint8Array, given: Uint8Array, operation: 'add32' | 'add64' | 'or'): Uint8Array {
  const result = Buffer.alloc(Math.max(stored.length, given.length));
  result.set(stored);
  if (operation === 'or') {
    for (let i = 0; i < given.length; i++) result[i]! |= given[i]!;
    return result;
  }
  const addend = Buffer.from(given);
  const width = operation === 'add32' ? 4 : 8;
  for (let at = 0; at + width <= given.length; at += width) {
    if (width === 4) result.writeUInt32BE((result.readUInt32BE(at) + addend.readUInt32BE(at)) >>> 0, at);
    else result.writeBigUInt64BE(BigInt.asUintN(64, result.readBigUInt64BE(at) + addend.readBigUInt64BE(at)), at);
  }
  return result;
}

function operate(found: Found<MemoryFile>, operation: 'add32' | 'add64' | 'or', values: Xattrs): Reply<'xattrop'> {
  if (!found.ok) return found;
  const xattrs: Xattrs = Object.create(null);
  for (const [name, given] of Object.entries(values)) {
    const value = combine(found.value.xattrs.get(name) ?? new Uint8Array(0), given, operation);
    found.value.setXattr(name, value);
    xattrs[name] = value;
  }
  return { ok: true, xattrs };
}

/** Entries behind `offset` for about `size` bytes, at least one. */
function list(
  found: Found<MemoryFile>,
  size: number,
  offset: number,
  plus: boolean,
  want: readonly ByteString[] | undefined,
): Reply<'readdirp'> {
  if (!found.ok) return found;
  if (!found.value.isDirectory) return fail(Errno.ENOTDIR);
  const { entries: all, files, pages } = found.value.ordered;
  const first = indexBehind(all, offset);
  const page = plus ? undefined : pages.get(first);
  if (page?.size === size) return { ok: true, entries: page.entries as Dirent[], end: page.end };
  let last = first;
  for (let used = 0; last < all.length; last++) {
    used += (plus ? plusBytes : 0) + ((direntBytes + all[last]!.name.length + 7) & ~7);
    if (used > size && last > first) break;
  }
  const end = last >= all.length;
  const entries = all.slice(first, last);
  if (!plus) {
    // Pages that begin anywhere would keep the names many times over.
    if (pages.size > all.length / entries.length + spareMax) pages.clear();
    pages.set(first, { size, entries, end });
  } else {
    for (let i = first; i < last; i++) {
      const { name, gfid, type, offset: next } = all[i]!;
      const file = files[i]!;
      entries[i - first] = { name, gfid, type, offset: next, iatt: file.iatt(), xattrs: wantedXattrs(file, want) };
    }
  }
  return { ok: true, entries, end };
}

/** The first of the entries whose offset is beyond `offset`. */
function indexBehind(entries: readonly Dirent[], offset: number): number {
  let low = 0;
  for (let high = entries.length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (entries[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The usual check of permission bits: the owner's, else the group's, else the rest. */
function mayAccess(file: MemoryFile, call: Call, mask: number): boolean {
  if (call.uid === 0) return (mask & 1) === 0 || file.isDirectory || (file.mode & 0o111) !== 0;
  const inGroup = call.gid === file.gid || call.groups.includes(file.gid);
  const shift = call.uid === file.uid ? 6 : inGroup ? 3 : 0;
  return ((file.mode >> shift) & mask) === mask;
}

export function metadataFops(volume: Volume): MetadataFops {
  return {
    async stat(_call, { loc }) {
      const found = volume.file(loc);
      return found.ok ? { ok: true, iatt: found.value.iatt() } : found;
    },
    async fstat(_call, { fd }) {
      const found = volume.opened(fd);
      return found.ok ? { ok: true, iatt: found.value.iatt() } : found;
    },
    setattr: async (call, { loc, attr, xdata }) => change(meant(volume.file(loc), xdata), call, attr),
    fsetattr: async (call, { fd, attr, xdata }) => change(meant(volume.opened(fd), xdata), call, attr),

    async readlink(_call, { loc }) {
      const found = volume.file(loc);
      if (!found.ok) return found;
      if (found.value.type !== FileType.symlink) return fail(Errno.EINVAL);
      return { ok: true, target: found.value.target, iatt: found.value.iatt() };
    },

    async access(call, { loc, mask, xdata }) {
      const found = meant(volume.file(loc), xdata);
      if (!found.ok) return found;
      return xdata?.ifChecked || mayAccess(found.value, call, mask) ? { ok: true } : fail(Errno.EACCES);
    },

    async statfs() {
      const blocks = Math.floor(volume.capacity / blockBytes);
      const free = Math.max(0, blocks - Math.ceil(volume.used / blockBytes));
      const statfs = {
        blockSize: blockBytes,
        fragmentSize: blockBytes,
        blocks,
        blocksFree: free,
        blocksAvailable: free,
        files: volume.count + free,
        filesFree: free,
        filesAvailable: free,
        fsid: 0,
        flags: 0,
        nameMax: 255,
      };
      return { ok: true, statfs };
    },

    getxattr: async (_call, { loc, name, xdata }) => get(meant(volume.file(loc), xdata), name),
    fgetxattr: async (_call, { fd, name, xdata }) => get(meant(volume.opened(fd), xdata), name),
    setxattr: async (call, { loc, xattrs, flags, xdata }) => set(meant(volume.file(loc), xdata), call, xattrs, flags),
    fsetxattr: async (call, { fd, xattrs, flags, xdata }) => set(meant(volume.opened(fd), xdata), call, xattrs, flags),
    removexattr: async (call, { loc, name, xdata }) => remove(meant(volume.file(loc), xdata), call, name),
    fremovexattr: async (call, { fd, name, xdata }) => remove(meant(volume.opened(fd), xdata), call, name),
    xattrop: async (_call, { loc, operation, values }) => operate(volume.file(loc), operation, values),
    fxattrop: async (_call, { fd, operation, values }) => operate(volume.opened(fd), operation, values),

    readdir: async (_call, { fd, size, offset }) => list(volume.opened(fd), size, offset, false, undefined),
    readdirp: async (_call, { fd, size, offset, want }) => list(volume.opened(fd), size, offset, true, want),
  };
}
