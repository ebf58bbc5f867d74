/** Directories that somebody made on bricks by hand: on all replica sets they become one. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { getxattr } from '@mortar/libc';
import { describe, expect, it } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

describe.skipIf(!canMount)('directories made by hand', () => {
  const cluster = startCluster();
  const names = Array.from({ length: 24 }, (_, i) => `d${i}`);

  it.each([
    { what: 'are listed', look: (place: string) => cluster.sh(`ls -l ${place} >/dev/null`) },
    {
      what: 'are looked up and listed at once',
      look: (place: string) =>
        cluster.sh(
          `ls -l ${place} >/dev/null & stat ${names.map((name) => `${place}/${name}`).join(' ')} >/dev/null; wait`,
        ),
    },
    {
      what: 'are looked up one after the other',
      look: (place: string) => cluster.sh(`stat ${names.map((name) => `${place}/${name}`).join(' ')} >/dev/null`),
    },
  ])(
    'have one gfid everywhere when they $what',
    async ({ look }) => {
      const bricks = await cluster.createAndStart('v', ['replica', '2'], 6);
      const mount = await cluster.mount('v');
      for (const { path } of bricks.slice(0, 4)) for (const name of names) mkdirSync(join(path, name));
      await look(mount.path);
      await cluster.sh(`stat ${names.map((name) => `${mount.path}/${name}`).join(' ')} >/dev/null`);
      for (const name of names) {
        const gfids = bricks.map(({ path }) => getxattr(join(path, name), 'trusted.gfid'));
        const texts = gfids.map((gfid) => (typeof gfid === 'number' ? gfid : Buffer.from(gfid).toString('hex')));
        expect([name, new Set(texts).size, typeof texts[0]]).toEqual([name, 1, 'string']);
      }
      await cluster.destroy('v', mount);
    },
    120_000,
  );
});
