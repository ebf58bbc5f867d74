/**
 * Extended attributes. A target is an open file, or a path whose last component is not followed. The kernel refuses
 * xattr calls on an O_PATH descriptor: name it `fdPath(fd)` and use the calls for paths that are followed.
 */
import type { ByteString } from '@mortar/core';
import { XATTR_LIST_MAX, XATTR_SIZE_MAX } from './constants.ts';
import { bind, outcome, path1, path2, putPath } from './native.ts';

const sizes = {
  get: ['void *', 'void *', 'size_t'],
  set: ['void *', 'void *', 'size_t', 'int'],
};

const native = {
  fgetxattr: bind('fgetxattr', 'long', ['int', ...sizes.get]),
  lgetxattr: bind('lgetxattr', 'long', ['void *', ...sizes.get]),
  getxattr: bind('getxattr', 'long', ['void *', ...sizes.get]),
  fsetxattr: bind('fsetxattr', 'int', ['int', ...sizes.set]),
  lsetxattr: bind('lsetxattr', 'int', ['void *', ...sizes.set]),
  setxattr: bind('setxattr', 'int', ['void *', ...sizes.set]),
  flistxattr: bind('flistxattr', 'long', ['int', 'void *', 'size_t']),
  llistxattr: bind('llistxattr', 'long', ['void *', 'void *', 'size_t']),
  listxattr: bind('listxattr', 'long', ['void *', 'void *', 'size_t']),
  fremovexattr: bind('fremovexattr', 'int', ['int', 'void *']),
  lremovexattr: bind('lremovexattr', 'int', ['void *', 'void *']),
  removexattr: bind('removexattr', 'int', ['void *', 'void *']),
};

/** An open file number; a path, whose last component is not followed; or the path of an O_PATH descriptor. */
export type XattrTarget = number | ByteString;

const magic = '/proc/self/fd/';

/** The path by which an O_PATH descriptor takes xattr calls. */
export function fdPath(fd: number): ByteString {
  return `${magic}${fd}`;
}

/** Paths of descriptors must be followed (once: they lead to the object itself, also to a symlink). */
function isFdPath(path: ByteString): boolean {
  return path.startsWith(magic) && !path.includes('/', magic.length);
}

/** Bytes of the value, which are put into `into`; with an empty buffer only the length. ENODATA: no such attribute. */
export function getxattrInto(target: XattrTarget, name: ByteString, into: Uint8Array): number {
  let bad = putPath(name, path2);
  if (bad < 0) return bad;
  if (typeof target === 'number') return outcome(native.fgetxattr(target, path2, into, into.length));
  bad = putPath(target, path1);
  if (bad < 0) return bad;
  const get = isFdPath(target) ? native.getxattr : native.lgetxattr;
  return outcome(get(path1, path2, into, into.length));
}

const ERANGE = 34;
/** The kernel clears as many bytes as it is offered: most values and lists fit into few. */
const usualSize = 512;
const value = new Uint8Array(XATTR_SIZE_MAX);
const usualValue = value.subarray(0, usualSize);

/** A fresh copy of the value, or the negative errno. */
export function getxattr(target: XattrTarget, name: ByteString): Uint8Array | number {
  let length = getxattrInto(target, name, usualValue);
  if (length === -ERANGE) length = getxattrInto(target, name, value);
  return length < 0 ? length : value.slice(0, length);
}

/** `flags`: XATTR_CREATE, XATTR_REPLACE. */
export function setxattr(target: XattrTarget, name: ByteString, bytes: Uint8Array, flags = 0): number {
  let bad = putPath(name, path2);
  if (bad < 0) return bad;
  if (typeof target === 'number') return outcome(native.fsetxattr(target, path2, bytes, bytes.length, flags));
  bad = putPath(target, path1);
  if (bad < 0) return bad;
  const set = isFdPath(target) ? native.setxattr : native.lsetxattr;
  return outcome(set(path1, path2, bytes, bytes.length, flags));
}

export function removexattr(target: XattrTarget, name: ByteString): number {
  let bad = putPath(name, path2);
  if (bad < 0) return bad;
  if (typeof target === 'number') return outcome(native.fremovexattr(target, path2));
  bad = putPath(target, path1);
  if (bad < 0) return bad;
  const remove = isFdPath(target) ? native.removexattr : native.lremovexattr;
  return outcome(remove(path1, path2));
}

const list = Buffer.alloc(XATTR_LIST_MAX);
const usualList = list.subarray(0, usualSize);

/** The names, or the negative errno. */
export function listxattr(target: XattrTarget): ByteString[] | number {
  let length = listInto(target, usualList);
  if (length === -ERANGE) length = listInto(target, list);
  if (length <= 0) return length < 0 ? length : [];
  return list.toString('latin1', 0, length - 1).split('\0');
}

function listInto(target: XattrTarget, into: Uint8Array): number {
  if (typeof target === 'number') return outcome(native.flistxattr(target, into, into.length));
  const bad = putPath(target, path1);
  if (bad < 0) return bad;
  const listOf = isFdPath(target) ? native.listxattr : native.llistxattr;
  return outcome(listOf(path1, into, into.length));
}
