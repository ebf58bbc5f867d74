/** Real bricks that are killed, and asked to end. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { canMount, until } from '../support/sandbox.ts';

describe.skipIf(!canMount)('a brick', () => {
  const cluster = startCluster();

  it('that is killed comes back, at its port, and one that is asked to end does not', {
    timeout: 120_000,
  }, async () => {
    const [brick] = await cluster.create('v', [], 1);
    await cluster.must('volume', 'start', 'v');
    const mount = await cluster.mount('v');
    const row = async () => (await cluster.must('volume', 'status', 'v')).match(/ (\d+|N\/A) +(?:0|N\/A) +([YN]) /)!;
    const [, port] = await row();
    const killed = cluster.brickPid('v', brick!);
    await cluster.kill(killed);
    await expect.poll(async () => (await row()).slice(1, 3), { timeout: 40_000, interval: 300 }).toEqual([port, 'Y']);
    expect(cluster.brickPid('v', brick!)).not.toBe(killed);
    // By the same mount, in the end.
    expect(await until(() => written(join(mount.path, 'file')))).toBe(true);

    await cluster.kill(cluster.brickPid('v', brick!), 'SIGTERM');
    await cluster.sh('sleep 12');
    expect((await row())[2]).toBe('N');
    await cluster.must('volume', 'start', 'v', 'force');
    expect((await row())[2]).toBe('Y');
    await cluster.destroy('v', mount);
  });
});

function written(path: string): boolean {
  try {
    writeFileSync(path, 'x');
    return true;
  } catch {
    return false;
  }
}
