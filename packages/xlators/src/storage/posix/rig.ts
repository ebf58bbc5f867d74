/** For this translator's tests: bricks in temporary directories, as translators and as bare stores. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Call, parseOptions, type Services, type Subvolume } from '@mortar/core';
import * as libc from '@mortar/libc';
import { rigServices } from '../../lib/translator-rig.ts';
import type { Sys } from './brick.ts';
import { options } from './options.ts';
import { settingsOf } from './settings.ts';
import { openBrick } from './startup.ts';
import { PosixStore } from './store.ts';
import { PosixXlator } from './xlator.ts';

export function temporaryBrick(): string {
  return mkdtempSync(join(tmpdir(), 'mortar-posix-'));
}

/** As if its 256 folders had been made: they then come when they are needed, which is quicker. */
export function quickBrick(): string {
  const directory = temporaryBrick();
  mkdirSync(`${directory}/.glusterfs/ff`, { recursive: true });
  return directory;
}

export function removeBrick(directory: string): void {
  // rm(1), for trees that are deeper than PATH_MAX.
  execFileSync('rm', ['-rf', '--', directory]);
}

export interface PosixRig {
  ops: Subvolume;
  services: Services;
  xlator: PosixXlator;
  directory: string;
  close(): Promise<void>;
}

/** A started translator over a directory, which is removed with it if it was made here. */
export async function posixRig(
  texts: Record<string, string> = {},
  services: Services = rigServices(),
  sys: Sys = libc,
) {
  const own = texts.directory === undefined;
  const directory = texts.directory ?? quickBrick();
  const given = new Map(Object.entries({ reserve: '0', ...texts, directory }));
  const { values } = parseOptions(options, given);
  const xlator = new PosixXlator(
    { name: 'brick', type: 'storage/posix', options: values, texts: given, services },
    sys,
  );
  xlator.bind([], undefined);
  await xlator.init();
  const rig: PosixRig = {
    ops: xlator.ops,
    services,
    xlator,
    directory,
    close: async () => {
      await xlator.fini();
      if (own) removeBrick(directory);
    },
  };
  return rig;
}

export function openStore(directory: string, sys: Sys = libc, texts: Record<string, string> = {}): PosixStore {
  const { values } = parseOptions(options, new Map(Object.entries({ reserve: '0', ...texts, directory })));
  const start = {
    settings: settingsOf(values),
    volumeId: null,
    uid: -1,
    gid: -1,
    time: { sec: 1_700_000_000, nsec: 1 },
  };
  return new PosixStore(openBrick(sys, start, () => {}));
}

let seconds = 1_700_000_000;

/** A call by root, later than all before. */
export function rootAt(more: Partial<Call> = {}): Call {
  const time = { sec: ++seconds, nsec: 7 };
  return { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: 'test', time, ...more };
}
