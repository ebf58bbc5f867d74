/** What programs ask a mount for by getxattr, to the byte: with a NUL at the end where GlusterFS's answer has one. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Brick, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

const shapes: [name: string, shape: string[], bricks: number, copies: number][] = [
  ['one brick', [], 1, 1],
  ['distribute 3', [], 3, 1],
  ['replica 3', ['replica', '3'], 3, 3],
  ['2 x 3', ['replica', '3'], 6, 3],
];

describe.skipIf(!canMount)('a volume of', () => {
  const cluster = startCluster();

  describe.each(shapes)('%s', (_name, shape, count, copies) => {
    const volume = `x${count}${shape.join('')}`;
    const sets = count / copies;
    let bricks: readonly Brick[];
    let at: (name: string) => string;
    let node: string;

    beforeAll(async () => {
      bricks = await cluster.createAndStart(volume, shape, count);
      const { path } = await cluster.mount(volume);
      at = (name) => join(path, name);
      mkdirSync(at('d'));
      writeFileSync(at('d/f'), 'x');
      node = /^UUID=(.+)$/m.exec(readFileSync(cluster.at('lib/glusterd.info'), 'utf8'))![1]!;
    });

    const get = async (name: string, path: string) => {
      const run = await cluster.run('getfattr', ['--only-values', '--absolute-names', '-n', name, at(path)]);
      return run.exitCode === 0 ? run.stdout : run.stderr.replace(/^.*: /s, '').trim();
    };
    const times = (text: string, many: number) => Array.from({ length: many }, () => text).join(' ');

    it('tells the gfid and the path', async () => {
      expect(await get('glusterfs.gfid.string', 'd/f')).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      expect(await get('glusterfs.gfidtopath', 'd/f')).toBe('/d/f');
    });

    it('tells the machine of a file, and those of a directory on several subvolumes', async () => {
      expect(await get('trusted.glusterfs.node-uuid', 'd/f')).toBe(`${node}\0`);
      expect(await get('trusted.glusterfs.node-uuid', 'd')).toBe(`${times(node, sets)}\0`);
    });

    it('lists the machines of all replicas, and has no list without replicas', async () => {
      const name = 'trusted.glusterfs.list-node-uuids';
      const all = copies === 1 ? 'No such attribute' : `${times(node, copies)}\0`;
      expect(await get(name, 'd/f')).toBe(all);
      expect(await get(name, 'd')).toBe(copies === 1 ? all : `${times(node, count)}\0`);
    });

    it('names every brick that has a file', async () => {
      const text = await get('trusted.glusterfs.pathinfo', 'd/f');
      expect(text.endsWith(')\0')).toBe(true);
      const places = [...text.matchAll(/<POSIX\(([^)]+)\):[^:>]+:([^>]+)>/g)];
      expect(places).toHaveLength(copies);
      for (const [, brick, path] of places) {
        expect(bricks.map((each) => each.path)).toContain(brick);
        expect(path).toBe(`${brick}/d/f`);
      }
    });

    it('tells the subvolume of a name', async () => {
      const child = copies === 1 ? 'client' : 'replicate';
      expect(await get('dht.file.hashed-subvol.f', 'd')).toMatch(new RegExp(`^${volume}-${child}-\\d\0$`));
    });
  });
});
