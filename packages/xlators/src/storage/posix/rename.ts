/**
 * rename and link. Of a file the new name is recorded first, the old record goes last; of a directory the handle is
 * written anew behind the rename (docs/posix.md).
 */
import { type ByteString, type Call, Errno, FileType, nullGfid } from '@mortar/core';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { atHandle, directoryTarget, handlePath, unlinkedPath } from './handle.ts';
import { putDirectoryHandle } from './heal-handle.ts';
import { addName, removeName } from './links.ts';
import { entryOf, isDirectory, type Node, refreshed } from './node.ts';
import type { OpenState } from './open-files.ts';
import type { Parent } from './parents.ts';
import { directoryLost, isLinkto, nameLost } from './remove.ts';
import { touch } from './times.ts';

const ENOENT = -2;
const EEXIST = -17;
const ENOTEMPTY = -39;

type Entry = ReturnType<typeof entryOf>;

/** The renamed object as it is now, or the negative errno. */
export function rename(
  brick: Brick,
  call: Call,
  from: Parent,
  to: Parent,
  flags: number,
  notLinkto?: ByteString,
): Node | number {
  if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) return -Errno.EINVAL;
  const source = entryOf(brick, from.fd, from.name);
  if (typeof source === 'number') return source;
  if (isLinkto(brick, source, notLinkto)) return ENOENT;
  const replaced = entryOf(brick, to.fd, to.name);
  if (typeof replaced === 'number' && replaced !== ENOENT) return replaced;
  const moved: Node = { ...source, gfid: source.gfid ?? nullGfid };
  const here: Node = { ...moved, dirfd: to.fd, path: to.name, target: `/proc/self/fd/${to.fd}/${to.name}` };
  const exchange = flags === RENAME_EXCHANGE;
  // Two names of one file: POSIX has rename do nothing.
  const same = typeof replaced !== 'number' && replaced.stat.ino === source.stat.ino;
  if (same) return flags === RENAME_NOREPLACE ? EEXIST : moved;
  const recorded = record(brick, moved, to) || (exchange ? record(brick, asNode(replaced), from) : 0);
  const result = recorded < 0 ? recorded : brick.sys.renameat2(from.fd, from.name, to.fd, to.name, flags);
  if (result < 0) {
    unrecord(brick, moved, to);
    if (exchange) unrecord(brick, asNode(replaced), from);
    const notEmpty = result === EEXIST && flags === 0 && isDirectory(source);
    return notEmpty ? ENOTEMPTY : result;
  }
  settle(brick, call, here, from, to);
  if (typeof replaced !== 'number') {
    const other: Node = { ...replaced, gfid: replaced.gfid ?? nullGfid };
    if (exchange) settle(brick, call, { ...other, ...placeOf(from) }, to, from);
    else if (isDirectory(other)) directoryLost(brick, replaced.gfid);
    else nameLost(brick, call, other, to.node.gfid, to.name);
  }
  return refreshed(brick, here);
}

function placeOf(parent: Parent): Pick<Node, 'dirfd' | 'path' | 'target'> {
  return { dirfd: parent.fd, path: parent.name, target: `/proc/self/fd/${parent.fd}/${parent.name}` };
}

function asNode(entry: Entry): Node | null {
  return typeof entry === 'number' ? null : { ...entry, gfid: entry.gfid ?? nullGfid };
}

function recordable(node: Node | null): node is Node {
  return node !== null && !isDirectory(node) && node.gfid !== nullGfid;
}

function record(brick: Brick, node: Node | null, at: Parent): number {
  return recordable(node) ? addName(brick, node, at.node.gfid, at.name) : 0;
}

function unrecord(brick: Brick, node: Node | null, at: Parent): void {
  if (recordable(node)) removeName(brick, node, at.node.gfid, at.name);
}

/** After an object has moved: its old record or its handle, and its ctime. */
function settle(brick: Brick, call: Call, node: Node, from: Parent, to: Parent): void {
  if (node.gfid === nullGfid) return;
  if (isDirectory(node)) putDirectoryHandle(brick, node.gfid, directoryTarget(to.node.gfid, to.name));
  else removeName(brick, node, from.node.gfid, from.name);
  touch(brick, node, call.time, { data: false });
}

/**
 * One more name for an object: recorded first, then linked. The object as it is now, or the negative errno.
 * `nameless`: an open file that has lost its last name may get one.
 */
export function link(brick: Brick, call: Call, node: Node, to: Parent, nameless = false): Node | number {
  if (node.stat.type === FileType.directory) return -Errno.EPERM;
  const state = brick.open.of(node.gfid);
  if (state?.unlinked) return nameless ? revive(brick, call, node, state, to) : ENOENT;
  const { maxHardlinks } = brick.settings;
  // The handle is a link, too.
  if (maxHardlinks > 0 && node.stat.nlink - 1 >= maxHardlinks) return -Errno.EMLINK;
  if (typeof entryOf(brick, to.fd, to.name) !== 'number') return EEXIST;
  const recorded = addName(brick, node, to.node.gfid, to.name);
  if (recorded < 0) return recorded;
  const result = brick.sys.linkat(brick.hiddenFd, handlePath(node.gfid), to.fd, to.name);
  if (result < 0) {
    removeName(brick, node, to.node.gfid, to.name);
    return result;
  }
  const now = refreshed(brick, node);
  touch(brick, now, call.time, { data: false });
  return now;
}

/** From `unlink/` back to its handle, and then as any other. A handle alone, which a crash may leave, is no object. */
function revive(brick: Brick, call: Call, node: Node, state: OpenState, to: Parent): Node | number {
  const { sys, hiddenFd } = brick;
  const handle = handlePath(node.gfid);
  const waiting = unlinkedPath(node.gfid);
  const moved = atHandle(sys, hiddenFd, node.gfid, () =>
    sys.renameat2(hiddenFd, waiting, hiddenFd, handle, RENAME_NOREPLACE),
  );
  if (moved < 0) return moved;
  state.unlinked = false;
  const linked = link(brick, call, node, to);
  if (typeof linked === 'number' && sys.renameat2(hiddenFd, handle, hiddenFd, waiting, RENAME_NOREPLACE) === 0)
    state.unlinked = true;
  return linked;
}
