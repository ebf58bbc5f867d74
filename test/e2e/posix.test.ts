/**
 * The POSIX suite against mounts by real processes (posix-distribute and posix-replica have the rest); the bare file system is the control: what fails there is wrong
 * about the case. MORTAR_POSIX_DIRECTORY adds a directory of one's own.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { posixSuite, posixSuiteOnVolume } from '../support/posix.ts';
import { canMount, ensureBuilt, Sandbox } from '../support/sandbox.ts';

describe.skipIf(process.getuid?.() !== 0)('on the bare file system', () => {
  let directory = '';
  beforeAll(() => {
    directory = process.env.MORTAR_POSIX_DIRECTORY ?? mkdtempSync(join(tmpdir(), 'mortar-posix-'));
  });
  afterAll(() => {
    if (process.env.MORTAR_POSIX_DIRECTORY === undefined) rmSync(directory, { recursive: true });
  });
  posixSuite(() => directory);
});

describe.skipIf(!canMount)('on a mounted memory volume', () => {
  let box: Sandbox;
  let mnt = '';
  beforeAll(() => {
    ensureBuilt();
    box = new Sandbox();
    mnt = box.mountPoint();
    const volfile = box.file('m.vol', 'volume m\n type storage/memory\n option unused 1\nend-volume\n');
    // As on volumes: the cases change their groups all the time.
    box.daemon('glusterfs', 'm.pid', '-f', volfile, '--gid-timeout=0', mnt);
  }, 120_000);
  afterAll(() => box.end());
  posixSuite(() => mnt);
});

posixSuiteOnVolume([], 1);
