/**
 * For tests: system calls over a model of the kernel's caches. Whatever has not been reached since `chill` is cold: the
 * names on the way of a path, inodes, blocks of attributes, texts of symlinks, contents of directories. An inline call that meets
 * something cold would have waited for the disk on the event loop: it is noted, and the thing is warm from then on.
 */
import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import * as libc from '@mortar/libc';
import type { Sys } from './brick.ts';

export interface ColdSys {
  sys: Sys;
  /** Forgets everything. What is open keeps its inode. */
  chill(): void;
  /** What inline calls waited for since `chill`. */
  readonly waits: string[];
  /** Runs while a thread of the pool is at work. */
  during: () => void;
}

const xattrCalls = ['getxattr', 'getxattrInto', 'setxattr', 'removexattr', 'listxattr'] as const;

export function coldSys(): ColdSys {
  let warm = new Set<string>();
  const waits: string[] = [];
  const meet = (what: string, pool: boolean) => {
    if (warm.has(what)) return;
    warm.add(what);
    if (!pool) waits.push(what);
  };

  /** Walks a path as the kernel does: each name and each inode, symlinks followed but the last. */
  const walk = (path: string, pool: boolean): string => {
    const magic = /^\/proc\/self\/fd\/(\d+)(\/|$)/.exec(path);
    // An open file is in memory; what it is, not under which name.
    let at = magic ? readlinkSync(`/proc/self/fd/${magic[1]}`) : '/';
    const names = (magic ? path.slice(magic[0].length) : path).split('/').filter((name) => name !== '' && name !== '.');
    names.forEach((name, i) => {
      const inner = i < names.length - 1;
      at = step(at, name, inner, pool);
    });
    return at;
  };

  const step = (at: string, name: string, follow: boolean, pool: boolean): string => {
    if (name === '..') return dirname(at);
    const path = `${at}/${name}`;
    meet(`name ${path}`, pool);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return path;
    meet(`inode ${stat.ino}`, pool);
    if (!follow || !stat.isSymbolicLink()) return path;
    meet(`text ${stat.ino}`, pool);
    let target = at;
    for (const part of readlinkSync(path).split('/')) target = step(target, part, true, pool);
    return realpathSync(target);
  };

  const pathOf = (dirfd: number, path: string) => (path.startsWith('/') ? path : `/proc/self/fd/${dirfd}/${path}`);
  const attributes = (target: number | string, pool: boolean) => {
    const path = typeof target === 'number' ? readlinkSync(`/proc/self/fd/${target}`) : walk(target, pool);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat) meet(`attributes ${stat.ino}`, pool);
  };
  const contents = (path: string, pool: boolean) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) meet(`contents ${stat.ino}`, pool);
  };

  const made = { sys: { ...libc } as { -readonly [K in keyof Sys]: unknown }, during: () => {} };
  const inline = (name: keyof Sys, before: (...args: never[]) => void, born?: (...args: never[]) => void) => {
    const real = made.sys[name] as (...args: unknown[]) => unknown;
    made.sys[name] = (...args: unknown[]) => {
      before(...(args as never[]));
      const result = real(...args);
      born?.(...(args as never[]));
      return result;
    };
  };
  for (const name of xattrCalls) inline(name, (target: number | string) => attributes(target, false));
  const reach = (dirfd: number, path: string) => void (path !== '' && walk(pathOf(dirfd, path), false));
  /** What was made just now is in memory. */
  const born = (dirfd: number, path: string) => {
    const stat = lstatSync(pathOf(dirfd, path), { throwIfNoEntry: false });
    if (stat) for (const what of ['inode', 'attributes', 'text', 'contents']) warm.add(`${what} ${stat.ino}`);
  };
  for (const name of ['statx', 'unlinkat', 'fchmodat', 'fchownat'] as const) inline(name, reach);
  for (const name of ['mkdirat', 'mknodat'] as const) inline(name, reach, born);
  inline('openat', reach, (dirfd: number, path: string, flags: number) => {
    if (flags & libc.O_CREAT) born(dirfd, path);
  });
  inline(
    'symlinkat',
    (_text: string, dirfd: number, path: string) => reach(dirfd, path),
    (_text: string, dirfd: number, path: string) => born(dirfd, path),
  );
  inline('unlinkat', (dirfd: number, path: string, flags = 0) => {
    const found = walk(pathOf(dirfd, path), false);
    if (flags & libc.AT_REMOVEDIR) contents(found, false);
  });
  for (const name of ['linkat', 'renameat2'] as const)
    inline(name, (dirfd: number, path: string, toDirfd: number, to: string) => {
      walk(pathOf(dirfd, path), false);
      walk(pathOf(toDirfd, to), false);
    });
  inline('readlinkat', (dirfd: number, path: string) => {
    const stat = lstatSync(walk(pathOf(dirfd, path), false), { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) meet(`text ${stat.ino}`, false);
  });
  inline('forEachDirent', (fd: number) => contents(readlinkSync(`/proc/self/fd/${fd}`), false));

  made.sys.touch = async (target: number | string) => {
    made.during();
    attributes(target, true);
  };
  made.sys.readlinkAhead = async (path: string) => {
    made.during();
    const stat = lstatSync(walk(path, true), { throwIfNoEntry: false });
    if (stat?.isSymbolicLink()) meet(`text ${stat.ino}`, true);
    return libc.readlinkAhead(path);
  };
  made.sys.readdirAhead = async (path: string) => {
    made.during();
    contents(walk(path, true), true);
  };
  return {
    sys: made.sys as Sys,
    chill: () => {
      warm = new Set();
      waits.length = 0;
    },
    waits,
    get during() {
      return made.during;
    },
    set during(run) {
      made.during = run;
    },
  };
}
