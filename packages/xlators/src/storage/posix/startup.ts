/** Opening a brick: refuses a directory that is not this volume's, makes `.glusterfs` and repairs (docs/posix.md). */
import { type Gfid, gfidBytes, gfidFromBytes, isGfid, rootGfid, type Timespec } from '@mortar/core';
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, Stat } from '@mortar/libc';
import { Brick, type BrickSettings, type LogLine, type Sys } from './brick.ts';
import { gfidXattr, handlePath, hiddenName, landfillFolder, readGfid, unlinkFolder } from './handle.ts';
import { emptyUnlinked } from './landfill.ts';
import { allTimes, encodeMdata, mdataXattr } from './mdata.ts';

export const volumeIdXattr = 'trusted.glusterfs.volume-id';
const testXattr = 'trusted.glusterfs.test';
const EEXIST = -17;

/** Why a brick cannot be served; for the administrator. */
export class BrickError extends Error {
  readonly code = 'EBRICK';
}

export interface StartOptions {
  settings: BrickSettings;
  /** Text of a UUID; null for a volfile written by hand. */
  volumeId: string | null;
  /** Owner that the root gets; -1 leaves it. */
  uid: number;
  gid: number;
  time: Timespec;
}

/** All of ondisk format, section 1.2. */
const folders: readonly [string, number][] = [
  ['indices', 0o600],
  ['indices/xattrop', 0o600],
  ['indices/dirty', 0o600],
  ['indices/entry-changes', 0o600],
  [landfillFolder, 0o755],
  [unlinkFolder, 0o600],
  ['changelogs', 0o600],
  ['changelogs/htime', 0o600],
  ['changelogs/csnap', 0o600],
];

/** Throws BrickError; then nothing is open. */
export function openBrick(sys: Sys, options: StartOptions, log: LogLine): Brick {
  const { directory } = options.settings;
  if (directory === '') throw new BrickError('Export directory not specified in volfile.');
  const path = Buffer.from(directory).toString('latin1');
  const rootFd = sys.openat(-100, path, O_RDONLY | O_DIRECTORY);
  if (rootFd === -2) throw new BrickError(`Directory '${directory}' doesn't exist, exiting.`);
  if (rootFd === -20) throw new BrickError(`'${directory}' is not a directory, exiting.`);
  if (rootFd < 0) throw new BrickError(`Directory '${directory}' cannot be opened: errno ${-rootFd}`);
  let hiddenFd = -1;
  try {
    checkXattrs(sys, rootFd, directory);
    checkVolumeId(sys, rootFd, options);
    checkRootGfid(sys, rootFd, directory, options);
    hiddenFd = makeTree(sys, rootFd, directory);
    const brick = new Brick(sys, options.settings, log, rootFd, hiddenFd);
    emptyUnlinked(brick);
    return brick;
  } catch (error) {
    if (hiddenFd >= 0) sys.close(hiddenFd);
    sys.close(rootFd);
    throw error;
  }
}

function must(result: number, what: string): number {
  if (result < 0) throw new BrickError(`${what}: errno ${-result}`);
  return result;
}

function checkXattrs(sys: Sys, rootFd: number, directory: string): void {
  const result = sys.setxattr(rootFd, testXattr, Buffer.from('working'));
  if (result === -95) throw new BrickError(`Extended attribute not supported on ${directory}, exiting.`);
  must(result, `cannot set extended attributes on ${directory} (is this process root, the disk writable?)`);
  sys.removexattr(rootFd, testXattr);
}

function checkVolumeId(sys: Sys, rootFd: number, { volumeId, settings }: StartOptions): void {
  if (volumeId === null) return;
  if (!isGfid(volumeId.toLowerCase())) throw new BrickError(`wrong volume-id (${volumeId}) set in volfile`);
  const found = sys.getxattr(rootFd, volumeIdXattr);
  if (typeof found === 'number')
    throw new BrickError(`Extended attribute ${volumeIdXattr} is absent on ${settings.directory}`);
  const id = found.length === 16 ? gfidFromBytes(found) : 'of a wrong length';
  if (id !== volumeId.toLowerCase())
    throw new BrickError(
      `mismatching volume-id (${volumeId}) received. ${settings.directory} already is a part of volume ${id}`,
    );
}

function checkRootGfid(sys: Sys, rootFd: number, directory: string, options: StartOptions): void {
  const { settings, time } = options;
  const found = readGfid(sys, rootFd);
  if (typeof found === 'number') must(found as number, `cannot read the gfid of ${directory}`);
  if (found !== null && (found as Gfid) !== rootGfid)
    throw new BrickError(`${directory} has the gfid ${found}: it is a directory inside of another brick`);
  if (found === null) must(sys.setxattr(rootFd, gfidXattr, gfidBytes(rootGfid)), `cannot set the gfid of ${directory}`);
  setRootOwner(sys, rootFd, options);
  if (settings.ctime && sys.getxattrInto(rootFd, mdataXattr, new Uint8Array(0)) === -61) {
    const stat = new Stat();
    sys.fstat(rootFd, stat);
    const times = found === null ? allTimes(time) : stat;
    must(sys.setxattr(rootFd, mdataXattr, encodeMdata(times)), `cannot set the times of ${directory}`);
  }
}

/** Throws BrickError. */
export function setRootOwner(
  sys: Sys,
  rootFd: number,
  { uid, gid, settings }: Pick<StartOptions, 'uid' | 'gid' | 'settings'>,
): void {
  if (uid >= 0 || gid >= 0) must(sys.fchown(rootFd, uid, gid), `cannot set the owner of ${settings.directory}`);
}

function makeTree(sys: Sys, rootFd: number, directory: string): number {
  const make = (dirfd: number, path: string, mode: number) => {
    const made = sys.mkdirat(dirfd, path, mode);
    if (made !== EEXIST) must(made, `cannot make ${directory}/${hiddenName}/${path}`);
  };
  make(rootFd, hiddenName, 0o600);
  const hiddenFd = must(
    sys.openat(rootFd, hiddenName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
    `cannot open ${directory}/${hiddenName}`,
  );
  try {
    if (sys.statx(hiddenFd, 'ff', new Stat()) < 0)
      for (let i = 0; i < 256; i++) make(hiddenFd, i.toString(16).padStart(2, '0'), 0o700);
    for (const [path, mode] of folders) make(hiddenFd, path, mode);
    for (const path of ['00', '00/00']) make(hiddenFd, path, 0o700);
    const root = sys.symlinkat('../../..', hiddenFd, handlePath(rootGfid));
    if (root !== EEXIST) must(root, `cannot make the handle of ${directory}`);
  } catch (error) {
    sys.close(hiddenFd);
    throw error;
  }
  return hiddenFd;
}
