/** The records of a file's names on the file: gfid2path, and pgfid where asked for (ondisk format, section 2). */
import type { ByteString, Gfid } from '@mortar/core';
import type { Brick } from './brick.ts';
import { pathRecord } from './gfid2path.ts';
import type { Node } from './node.ts';
import { combine } from './xattrop.ts';

/** Names beyond these are not recorded. */
const recordsMax = 500;

/** 0 or the negative errno. A record that is there already is as good. */
export function addName(brick: Brick, node: Node, parent: Gfid, name: ByteString): number {
  const { gfid2path, buildPgfid } = brick.settings;
  if (buildPgfid) countParent(brick, node, parent, 1);
  if (!gfid2path || node.stat.nlink > recordsMax) return 0;
  const { xattr, value } = pathRecord(parent, name);
  const result = brick.sys.setxattr(node.target, xattr, value);
  return result;
}

/** Takes a name's record off; that there is none is no failure. */
export function removeName(brick: Brick, node: Node, parent: Gfid, name: ByteString): void {
  if (brick.settings.buildPgfid) countParent(brick, node, parent, -1);
  brick.sys.removexattr(node.target, pathRecord(parent, name).xattr);
}

function countParent(brick: Brick, node: Node, parent: Gfid, by: 1 | -1): void {
  const xattr = `trusted.pgfid.${parent}`;
  const stored = brick.sys.getxattr(node.target, xattr);
  const before = typeof stored === 'number' || stored.length !== 4 ? new Uint8Array(4) : stored;
  const change = Uint8Array.from(by === 1 ? [0, 0, 0, 1] : [255, 255, 255, 255]);
  const after = combine('add32', before, change);
  // Never below zero: a file from before the option was on has no count.
  if (after[0]! >= 128 || after.every((byte) => byte === 0)) brick.sys.removexattr(node.target, xattr);
  else brick.sys.setxattr(node.target, xattr, after);
}
