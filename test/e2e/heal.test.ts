import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digest, pause, startCluster } from '../support/cluster.ts';
import { manifest } from '../support/manifest.ts';
import { canMount } from '../support/sandbox.ts';

const rounds = 120;

describe.skipIf(!canMount)('a brick is killed in the middle of writing', () => {
  const cluster = startCluster();

  /** Every kind of object, and every kind of change to older ones. */
  async function work(mnt: string, round: number, expected: Map<string, string>): Promise<void> {
    const folder = `d${round % 7}`;
    let name = `${folder}/f${round}`;
    const at = () => join(mnt, name);
    await fs.mkdir(join(mnt, folder), { recursive: true });
    const data = randomBytes(round % 10 === 0 ? 300_000 : 1 + round * 37);
    await fs.writeFile(at(), data);
    if (round % 3 === 0) await fs.chmod(at(), 0o640 + (round % 8));
    if (round % 4 === 0) await fs.link(at(), `${at()}.hard`);
    if (round % 5 === 0) await fs.symlink(`../f${round}`, `${at()}.sym`);
    if (round % 6 === 0) await fs.chown(at(), round, round + 1);
    if (round % 8 === 0) {
      await fs.rename(at(), join(mnt, folder, `renamed${round}`));
      name = `${folder}/renamed${round}`;
    }
    if (round % 9 === 1) await cluster.sh(`setfattr -n user.round -v r${round} ${at()}; mkfifo ${at()}.fifo`);
    if (round % 12 === 7) await fs.utimes(at(), 1000 + round, 2000 + round);
    if (round % 11 === 5) await fs.unlink(at());
    else expected.set(name, digest(data));
    await changeOlder(mnt, `d${round % 7}/f${round - 28}`, round, expected);
  }

  /** A file from before the brick was killed changes its name or data, or is cut. */
  async function changeOlder(mnt: string, name: string, round: number, expected: Map<string, string>): Promise<void> {
    if (!expected.has(name)) return;
    if (round % 2 === 0) {
      await fs.truncate(join(mnt, name), 10);
      expected.set(name, digest(await fs.readFile(join(mnt, name))));
    } else {
      await fs.rename(join(mnt, name), join(mnt, `d${round % 5}`, `moved${round}`));
      expected.set(`d${round % 5}/moved${round}`, expected.get(name)!);
      expected.delete(name);
    }
  }

  it.each([
    ['replica 3', ['replica', '3'], 3, 1],
    ['2 x 3', ['replica', '3'], 6, 4],
    ['arbiter, of which a data brick is killed', ['replica', '2', 'arbiter', '1'], 3, 0],
    ['arbiter, which itself is killed', ['replica', '2', 'arbiter', '1'], 3, 2],
  ] as const)(
    '%s',
    async (_, shape, count, victimAt) => {
      const volume = `heal${victimAt}${count}${shape.length}`;
      const bricks = await cluster.createAndStart(volume, shape, count);
      const victim = bricks[victimAt]!;
      const mount = await cluster.mount(volume);
      const mnt = mount.path;
      const expected = new Map<string, string>();
      const stream = await fs.open(join(mnt, 'stream'), constants.O_CREAT | constants.O_RDWR);
      const streamed: Buffer[] = [];
      for (let round = 0; round < rounds; round++) {
        if (round === rounds / 3) await cluster.killBrick(volume, victim);
        await work(mnt, round, expected);
        streamed.push(randomBytes(3000));
        await stream.write(streamed.at(-1)!);
      }
      await stream.sync();
      await fs.rm(join(mnt, 'd3'), { recursive: true });
      for (const name of [...expected.keys()]) if (name.startsWith('d3/')) expected.delete(name);
      expected.set('stream', digest(Buffer.concat(streamed)));

      await cluster.must('volume', 'start', volume, 'force');
      await cluster.healed(volume);
      await stream.close();

      for (const [name, sum] of expected) expect(digest(await fs.readFile(join(mnt, name))), name).toBe(sum);
      const fresh = await cluster.mount(volume);
      const seen = await manifest(cluster, fresh.path);
      expect(seen).toEqual(await manifest(cluster, mnt));
      await cluster.unmount(fresh);
      await cluster.unmount(mount);
      const arbiters = shape.length === 4;
      for (let set = 0; set < count; set += 3) {
        const isArbiter = (at: number) => arbiters && at === 2;
        const [first, ...others] = await Promise.all(
          [0, 1, 2].map((at) => manifest(cluster, bricks[set + at]!.path, { attributes: true, data: !isArbiter(at) })),
        );
        for (const [at, other] of others.entries()) {
          if (!isArbiter(at + 1)) expect(other).toEqual(first);
          else expect(other).toEqual(await manifest(cluster, bricks[set]!.path, { attributes: true, data: false }));
        }
        if (count === 3 && !arbiters) expect(await manifest(cluster, bricks[0]!.path)).toEqual(seen);
      }
      expect(await blame(bricks.map(({ path }) => path))).toEqual([]);
      await cluster.destroy(volume);
    },
    120_000,
  );

  /** Changelogs that are not zero. */
  async function blame(paths: readonly string[]): Promise<string[]> {
    const { stdout } = await cluster.run('getfattr', ['-h', '-R', '-d', '-e', 'hex', '-m', '^trusted\\.afr', ...paths]);
    return stdout
      .split('\n\n')
      .filter((block) => /^trusted\.afr[^=]*=0x0*[1-9a-f]/m.test(block))
      .filter((block) => !block.includes('/.glusterfs/'));
  }

  it('is found by the heal commands as soon as it is started again, however long it was away', async () => {
    const volume = 'back';
    const bricks = await cluster.createAndStart(volume, ['replica', '3'], 3);
    for (const brick of bricks.slice(0, 2)) await cluster.killBrick(volume, brick);
    const info = () => cluster.must('volume', 'heal', volume, 'info');
    expect((await info()).match(/^Status: .*$/gm)).toHaveLength(3);
    expect((await cluster.gluster('volume', 'heal', volume)).exitCode).not.toBe(0);
    // By now the heal daemon tries every few seconds only.
    await pause(6000);
    await cluster.must('volume', 'start', volume, 'force');
    await cluster.must('volume', 'heal', volume);
    expect((await info()).match(/^Status: .*$/gm)).toEqual(Array(3).fill('Status: Connected'));
    await cluster.destroy(volume);
  });
});
