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
});
