/** xattrop: counters in xattrs, changed as one step because this store does one thing at a time. */
import { Errno, type Reply, type Xattrs } from '@mortar/core';
import { XATTR_SIZE_MAX } from '@mortar/libc';
import { type Brick, failed, refused } from './brick.ts';
import type { Node } from './node.ts';
import { isOwnXattr } from './xattr-filter.ts';
import { optionalXattr } from './xattrs.ts';

export type XattropOperation = 'add32' | 'add64' | 'or';

const unit: Record<XattropOperation, number> = { add32: 4, add64: 8, or: 1 };

/** The sum of two arrays of big-endian integers; the longer one decides the length, what is missing is zero. */
export function combine(operation: XattropOperation, stored: Uint8Array, change: Uint8Array): Uint8Array {
  const result = new Uint8Array(Math.max(stored.length, change.length));
  result.set(stored);
  const view = new DataView(result.buffer);
  const by = new DataView(change.buffer, change.byteOffset, change.length);
  for (let at = 0; at < change.length; at += unit[operation]) {
    if (operation === 'or') view.setUint8(at, view.getUint8(at) | by.getUint8(at));
    else if (operation === 'add32') view.setInt32(at, (view.getInt32(at) + by.getInt32(at)) | 0);
    else view.setBigInt64(at, BigInt.asIntN(64, view.getBigInt64(at) + by.getBigInt64(at)));
  }
  return result;
}

/** The new values. A name without a stored value counts from zero, and is created. */
export function xattrop(brick: Brick, node: Node, operation: XattropOperation, values: Xattrs): Reply<'xattrop'> {
  const xattrs: Xattrs = {};
  const changed: string[] = [];
  for (const [name, change] of Object.entries(values)) {
    if (name.length > 255 || name === '' || isOwnXattr(name)) return refused(Errno.EINVAL);
    const stored = optionalXattr(brick, node, name);
    if (typeof stored === 'number') return failed(stored);
    const length = Math.max(change.length, stored?.length ?? 0);
    if (length % unit[operation] !== 0 || length > XATTR_SIZE_MAX) return refused(Errno.EINVAL);
    xattrs[name] = combine(operation, stored ?? new Uint8Array(0), change);
    if (!stored || change.some((byte) => byte !== 0)) changed.push(name);
  }
  for (const name of changed) {
    const result = brick.sys.setxattr(node.target, name, xattrs[name]!);
    if (result < 0) return failed(result);
  }
  return { ok: true, xattrs };
}
