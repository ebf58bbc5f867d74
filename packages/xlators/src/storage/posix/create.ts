/**
 * Making objects. A file is made and dressed (owner, mode, ACL, xattrs) at its handle's place, where nobody looks, and
 * appears by one link(2). A directory is dressed in the landfill and appears by one rename(2). docs/posix.md has the
 * states after a crash at every step.
 */
import { type Call, Errno, type Gfid, gfidBytes, isGfid, nullGfid, type Xattrs } from '@mortar/core';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_EXCL,
  O_NOATIME,
  O_NOFOLLOW,
  O_RDWR,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  Stat,
} from '@mortar/libc';
import { accessAclXattr, defaultAclXattr, inheritAcl } from './acl.ts';
import type { Brick } from './brick.ts';
import { openDirectoryFlags } from './directory-cache.ts';
import { pathRecord } from './gfid2path.ts';
import { atHandle, directoryTarget, gfidXattr, handlePath, landfillFolder } from './handle.ts';
import { freeHandle, putDirectoryHandle } from './heal-handle.ts';
import { allTimes, encodeMdata, mdataXattr } from './mdata.ts';
import type { Node } from './node.ts';
import type { Parent } from './parents.ts';

const EEXIST = -17;

export interface Recipe {
  gfid: Gfid;
  /** With the type in its S_IFMT bits. */
  mode: number;
  initial: Xattrs | undefined;
  rdevMajor?: number;
  rdevMinor?: number;
  /** Of a symlink. */
  linkTarget?: string;
}

/** What a new object will be like: set on it before it gets its name. */
interface Dress {
  uid: number;
  gid: number;
  /** Permission bits; null for a symlink. */
  permissions: number | null;
  xattrs: [string, Uint8Array][];
}

function masked(brick: Brick, mode: number): number {
  const { createMask, forceCreateMode, createDirectoryMask, forceDirectoryMode } = brick.settings;
  const bits = mode & 0o7777;
  if ((mode & S_IFMT) === S_IFDIR) return (bits & (createDirectoryMask | 0o7000)) | forceDirectoryMode;
  return (bits & (createMask | 0o7000)) | forceCreateMode;
}

function dressFor(brick: Brick, call: Call, recipe: Recipe, parent: Parent | null): Dress {
  const type = recipe.mode & S_IFMT;
  const xattrs: Dress['xattrs'] = [[gfidXattr, gfidBytes(recipe.gfid)]];
  if (parent && brick.settings.gfid2path && type !== S_IFDIR) {
    const record = pathRecord(parent.node.gfid, parent.name);
    xattrs.push([record.xattr, record.value]);
  }
  if (parent && brick.settings.buildPgfid && type !== S_IFDIR)
    xattrs.push([`trusted.pgfid.${parent.node.gfid}`, Uint8Array.from([0, 0, 0, 1])]);
  if (brick.settings.ctime) xattrs.push([mdataXattr, encodeMdata(allTimes(call.time))]);
  let permissions = masked(brick, recipe.mode);
  let gid = call.gid;
  if (parent && parent.node.stat.mode & S_ISGID) {
    gid = parent.node.stat.gid;
    if (type === S_IFDIR) permissions |= S_ISGID;
  }
  const inherited = type === S_IFLNK ? null : defaultAcl(brick, parent);
  const acl = inherited && inheritAcl(inherited, permissions);
  if (acl) {
    permissions = acl.mode;
    if (acl.acl) xattrs.push([accessAclXattr, acl.acl]);
    if (type === S_IFDIR) xattrs.push([defaultAclXattr, inherited]);
  }
  for (const [name, value] of Object.entries(recipe.initial ?? {})) if (name !== gfidXattr) xattrs.push([name, value]);
  return { uid: call.uid, gid, permissions: type === S_IFLNK ? null : permissions, xattrs };
}

function defaultAcl(brick: Brick, parent: Parent | null): Uint8Array | null {
  const acl = parent && brick.sys.getxattr(parent.fd, defaultAclXattr);
  return acl instanceof Uint8Array && acl.length > 4 ? acl : null;
}

/** Owner first: chown clears set-id bits. The ACL, which is among the xattrs, last: it goes with the mode. */
function dress(brick: Brick, dirfd: number, path: string, how: Dress): number {
  const { sys } = brick;
  const flags = path === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  let result = how.uid === 0 && how.gid === 0 ? 0 : sys.fchownat(dirfd, path, how.uid, how.gid, flags);
  if (result === 0 && how.permissions !== null)
    result = path === '' ? sys.fchmod(dirfd, how.permissions) : sys.fchmodat(dirfd, path, how.permissions);
  const target = path === '' ? dirfd : `/proc/self/fd/${dirfd}/${path}`;
  for (const [name, value] of how.xattrs) {
    if (result < 0) return result;
    result = sys.setxattr(target, name, value);
  }
  return result;
}

/** 0 or the negative errno why nothing can be made here. */
export function mayMake(brick: Brick, call: Call, gfid: Gfid, parent: Parent | null): number {
  if (!isGfid(gfid) || gfid === nullGfid) return -Errno.EINVAL;
  if (parent && brick.sys.statx(parent.fd, parent.name, new Stat()) === 0) return EEXIST;
  return brick.full && !call.internal ? -Errno.ENOSPC : 0;
}

/**
 * Makes a regular file, fifo, socket, device or symlink under its handle only. For a regular file the result is its
 * open descriptor, else 0; or the negative errno, and then nothing is left.
 */
export function makeAtHandle(brick: Brick, call: Call, recipe: Recipe, parent: Parent | null): number {
  const { sys, hiddenFd } = brick;
  const path = handlePath(recipe.gfid);
  const type = recipe.mode & S_IFMT;
  // The file is there, open and without a name: it may be linked, but there are no two of one gfid.
  if (brick.open.of(recipe.gfid)?.unlinked) return EEXIST;
  const make = () => {
    if (type === S_IFREG) return sys.openat(hiddenFd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOATIME, 0o600);
    if (type === S_IFLNK) return sys.symlinkat(recipe.linkTarget ?? '', hiddenFd, path);
    return sys.mknodat(hiddenFd, path, type | 0o600, recipe.rdevMajor ?? 0, recipe.rdevMinor ?? 0);
  };
  let made = atHandle(sys, hiddenFd, recipe.gfid, make);
  if (made === EEXIST) {
    const free = freeHandle(brick, recipe.gfid);
    made = free < 0 ? free : make();
  }
  if (made < 0) return made;
  brick.times.forget(recipe.gfid);
  const how = dressFor(brick, call, recipe, parent);
  const dressed = type === S_IFREG ? dress(brick, made, '', how) : dress(brick, hiddenFd, path, how);
  if (dressed === 0) {
    knowTimes(brick, call, recipe);
    return made;
  }
  if (type === S_IFREG) sys.close(made);
  sys.unlinkat(hiddenFd, path);
  return dressed;
}

/** What the object was dressed with just now. */
function knowTimes(brick: Brick, call: Call, { gfid, initial }: Recipe): void {
  if (brick.settings.ctime && initial?.[mdataXattr] === undefined) brick.times.set(gfid, allTimes(call.time));
}

/** Gives what `makeAtHandle` made its name; if it cannot have it, removes it. */
export function linkFromHandle(brick: Brick, gfid: Gfid, parent: Parent): number {
  const { sys, hiddenFd } = brick;
  const linked = sys.linkat(hiddenFd, handlePath(gfid), parent.fd, parent.name);
  if (linked < 0) sys.unlinkat(hiddenFd, handlePath(gfid));
  else brick.verified.set(gfid, true);
  return linked;
}

/** Makes a directory: dressed in the landfill, then its handle, then its name. */
export function makeDirectory(brick: Brick, call: Call, recipe: Recipe, parent: Parent): number {
  const { sys, hiddenFd } = brick;
  const { gfid } = recipe;
  const staging = `${landfillFolder}/.new-${gfid}`;
  let result = freeHandle(brick, gfid);
  if (result < 0) return result;
  brick.times.forget(gfid);
  result = sys.mkdirat(hiddenFd, staging, 0o700);
  if (result === EEXIST) result = 0;
  if (result < 0) return result;
  result = finishDirectory(brick, call, recipe, parent, staging);
  if (result === 0) {
    brick.verified.set(gfid, true);
    knowTimes(brick, call, recipe);
    return 0;
  }
  sys.unlinkat(hiddenFd, handlePath(gfid));
  sys.unlinkat(hiddenFd, staging, AT_REMOVEDIR);
  return result;
}

function finishDirectory(brick: Brick, call: Call, recipe: Recipe, parent: Parent, staging: string): number {
  const { sys, hiddenFd } = brick;
  const fd = sys.openat(hiddenFd, staging, openDirectoryFlags);
  if (fd < 0) return fd;
  let result = dress(brick, fd, '', dressFor(brick, call, recipe, parent));
  sys.close(fd);
  if (result < 0) return result;
  result = putDirectoryHandle(brick, recipe.gfid, directoryTarget(parent.node.gfid, parent.name));
  if (result < 0) return result;
  return sys.renameat2(hiddenFd, staging, parent.fd, parent.name, RENAME_NOREPLACE);
}

/**
 * mknod and symlink for a gfid that the brick has already: one more name of it (a linkto for another name of a file,
 * heal of a hard link). EEXIST if the object is of another type.
 */
export function sameObject(existing: Node | number, recipe: Recipe): existing is Node {
  return typeof existing !== 'number' && (existing.stat.mode & S_IFMT) === (recipe.mode & S_IFMT);
}
