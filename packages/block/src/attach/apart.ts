/**
 * Keeps this process from waiting for itself: it serves the dirty pages of others, hence must get memory without their being
 * written. It leaves the memory group of whoever started it, is the last to be killed when memory is short, and is told apart by
 * the kernel as one that flushes.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoName } from '@mortar/core';
import { setIoFlusher } from '@mortar/libc';

/** One for all of them on a machine: those who use what they serve are never in it. */
const groupName = 'mortar-rsiod';
const neverKilled = '-1000';

export interface Apart {
  /** What could not be done, and why; a line each. */
  readonly notes: readonly string[];
  /** At the end: takes the group away if nobody else is in it. */
  leave(): void;
}

export interface MemoryGroup {
  /** Directory of the hierarchy's root, as far as this process sees it. */
  readonly root: string;
  /** Below it, where this process is. */
  readonly path: string;
}

/** Where memory is accounted: a hierarchy of its own (version 1), or the common one. Pure: takes /proc/self/cgroup and mountinfo. */
export function memoryGroup(cgroups: string, mounts: string): MemoryGroup | null {
  const found = mounts
    .split('\n')
    .map((line) => line.split(' - '))
    .flatMap(([head, tail]) => {
      const [kind, , options] = (tail ?? '').split(' ');
      const root = head?.split(' ')[4];
      return root === undefined || kind === undefined ? [] : [{ root, kind, options: (options ?? '').split(',') }];
    });
  const pathOf = (isIt: (controllers: string) => boolean) =>
    cgroups
      .split('\n')
      .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
      .find((match) => match !== null && isIt(match[1]!))?.[2];
  const first = found.find(({ kind, options }) => kind === 'cgroup' && options.includes('memory'));
  const firstPath = pathOf((controllers) => controllers.split(',').includes('memory'));
  if (first && firstPath !== undefined) return { root: first.root, path: firstPath };
  const second = found.find(({ kind }) => kind === 'cgroup2');
  const secondPath = pathOf((controllers) => controllers === '');
  return second && secondPath !== undefined ? { root: second.root, path: secondPath } : null;
}

function text(path: string): string {
  return readFileSync(path, 'utf8');
}

/** Whether a service manager has given the daemon, and nobody else, a group: it is not to be left. */
export function isOwnUnit({ path }: MemoryGroup): boolean {
  return /\/rsiod[^/]*\.service$/.test(path);
}

/** Null: it is apart now; else why not. */
function enterGroup(found: MemoryGroup | null): string | null {
  if (!found) return 'no memory control groups are mounted';
  if (isOwnUnit(found)) return null;
  const own = join(found.root, groupName);
  try {
    const isCommon = existsSync(join(found.root, 'cgroup.controllers'));
    if (isCommon && !text(join(found.root, 'cgroup.subtree_control')).split(/\s/).includes('memory'))
      return `memory is not controlled below ${found.root}`;
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, 'cgroup.procs'), `${process.pid}`);
    return null;
  } catch (error) {
    return `${own}: ${(error as Error).message}`;
  }
}

export function setApart(): Apart {
  const notes: string[] = [];
  const group = memoryGroup(text('/proc/self/cgroup'), text('/proc/self/mountinfo'));
  const lack = enterGroup(group);
  if (lack !== null)
    notes.push(`it has no memory group of its own (${lack}): give it one that no user of its devices is in`);
  try {
    writeFileSync('/proc/self/oom_score_adj', neverKilled);
  } catch (error) {
    notes.push(`it may be killed when memory is short: oom_score_adj: ${(error as Error).message}`);
  }
  const flusher = setIoFlusher();
  if (flusher < 0) notes.push(`PR_SET_IO_FLUSHER is refused (${errnoName(-flusher)}): CAP_SYS_RESOURCE is needed`);
  return {
    notes,
    leave: () => {
      if (lack !== null || !group || isOwnUnit(group)) return;
      try {
        // Who was started from within it was never anywhere else.
        const before = group.path === `/${groupName}` ? '/' : group.path;
        writeFileSync(join(group.root, before, 'cgroup.procs'), `${process.pid}`);
        rmdirSync(join(group.root, groupName));
      } catch {
        // Others of this kind are in it, or where this process was is no more: both are as good.
      }
    },
  };
}
