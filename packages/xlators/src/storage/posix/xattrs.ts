/** Extended attributes as clients see them: filtered, with the virtual ones. */
import { type ByteString, type Call, Errno, type Reply, type Xattrs } from '@mortar/core';
import { XATTR_NAME_MAX, XATTR_SIZE_MAX } from '@mortar/libc';
import { type Brick, failed, refused } from './brick.ts';
import { encodeMdata, mdataXattr } from './mdata.ts';
import type { Node } from './node.ts';
import { touch } from './times.ts';
import { virtualXattr } from './virtual-xattrs.ts';
import { isInternalXattr, isOwnXattr, wanted } from './xattr-filter.ts';

const ENODATA = -61;
const EOPNOTSUPP = -95;

/** On disk under their own name, or not at all: neither answered by us nor by a security module. */
function isListed(name: ByteString): boolean {
  if (name.startsWith('security.')) return name !== 'security.selinux';
  return ['trusted.afr.', 'trusted.glusterfs.dht', 'user.'].some((prefix) => name.startsWith(prefix));
}

/**
 * The xattrs of a lookup's `want`, of a node that was found just now; absent ones are left out. A negative errno where the disk does not say
 * what the file system itself has noted: without its accusations a replica would pass for one that accuses nobody.
 */
export function wantedXattrs(brick: Brick, node: Node, patterns: readonly ByteString[]): Xattrs | number {
  const { names, prefixes } = wanted(patterns);
  const found: Xattrs = {};
  // Most of what is wanted is not there: asking for the names once is cheaper than asking for each value.
  const isMany = names.length + prefixes.length > 1 || prefixes.length > 0;
  const list = isMany ? brick.xattrs.names(node.stat, node.target) : [];
  if (typeof list === 'number' && !saysNone(list)) return list;
  const there = typeof list === 'number' || !isMany ? null : list;
  let failure = 0;
  const put = (name: ByteString) => {
    const virtual = virtualXattr(brick, node, name);
    const value = virtual ?? knownOrStored(brick, node, name);
    if (typeof value !== 'number') found[name] = value;
    else if (virtual === undefined && isInternalXattr(name) && !saysNone(value)) failure = value;
  };
  for (const name of names) if (!there || there.includes(name) || !isListed(name)) put(name);
  for (const name of there ?? []) if (prefixes.some((prefix) => name.startsWith(prefix))) put(name);
  return failure === 0 ? found : failure;
}

/** That there is none, rather than that it cannot be read. */
function saysNone(error: number): boolean {
  return error === ENODATA || error === EOPNOTSUPP;
}

function knownOrStored(brick: Brick, node: Node, name: ByteString): Uint8Array | number {
  return name === mdataXattr ? stored(brick, node, name) : brick.xattrs.value(node.stat, node.target, name);
}

/** As on disk, but for times that the disk does not have yet. */
function stored(brick: Brick, node: Node, name: ByteString): Uint8Array | number {
  const state = name === mdataXattr ? brick.open.of(node.gfid) : undefined;
  return state?.timesDirty && state.times ? encodeMdata(state.times) : brick.sys.getxattr(node.target, name);
}

function valueFor(brick: Brick, node: Node, name: ByteString): Uint8Array | number {
  return virtualXattr(brick, node, name) ?? stored(brick, node, name);
}

export function getxattr(brick: Brick, call: Call, node: Node, name: ByteString | undefined): Reply<'getxattr'> {
  if (name === undefined) return listed(brick, call, node);
  if (name.length === 0 || name.length > XATTR_NAME_MAX) return refused(name === '' ? Errno.EINVAL : Errno.ERANGE);
  const value = valueFor(brick, node, name);
  return typeof value === 'number' ? failed(value) : { ok: true, xattrs: { [name]: value } };
}

function listed(brick: Brick, call: Call, node: Node): Reply<'getxattr'> {
  const names = brick.sys.listxattr(node.target);
  if (typeof names === 'number') return failed(names);
  const xattrs: Xattrs = {};
  for (const name of names) {
    if (!call.internal && isInternalXattr(name)) continue;
    const value = stored(brick, node, name);
    if (typeof value !== 'number') xattrs[name] = value;
    // Who heals would take off the others what cannot be read here.
    else if (call.internal && !saysNone(value)) return failed(value);
  }
  return { ok: true, xattrs };
}

/** Whether the caller may change this attribute: 0 or the errno. */
function mayChange(call: Call, name: ByteString): 0 | Errno {
  if (name.length === 0 || name.includes('\0')) return Errno.EINVAL;
  if (name.length > XATTR_NAME_MAX) return Errno.ERANGE;
  if (isOwnXattr(name)) return Errno.EPERM;
  return isInternalXattr(name) && !call.internal ? Errno.EPERM : 0;
}

/** All or nothing as far as can be told beforehand; a failure of the disk in between leaves the first ones set. */
export function setxattr(
  brick: Brick,
  call: Call,
  node: Node,
  xattrs: Xattrs,
  flags: number,
  byFd: boolean,
): Reply<'setxattr'> {
  for (const [name, value] of Object.entries(xattrs)) {
    const bad = mayChange(call, name);
    if (bad) return refused(bad);
    if (value.length > XATTR_SIZE_MAX) return refused(Errno.E2BIG);
  }
  if (brick.full && !call.internal) return refused(Errno.ENOSPC);
  for (const [name, value] of Object.entries(xattrs)) {
    const result = brick.sys.setxattr(node.target, name, value, flags);
    if (result < 0) return failed(result);
    forgetTimes(brick, node, name);
  }
  // What the file system sets by path is no change of the user's; heal copies the times afterwards.
  if (byFd || !call.internal) touch(brick, node, call.time, { data: false });
  return { ok: true };
}

/** Mdata written from outside (heal, adoption) is read again. */
function forgetTimes(brick: Brick, node: Node, name: ByteString): void {
  if (name !== mdataXattr) return;
  brick.times.forget(node.gfid);
  const state = brick.open.of(node.gfid);
  if (!state) return;
  state.times = null;
  state.timesDirty = false;
}

export function removexattr(brick: Brick, call: Call, node: Node, name: ByteString): Reply<'removexattr'> {
  const bad = mayChange(call, name);
  if (bad) return refused(bad);
  const result = brick.sys.removexattr(node.target, name);
  if (result < 0) return failed(result);
  forgetTimes(brick, node, name);
  touch(brick, node, call.time, { data: false });
  return { ok: true };
}

/** A value that may be absent. */
export function optionalXattr(brick: Brick, node: Node, name: ByteString): Uint8Array | null | number {
  const value = brick.sys.getxattr(node.target, name);
  return value === ENODATA ? null : value;
}
