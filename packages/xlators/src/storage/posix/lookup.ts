/** lookup by gfid or by name, with repair and adoption. */
import { type Args, type Call, Errno, emptyIatt, type FileType, type Gfid, type Loc, type Reply } from '@mortar/core';
import { type Brick, failed, refused } from './brick.ts';
import { hiddenName, isRoot } from './handle.ts';
import { adopt, ensureHandle } from './heal-handle.ts';
import { directoryOf, entryOf, iattOf, type Node, nodeOf, refreshed } from './node.ts';
import { isLaidOut } from './parents.ts';
import { wantedXattrs } from './xattrs.ts';

export function lookup(brick: Brick, _call: Call, { loc, want, gfid, xdata }: Args<'lookup'>): Reply<'lookup'> {
  const named = loc.parent !== null && loc.name !== null;
  const parent = named ? directoryOf(brick, loc.parent!) : null;
  const found = named ? byName(brick, loc, parent!, gfid) : nodeOf(brick, loc.gfid ?? ('' as Gfid));
  if (found === -Errno.ENODATA) return withoutGfid(brick, loc, parent as Node);
  if (found === -Errno.ENOENT && typeof parent === 'object' && parent && !isLaidOut(brick, parent, xdata?.layout))
    return refused(Errno.EREMCHG);
  if (typeof found === 'number') return failed(found);
  const xattrs = wantedXattrs(brick, found, want ?? []);
  if (typeof xattrs === 'number') return failed(xattrs);
  const postParent = parent === null || typeof parent === 'number' ? emptyIatt() : iattOf(brick, parent);
  return { ok: true, iatt: iattOf(brick, found), postParent, xattrs };
}

function withoutGfid(brick: Brick, loc: Loc, directory: Node): Reply<'lookup'> {
  const entry = entryOf(brick, directory.dirfd, loc.name!);
  if (typeof entry === 'number') return failed(entry);
  return { ok: false, errno: Errno.ENODATA, xdata: { typeWithoutGfid: entry.stat.type as FileType } };
}

/** `directory`: the one that `loc` names, or why there is none. */
function byName(brick: Brick, loc: Loc, directory: Node | number, gfid: Gfid | undefined): Node | number {
  const parent = loc.parent!;
  const name = loc.name!;
  if (name.length > 255) return -Errno.ENAMETOOLONG;
  if (name === '' || name.includes('/') || name.includes('\0')) return -Errno.EINVAL;
  if (isRoot(parent) && name === hiddenName) return -Errno.EPERM;
  if (name === '.' || (name === '..' && isRoot(parent))) return nodeOf(brick, parent);
  if (typeof directory === 'number') return directory;
  const entry = entryOf(brick, directory.dirfd, name);
  if (typeof entry === 'number') return entry;
  if (name === '..') return entry.gfid === null ? -Errno.ESTALE : nodeOf(brick, entry.gfid);
  if (entry.gfid === null) {
    if (gfid === undefined) return -Errno.ENODATA;
    const adopted = adopt(brick, entry as Node, gfid, parent, name);
    return adopted < 0 ? adopted : refreshed(brick, entry as Node);
  }
  const node: Node = { ...entry, gfid: entry.gfid };
  const repaired = ensureHandle(brick, node, parent, name);
  return repaired < 0 ? repaired : node;
}

/** The object that a loc of any form means: by name where it has one, else by gfid. */
export function find(brick: Brick, loc: Loc): Node | number {
  if (loc.gfid !== null) return nodeOf(brick, loc.gfid);
  if (loc.parent === null || loc.name === null) return -Errno.EINVAL;
  return byName(brick, loc, directoryOf(brick, loc.parent), undefined);
}
