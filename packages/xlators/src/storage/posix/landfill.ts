/** Deletes in small steps what was moved out of sight: `landfill/`, and at start the inodes in `unlink/`. */

import type { ByteString, Gfid } from '@mortar/core';
import { AT_REMOVEDIR, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { handlePath, landfillFolder, unlinkFolder } from './handle.ts';
import { entryOf, isDirectory } from './node.ts';

const folderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** Removes up to `limit` objects; false when nothing is left. */
export function purge(brick: Brick, limit: number): boolean {
  const fd = brick.sys.openat(brick.hiddenFd, landfillFolder, folderFlags);
  if (fd < 0) return false;
  const budget = { left: limit };
  empty(brick, fd, budget);
  brick.sys.close(fd);
  return budget.left <= 0;
}

interface Budget {
  left: number;
}

/** The names of at most `limit` entries: a directory is not changed while it is read. */
function someNames(brick: Brick, fd: number, limit: number): ByteString[] {
  const names: ByteString[] = [];
  brick.sys.forEachDirent(fd, (name) => {
    names.push(name);
    return names.length < limit;
  });
  return names;
}

function empty(brick: Brick, fd: number, budget: Budget): void {
  while (budget.left > 0) {
    const names = someNames(brick, fd, Math.min(budget.left, 256));
    if (names.length === 0) return;
    let removed = 0;
    for (const name of names) {
      if (budget.left <= 0) return;
      if (removeOne(brick, fd, name, budget)) removed++;
    }
    if (removed === 0) return;
  }
}

/** Children first, each with its handle. False if it cannot be removed now. */
function removeOne(brick: Brick, parentFd: number, name: ByteString, budget: Budget): boolean {
  const { sys } = brick;
  const entry = entryOf(brick, parentFd, name);
  if (typeof entry === 'number') return false;
  if (!isDirectory(entry)) {
    budget.left--;
    if (sys.unlinkat(parentFd, name) < 0) return false;
    const lastName = entry.stat.nlink <= 2;
    if (entry.gfid !== null && lastName && !brick.open.of(entry.gfid)) removeHandle(brick, entry.gfid);
    return true;
  }
  const fd = sys.openat(parentFd, name, folderFlags);
  if (fd < 0) return false;
  empty(brick, fd, budget);
  sys.close(fd);
  if (budget.left-- <= 0 || sys.unlinkat(parentFd, name, AT_REMOVEDIR) < 0) return false;
  // A directory of this gfid that lives elsewhere (heal made it anew) keeps its handle.
  if (entry.gfid !== null && brick.directories.lacks(entry.gfid)) removeHandle(brick, entry.gfid);
  return true;
}

function removeHandle(brick: Brick, gfid: Gfid): void {
  brick.sys.unlinkat(brick.hiddenFd, handlePath(gfid));
  brick.verified.delete(gfid);
  brick.anonymous.delete(gfid);
}

/** At start: no file of `unlink/` is open any more. */
export function emptyUnlinked(brick: Brick): void {
  const fd = brick.sys.openat(brick.hiddenFd, unlinkFolder, folderFlags);
  if (fd < 0) return;
  for (let names = someNames(brick, fd, 4096); names.length > 0; names = someNames(brick, fd, 4096)) {
    const removed = names.filter((name) => brick.sys.unlinkat(fd, name) === 0);
    if (removed.length === 0) break;
  }
  brick.sys.close(fd);
}
