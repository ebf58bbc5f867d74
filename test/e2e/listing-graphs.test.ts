/**
 * Directories that are read piece by piece while bricks come, files move, bricks go and options change: whoever has one open goes on in
 * graphs that he did not begin in. More rounds: MORTAR_LISTING_ROUNDS.
 */
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, pause, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

const rounds = Number(process.env.MORTAR_LISTING_ROUNDS ?? 1);
const volume = 'read';
const long = 'x'.repeat(180);
const fileNames = Array.from({ length: 500 }, (_, i) => `${long}${i}`);
const directoryNames = Array.from({ length: 40 }, (_, i) => `${'y'.repeat(180)}${i}`);

describe.skipIf(!canMount)('a directory that is being read', () => {
  const cluster = startCluster();

  /** Once through, with so long a rest after every piece that the kernel asks for. */
  async function read(path: string, restMs: number): Promise<string[]> {
    const directory = await fs.opendir(path, { bufferSize: 16 });
    const names: string[] = [];
    for await (const { name } of directory) {
      names.push(name);
      if (names.length % 60 === 0) await pause(restMs);
    }
    return names;
  }

  function expectAll(names: readonly string[], all: readonly string[]): void {
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
    expect(all.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.length).toBe(all.length);
  }

  it(
    'shows every name once, in whatever graph it is read to its end',
    async () => {
      const bricks = await cluster.createAndStart(volume, [], 3);
      const mounts = [await cluster.mount(volume), await cluster.mount(volume)];
      const [a, b] = mounts as [(typeof mounts)[0], (typeof mounts)[0]];
      const all = [...fileNames, ...directoryNames];
      for (const name of directoryNames) await fs.mkdir(join(a.path, name));
      for (const name of fileNames) await fs.writeFile(join(a.path, name), 'x');
      let over = false;
      let failure: unknown;
      let listings = 0;
      const reader = async (path: string, restMs: number) => {
        while (!over) {
          expectAll(await read(path, restMs), all);
          listings++;
        }
      };
      const found = async () => {
        while (!over) {
          const said = await cluster.sh(`ls -lR . | grep -c '^[-d]'; find . -mindepth 1 | wc -l`, b.path);
          expect(said).toBe(`${all.length}\n${all.length}\n`);
        }
      };
      const work = [...[0, 20, 200, 700].map((restMs, i) => reader(mounts[i % 2]!.path, restMs)), found()];
      for (const one of work)
        one.catch((error: unknown) => {
          failure ??= error;
          over = true;
        });
      const ended = (...words: string[]) =>
        eventually(
          `the end of ${words.join(' ')}`,
          async () => / completed /.test(await cluster.must('volume', ...words, 'status')),
          120_000,
        );
      for (let round = 0; round < rounds && !failure; round++) {
        const added = cluster.brick(`${volume}-more-${round}`);
        await cluster.must('volume', 'add-brick', volume, added.name, 'force');
        await pause(1000);
        await cluster.must('volume', 'rebalance', volume, 'start', 'force');
        await ended('rebalance', volume);
        await cluster.must('volume', 'set', volume, 'performance.io-cache', round % 2 ? 'off' : 'on');
        await pause(1000);
        // The first one: all that are behind it move up.
        const [first] = round === 0 ? bricks : [cluster.brick(`${volume}-more-${round - 1}`)];
        await cluster.must('volume', 'remove-brick', volume, first!.name, 'start');
        await ended('remove-brick', volume, first!.name);
        await cluster.must('volume', 'remove-brick', volume, first!.name, 'commit');
        await pause(2000);
      }
      over = true;
      await Promise.allSettled(work);
      if (failure) throw failure;
      expect(listings).toBeGreaterThan(8);
      await cluster.destroy(volume, ...mounts);
    },
    60_000 + rounds * 180_000,
  );
});
