/** The directory of an entry operation: checks on the name, its iatt before and after. */
import { type ByteString, type Call, Errno, type Iatt, isValidName, type Loc, nameMaxBytes } from '@mortar/core';
import { claimHolds } from '../../lib/layout-claim.ts';
import type { Brick } from './brick.ts';
import { hiddenName, isRoot } from './handle.ts';
import { directoryOf, iattOf, type Node, refreshed } from './node.ts';
import { touch } from './times.ts';

export interface Parent {
  node: Node;
  fd: number;
  name: string;
  pre: Iatt;
}

/** 0, or the negative errno of a name that nothing may have or that clients may not see. */
export function checkName(loc: Loc): number {
  if (loc.parent === null || loc.name === null) return -Errno.EINVAL;
  if (loc.name.length > nameMaxBytes) return -Errno.ENAMETOOLONG;
  if (!isValidName(loc.name)) return -Errno.EINVAL;
  if (loc.name === hiddenName && isRoot(loc.parent)) return -Errno.EPERM;
  return 0;
}

/**
 * The directory that `loc` names, and the name in it. ESTALE if the directory is gone, EREMCHG if it is not laid out as
 * the operation believes (xdata `layout`).
 */
export function parentOf(brick: Brick, loc: Loc, claim?: string): Parent | number {
  const bad = checkName(loc);
  if (bad < 0) return bad;
  const node = directoryOf(brick, loc.parent!);
  if (typeof node === 'number') return node;
  if (!isLaidOut(brick, node, claim)) return -Errno.EREMCHG;
  return { node, fd: node.dirfd, name: loc.name!, pre: iattOf(brick, node) };
}

/** Whether a directory is laid out as an operation believes (xdata `layout`), if it believes anything. */
export function isLaidOut(brick: Brick, directory: Node, claim: string | undefined): boolean {
  return claim === undefined || claimHolds(claim, (xattr) => xattrOf(brick, directory, xattr));
}

function xattrOf(brick: Brick, directory: Node, name: ByteString): Uint8Array | undefined {
  const value = brick.sys.getxattr(directory.dirfd, name);
  return value instanceof Uint8Array ? value : undefined;
}

/** After a change of its entries: its times moved, and as it is now. */
export function parentAfter(brick: Brick, call: Call, parent: Parent): Iatt {
  const now = refreshed(brick, parent.node);
  touch(brick, now, call.time, { data: true });
  return iattOf(brick, now);
}
