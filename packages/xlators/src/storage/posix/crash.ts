/** For the crash test: system calls that stop before the n-th change, and what clients and the format see afterwards. */
import { type Call, Errno, type Gfid, gfidFromBytes, type Iatt, locAt, locOf, rootGfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import type { Sys } from './brick.ts';
import { pathRecord } from './gfid2path.ts';
import { directoryTarget, handlePath } from './handle.ts';
import { readdir } from './readdir.ts';
import type { PosixStore } from './store.ts';

export class Crash extends Error {}

const changing = [
  'mkdirat',
  'mknodat',
  'symlinkat',
  'linkat',
  'unlinkat',
  'renameat2',
  'ftruncate',
  'pwrite',
  'fallocate',
  'copyFileRange',
  'setxattr',
  'removexattr',
  'fchmod',
  'fchmodat',
  'fchown',
  'fchownat',
  'futimens',
  'utimensat',
] as const satisfies readonly (keyof Sys)[];

export interface CrashingSys {
  sys: Sys;
  /** Lets this many changes pass, then crashes for good. */
  arm(passes: number): void;
  /** Changes since `arm`. */
  count(): number;
}

export function crashingSys(): CrashingSys {
  let left = Number.POSITIVE_INFINITY;
  let count = 0;
  const step = () => {
    if (count >= left) throw new Crash(`before change ${count}`);
    count++;
  };
  const sys: { -readonly [K in keyof Sys]: unknown } = { ...libc };
  for (const name of changing) {
    const real = sys[name] as (...args: unknown[]) => number;
    sys[name] = (...args: unknown[]) => {
      step();
      return real(...args);
    };
  }
  sys.openat = (dirfd: number, path: string, flags: number, mode?: number) => {
    if (flags & (libc.O_CREAT | libc.O_TRUNC)) step();
    return libc.openat(dirfd, path, flags, mode);
  };
  return {
    sys: sys as unknown as Sys,
    arm: (passes) => {
      left = passes;
      count = 0;
    },
    count: () => count,
  };
}

const call: Call = {
  uid: 0,
  gid: 0,
  groups: [],
  pid: 0,
  lockOwner: '',
  clientId: '',
  time: { sec: 1, nsec: 0 },
};

/** What a client sees, as a map from path to a line; without times. Every name is looked up, which repairs. */
export function view(store: PosixStore, gfid: Gfid = rootGfid, path = ''): Map<string, string> {
  const seen = new Map<string, string>();
  const opened = store.opendir(locOf(gfid));
  if (!opened.ok) throw new Error(`opendir ${path}: ${opened.errno}`);
  const listing = readdir(store.brick, opened.file, 1 << 20, 0, null);
  store.close(opened.file);
  if (typeof listing === 'number') throw new Error(`readdir ${path}: ${listing}`);
  for (const { name } of listing.entries) {
    if (name === '.' || name === '..') continue;
    const found = store.lookup(call, { loc: locAt(gfid, name), want: ['user.*'] });
    if (!found.ok) throw new Error(`lookup ${path}/${name}: ${found.errno}`);
    const again = store.stat(locOf(found.iatt.gfid));
    if (!again.ok) throw new Error(`stat of ${path}/${name} by gfid: ${again.errno}`);
    seen.set(`${path}/${name}`, `${line(found.iatt)} ${JSON.stringify(found.xattrs)} ${contents(store, found.iatt)}`);
    if (found.iatt.type === 4) for (const [p, l] of view(store, found.iatt.gfid, `${path}/${name}`)) seen.set(p, l);
  }
  return seen;
}

function line({ gfid, type, mode, nlink, uid, gid, size, rdevMajor, rdevMinor }: Iatt): string {
  const sizes = type === 4 ? '' : size;
  return [gfid, type, mode.toString(8), nlink, uid, gid, sizes, rdevMajor, rdevMinor].join(' ');
}

function contents(store: PosixStore, iatt: Iatt): string {
  if (iatt.type === 10) {
    const link = store.readlink({ loc: locOf(iatt.gfid) });
    return link.ok ? link.target : `readlink ${link.errno}`;
  }
  if (iatt.type !== 8) return '';
  const opened = store.anonymous(iatt.gfid);
  if (!opened.ok) throw new Error(`open: ${opened.errno}`);
  const bytes = new Uint8Array(64);
  return Buffer.from(bytes.subarray(0, libc.pread(opened.file.osFd, bytes, 0, 64, 0))).toString('latin1');
}

/** Breaches of the on-disk format, as a person would write them down; and handles without a name. */
export function check(directory: string): { wrong: string[]; garbage: string[] } {
  const wrong: string[] = [];
  const names = new Map<number, number>();
  const root = libc.open(directory, libc.O_RDONLY | libc.O_DIRECTORY);
  const hidden = libc.openat(root, '.glusterfs', libc.O_RDONLY | libc.O_DIRECTORY);
  const stat = new libc.Stat();
  const walk = (fd: number, gfid: Gfid, path: string) => {
    const entries: string[] = [];
    libc.forEachDirent(fd, (name) => entries.push(name));
    for (const name of entries) {
      if (path === '' && name === '.glusterfs') continue;
      const at = `/proc/self/fd/${fd}/${name}`;
      const bytes = libc.getxattr(at, 'trusted.gfid');
      if (typeof bytes === 'number') {
        wrong.push(`${path}/${name} has no gfid`);
        continue;
      }
      const own = gfidFromBytes(bytes);
      libc.statx(fd, name, stat);
      const { ino } = stat;
      if (stat.type === 4) {
        if (libc.readlinkat(hidden, handlePath(own)) !== directoryTarget(gfid, name))
          wrong.push(`handle of ${path}/${name}`);
        const below = libc.openat(fd, name, libc.O_RDONLY | libc.O_DIRECTORY);
        walk(below, own, `${path}/${name}`);
        libc.close(below);
        continue;
      }
      names.set(ino, (names.get(ino) ?? 0) + 1);
      if (libc.statx(hidden, handlePath(own), stat) !== 0 || stat.ino !== ino) wrong.push(`handle of ${path}/${name}`);
      if (typeof libc.getxattr(at, pathRecord(gfid, name).xattr) === 'number') wrong.push(`record of ${path}/${name}`);
    }
  };
  walk(root, rootGfid, '');
  const garbage = handlesWithoutName(hidden, names, wrong);
  libc.close(hidden);
  libc.close(root);
  return { wrong, garbage };
}

function handlesWithoutName(hidden: number, names: Map<number, number>, wrong: string[]): string[] {
  const garbage: string[] = [];
  const stat = new libc.Stat();
  const below = (path: string, depth: number) => {
    const fd = libc.openat(hidden, path, libc.O_RDONLY | libc.O_DIRECTORY);
    if (fd < 0) return;
    const entries: string[] = [];
    libc.forEachDirent(fd, (name) => entries.push(name));
    libc.close(fd);
    for (const name of entries) {
      if (depth < 2) below(`${path}/${name}`, depth + 1);
      else if (libc.statx(hidden, `${path}/${name}`, stat) === 0) {
        const target = `/proc/self/fd/${hidden}/${path}/${name}`;
        const link = stat.type === 10 && libc.getxattr(target, 'trusted.gfid') === -Errno.ENODATA;
        if (link) {
          if (libc.statx(hidden, `${path}/${name}/.`, stat, 0) !== 0) garbage.push(name);
        } else if (stat.nlink === 1) garbage.push(name);
        else if (stat.nlink !== (names.get(stat.ino) ?? 0) + 1) wrong.push(`links of ${name}`);
      }
    }
  };
  for (let i = 0; i < 256; i++) below(i.toString(16).padStart(2, '0'), 1);
  return garbage;
}
