import { readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

describe.skipIf(!canMount)('volume set', () => {
  const cluster = startCluster();

  it('gives a silent brick up after the new network.ping-timeout', async () => {
    const bricks = await cluster.createAndStart('vol', ['replica', '3'], 3);
    const mount = await cluster.mount('vol');
    await cluster.must('volume', 'set', 'vol', 'network.ping-timeout', '2');
    await eventually('the new option at the mount', () =>
      readFileSync(mount.log, 'utf8').includes('options reconfigured'),
    );
    const silent = cluster.brickPid('vol', bricks[1]!);
    process.kill(silent, 'SIGSTOP');
    try {
      await eventually('the loss of the brick', () => /vol-client-1 is down/.test(readFileSync(mount.log, 'utf8')));
      await fs.writeFile(join(mount.path, 'without'), 'without');
    } finally {
      process.kill(silent, 'SIGCONT');
    }
    await cluster.healed('vol');
    expect(readFileSync(join(bricks[1]!.path, 'without'), 'utf8')).toBe('without');
    await cluster.destroy('vol', mount);
  }, 120_000);

  it('is not needed for writers to go on without a brick that answers nothing', async () => {
    const bricks = await cluster.createAndStart('lag', ['replica', '3'], 3);
    const mount = await cluster.mount('lag');
    await fs.writeFile(join(mount.path, 'before'), 'before');
    const silent = cluster.brickPid('lag', bricks[1]!);
    process.kill(silent, 'SIGSTOP');
    try {
      await fs.appendFile(join(mount.path, 'before'), ' and after');
      await fs.writeFile(join(mount.path, 'without'), 'without');
      expect(await fs.readFile(join(mount.path, 'before'), 'utf8')).toBe('before and after');
      const log = readFileSync(mount.log, 'utf8');
      expect(log).toMatch(/lag-client-1 has not answered for 3 s/);
      expect(log).not.toMatch(/lag-client-1 is down/);
    } finally {
      process.kill(silent, 'SIGCONT');
    }
    await eventually('the brick', () => /lag-client-1 answers again/.test(readFileSync(mount.log, 'utf8')));
    await cluster.healed('lag');
    expect(readFileSync(join(bricks[1]!.path, 'before'), 'utf8')).toBe('before and after');
    expect(readFileSync(join(bricks[1]!.path, 'without'), 'utf8')).toBe('without');
    await cluster.destroy('lag', mount);
  }, 120_000);

  it('is not needed for writers to go on without another client that answers nothing', async () => {
    const bricks = await cluster.createAndStart('calm', ['replica', '3'], 3);
    const settings = ['cluster.post-op-delay-secs', '5', 'server.silent-holder-timeout', '3'];
    await cluster.must('volume', 'set', 'calm', ...settings);
    const [mount, silent] = [await cluster.mount('calm'), await cluster.mount('calm')];
    const log = join(mount.path, 'log');
    await fs.appendFile(log, 'one\n');
    await fs.appendFile(join(silent.path, 'log'), 'two\n');
    await fs.writeFile(join(silent.path, 'name'), 'from there');
    // It has the leases of the file and of the directory.
    process.kill(silent.pid, 'SIGSTOP');
    try {
      await fs.appendFile(log, 'three\n');
      await fs.writeFile(join(mount.path, 'other name'), 'from here');
    } finally {
      process.kill(silent.pid, 'SIGCONT');
    }
    for (const brick of bricks) {
      const said = readFileSync(cluster.at(`log/bricks/${brick.path.slice(1).replaceAll('/', '-')}.log`), 'utf8');
      expect(said.match(/reason: silent holder/g)).toHaveLength(2);
      expect(said).not.toMatch(/the session of client .* ends/);
    }
    await fs.appendFile(join(silent.path, 'log'), 'four\n');
    expect(await fs.readFile(log, 'utf8')).toBe('one\ntwo\nthree\nfour\n');
    await cluster.healed('calm');
    await cluster.destroy('calm', mount, silent);
  }, 120_000);
});
