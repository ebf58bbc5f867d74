/** What a program is told of writes that were answered before the bricks had them. */
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type MountedVolume, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

/** The errno's name of what it throws; '' if it throws nothing. */
function errorOf(work: () => unknown): string {
  try {
    work();
    return '';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

describe.skipIf(!canMount)('a brick that takes no writes', () => {
  const cluster = startCluster();
  let mounted: MountedVolume;

  beforeAll(async () => {
    await cluster.create('w', [], 1);
    const failing = { 'debug.error-fops': 'writev', 'debug.error-failure': '100%', 'debug.error-number': 'ENOSPC' };
    await cluster.must('volume', 'set', 'w', 'performance.write-behind-ahead', 'on');
    for (const [key, value] of Object.entries({ ...failing, 'debug.error-gen': 'posix' }))
      await cluster.must('volume', 'set', 'w', key, value);
    await cluster.must('volume', 'start', 'w');
    mounted = await cluster.mount('w');
  }, 120_000);

  const opened: number[] = [];
  const open = (name: string, flags: string | number) => {
    const fd = openSync(at(name), flags);
    opened.push(fd);
    return fd;
  };
  // Whatever a test ends with, the mount can go.
  afterEach(() => {
    for (const fd of opened.splice(0)) errorOf(() => closeSync(fd));
  });

  const at = (name: string) => join(mounted.path, name);
  it('is told of by close, once', () => {
    const fd = open('a', 'w');
    expect(writeSync(fd, 'x')).toBe(1);
    expect(errorOf(() => closeSync(fd))).toBe('ENOSPC');
    const again = open('a', 'r');
    expect(errorOf(() => closeSync(again))).toBe('');
  });

  it('is told of by fsync, to each file that is open', () => {
    const fds = [open('b', 'w'), open('b', 'r+')];
    writeSync(fds[0]!, 'x');
    expect(fds.map((fd) => errorOf(() => fsyncSync(fd)))).toEqual(['ENOSPC', 'ENOSPC']);
    expect(fds.map((fd) => errorOf(() => fsyncSync(fd)))).toEqual(['', '']);
    expect(fstatSync(fds[0]!).size).toBe(0);
    for (const fd of fds) closeSync(fd);
  });

  it('is told of at once to who writes with O_DSYNC', () => {
    const fd = open('c', 'w');
    closeSync(fd);
    const synced = open('c', 0o1 | 0o10000);
    expect(errorOf(() => writeSync(synced, 'x'))).toBe('ENOSPC');
    closeSync(synced);
  });

  it('is in the log of the mount, with what was lost', async () => {
    await eventually('the line is there', () =>
      /1 bytes at 0 of [-0-9a-f]+ were not written after they had been taken/.test(readFileSync(mounted.log, 'utf8')),
    );
  });
});
