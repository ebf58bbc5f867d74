/** Locks that a program holds while bricks and graphs come and go beneath it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { byteString, Errno } from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, hasProgram, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

describe.skipIf(!canMount)('a lock that is held', () => {
  const cluster = startCluster();
  const open = new Set<number>();
  const children: ChildProcess[] = [];
  afterEach(async () => {
    for (const fd of open) libc.close(fd);
    open.clear();
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      process.kill(-child.pid!, 'SIGKILL');
      await once(child, 'exit');
    }
  });

  function opened(mount: MountedVolume, name: string): number {
    const fd = libc.open(byteString(join(mount.path, name)), libc.O_RDWR | libc.O_CREAT, 0o644);
    expect(fd).toBeGreaterThanOrEqual(0);
    open.add(fd);
    return fd;
  }

  function closed(fd: number): void {
    open.delete(fd);
    libc.close(fd);
  }

  const tryLock = (fd: number) => libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB);
  const unlock = (fd: number) => libc.flock(fd, libc.LOCK_UN);

  it.runIf(hasProgram('flock'))(
    'stays its holder’s when the graph is replaced while another client waits for it',
    async () => {
      const volume = 'handed';
      await cluster.createAndStart(volume, ['replica', '3'], 3);
      const [one, two] = [await cluster.mount(volume), await cluster.mount(volume)];
      const fd = opened(one, 'f');
      expect(tryLock(fd)).toBe(0);
      const words = [join(two.path, 'f'), '-c', 'echo held; sleep 1000'];
      const child = spawn('flock', words, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
      children.push(child);
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await pause(500);
      await cluster.must('volume', 'set', volume, 'performance.io-cache', 'off');
      await cluster.must('volume', 'set', volume, 'performance.md-cache-timeout', '2');
      await cluster.must('volume', 'set', volume, 'performance.quick-read', 'off');
      await pause(7000);
      expect(said).toBe('');
      expect(unlock(fd)).toBe(0);
      await eventually('the lock', () => said.includes('held'));
      closed(fd);
      process.kill(-child.pid!, 'SIGKILL');
      await once(child, 'exit');
      await cluster.destroy(volume, one, two);
    },
  );

  it('stays its holder’s when one replica after the other is killed and started again', async () => {
    const volume = 'rolling';
    const bricks = await cluster.createAndStart(volume, ['replica', '3'], 3);
    const [one, two] = [await cluster.mount(volume), await cluster.mount(volume)];
    const mine = opened(one, 'f');
    const theirs = opened(two, 'f');
    expect(tryLock(mine)).toBe(0);
    const got: number[] = [];
    for (const [i, brick] of bricks.entries()) {
      await cluster.killBrick(volume, brick);
      for (let k = 0; k < 10; k++, await pause(100)) if (tryLock(theirs) === 0) got.push(i);
      await cluster.must('volume', 'start', volume, 'force');
      for (let k = 0; k < 40; k++, await pause(100)) if (tryLock(theirs) === 0) got.push(i);
    }
    expect(got).toEqual([]);
    expect(unlock(mine)).toBe(0);
    await eventually('the lock', () => tryLock(theirs) === 0);
    closed(mine);
    closed(theirs);
    await cluster.destroy(volume, one, two);
  });

  it('and given back while the brick does not answer is free when it does again', async () => {
    const volume = 'stopped';
    await cluster.createAndStart(volume, [], 2);
    await cluster.must('volume', 'set', volume, 'network.ping-timeout', '3');
    const [one, two] = [await cluster.mount(volume), await cluster.mount(volume)];
    const mine = opened(one, 'f');
    expect(tryLock(mine)).toBe(0);
    const pids = cluster.brickPids(volume);
    const code = (error: NodeJS.ErrnoException) => error.code;
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      await eventually(
        'ENOTCONN',
        async () => (await fs.stat(join(one.path, 'none')).catch(code)) === 'ENOTCONN',
        20_000,
      );
      unlock(mine);
      closed(mine);
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    await eventually('life', async () => (await fs.stat(join(two.path, 'f')).then(() => 'ok', code)) === 'ok', 20_000);
    const theirs = opened(two, 'f');
    await eventually('the lock', () => tryLock(theirs) !== -Errno.EAGAIN);
    expect(tryLock(theirs)).toBe(0);
    closed(theirs);
    await cluster.destroy(volume, one, two);
  });
});
