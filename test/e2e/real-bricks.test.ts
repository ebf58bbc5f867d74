/** Bricks that GlusterFS wrote become our volumes: what its own mounts showed is what ours show, before healing and after. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { manifest } from '../support/manifest.ts';
import { type RealVolume, realVolume, restoreBricks, type Seen, seen } from '../support/real-bricks.ts';
import { canMount } from '../support/sandbox.ts';

const names = ['distribute3', 'replica3-clean', 'replica3-pending', 'arbiter', 'dist-replica2x3'];

describe.skipIf(!canMount)('bricks of GlusterFS 10.3', () => {
  const cluster = startCluster();

  async function adopt(name: string, real: RealVolume): Promise<readonly string[]> {
    const directory = cluster.at(`bricks/${name}`);
    await restoreBricks(cluster, name, directory);
    const paths = real.bricks.map((brick) => join(directory, brick));
    const shape = real.type.split(' ').filter((word) => word !== '');
    const bricks = paths.map((path) => `${cluster.address}:${path}`);
    await cluster.must('volume', 'create', real.volume, ...shape, ...bricks, 'force');
    for (const [option, value] of Object.entries(real.options))
      await cluster.must('volume', 'set', real.volume, option, value);
    return paths;
  }

  it.each(names)(
    '%s: everything is seen as it was, and stays so when it is healed',
    { timeout: 240_000 },
    async (name) => {
      const real = realVolume(name);
      const paths = await adopt(name, real);
      try {
        await (real.type === '' ? look(real) : lookAndHeal(real, paths));
      } finally {
        await cluster.gluster('volume', 'stop', real.volume, 'force');
        await cluster.must('volume', 'delete', real.volume);
      }
    },
  );

  async function look(real: RealVolume, heal: () => Promise<void> = async () => {}): Promise<void> {
    const lost = new Set(Object.values(real.splitBrain ?? {}));
    const wanted = Object.fromEntries(Object.entries(real.tree).filter(([path]) => !lost.has(path)));
    await cluster.must('volume', 'start', real.volume);
    const mount = await cluster.mount(real.volume);
    try {
      for (const path of lost) expect(() => readFileSync(join(mount.path, path)), path).toThrow('EIO');
      // A replica that missed a rename has both names until it is healed.
      expect(uncounted(await seen(cluster, mount.path, lost))).toEqual(uncounted(wanted));
      await heal();
      expect(await seen(cluster, mount.path, lost)).toEqual(wanted);
    } finally {
      await cluster.unmount(mount);
    }
  }

  async function lookAndHeal(real: RealVolume, paths: readonly string[]): Promise<void> {
    const { volume, splitBrain = {} } = real;
    const lost = Object.values(splitBrain);
    await cluster.must('volume', 'set', volume, 'cluster.self-heal-daemon', 'off');
    await look(real, async () => {
      await cluster.must('volume', 'set', volume, 'cluster.self-heal-daemon', 'on');
      // What nobody can decide stays, and so does the directory that it is in.
      const most = lost.length === 0 ? 0 : lost.length + 1;
      expect(Math.max(...(await entriesToHeal(volume, most)))).toBeLessThanOrEqual(most);
      await alike(real, paths, lost);
    });
  }

  /** By brick, once there are no more than `most`, or a minute has passed. */
  async function entriesToHeal(volume: string, most: number): Promise<number[]> {
    for (let left = 60; ; left--) {
      await cluster.gluster('volume', 'heal', volume);
      const info = await cluster.must('volume', 'heal', volume, 'info');
      const counts = [...info.matchAll(/^Number of entries: (\d+)$/gm)].map(([, count]) => Number(count));
      if (left === 0 || counts.every((count) => count <= most)) return counts;
      await setTimeout(1000);
    }
  }

  /** Every set's bricks hold the same; an arbiter no data. */
  async function alike({ type }: RealVolume, paths: readonly string[], lost: readonly string[]): Promise<void> {
    const isArbiter = type.includes('arbiter');
    const except = new RegExp(`^(${lost.map((path) => path.slice(1).replace(/[.+]/g, '\\$&')).join('|')})$`);
    const set = paths.slice(0, 3);
    for (let at = 0; at < paths.length; at += set.length) {
      const [first, ...others] = await Promise.all(
        paths
          .slice(at, at + set.length)
          .map((path) =>
            manifest(cluster, path, { attributes: true, data: !isArbiter, ...(lost.length > 0 && { except }) }),
          ),
      );
      for (const other of others) expect(other).toEqual(first);
    }
  }
});

function uncounted(tree: Readonly<Record<string, Seen>>): Record<string, Seen> {
  return Object.fromEntries(Object.entries(tree).map(([path, { nlink: _links, ...one }]) => [path, one]));
}
