/**
 * What POSIX (1003.1-2017) and Linux say of a file system, as small cases, for any directory that another process
 * serves. `runCase` runs one in an empty directory of its own. Needs root: cases act as other users.
 */
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { umask } from '@mortar/libc';
import type { Area, Case } from './case.ts';
import { data } from './data.ts';
import { directories } from './directories.ts';
import { links } from './links.ts';
import { locks } from './locks.ts';
import { mapping } from './mapping.ts';
import { names } from './names.ts';
import { opening } from './opening.ts';
import { permissions } from './permissions.ts';
import { renaming } from './rename.ts';
import { special } from './special.ts';
import { times } from './times.ts';
import { World } from './world.ts';
import { xattrs } from './xattrs.ts';

export type { Area, Case } from './case.ts';

export const areas: readonly Area[] = [
  names,
  opening,
  data,
  times,
  links,
  renaming,
  permissions,
  xattrs,
  locks,
  directories,
  mapping,
  special,
];

let cases = 0;

/** Runs a case below `directory`, whose way is searchable for everybody; throws what it found wrong. */
export async function runCase(directory: string, { run }: Case): Promise<void> {
  const path = join(directory, `case-${process.pid}-${cases++}`);
  mkdirSync(path, { mode: 0o755 });
  const before = umask(0o022);
  const world = new World(path);
  try {
    await run(world);
  } finally {
    world.clear();
    world.end();
    umask(before);
    rmdirSync(path);
  }
}
