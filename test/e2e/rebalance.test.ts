/**
 * 2 x replica 3 becomes 3 x replica 3 and 2 x again while a client works and another one looks. The rebalance, a brick and a
 * client are killed on the way. More rounds: MORTAR_REBALANCE_ROUNDS.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Brick, digest, eventually, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount, commandLine } from '../support/sandbox.ts';

const rounds = Number(process.env.MORTAR_REBALANCE_ROUNDS ?? 1);
const volume = 'grow';

interface File {
  data: Buffer;
}

/** Mounts keep attributes for a second. */
const staleMs = 1200;

/** One application: what it has made, under which names. Files with several names are in there more than once. */
class Work {
  readonly files = new Map<string, File>();
  readonly #mnt: string;
  readonly #prefix: string;
  #serial = 0;
  over = false;

  constructor(mnt: string, prefix: string) {
    this.#mnt = mnt;
    this.#prefix = prefix;
  }

  async until(): Promise<void> {
    while (!this.over) {
      await this.step();
      await pause(2);
    }
  }

  async step(): Promise<void> {
    const at = (name: string) => join(this.#mnt, name);
    const names = [...this.files.keys()];
    const name = names[randomInt(Math.max(1, names.length))];
    const fresh = `${this.#prefix}${this.#serial++}`;
    if (name === undefined || names.length < 15) {
      const data = randomBytes(randomInt(60_000));
      await fs.writeFile(at(fresh), data);
      this.files.set(fresh, { data });
      return;
    }
    const file = this.files.get(name)!;
    switch (randomInt(8)) {
      case 0:
        await fs.rename(at(name), at(fresh));
        this.files.delete(name);
        this.files.set(fresh, file);
        return;
      case 1:
        await fs.link(at(name), at(fresh));
        this.files.set(fresh, file);
        return;
      case 2:
        if (names.length < 25) return;
        await fs.unlink(at(name));
        this.files.delete(name);
        return;
      case 3: {
        const handle = await fs.open(at(name), constants.O_RDWR);
        const data = randomBytes(1 + randomInt(5000));
        const offset = randomInt(file.data.length + 1);
        await handle.write(data, 0, data.length, offset);
        await handle.close();
        const next = Buffer.alloc(Math.max(file.data.length, offset + data.length));
        file.data.copy(next);
        data.copy(next, offset);
        file.data = next;
        return;
      }
      default: {
        const data = randomBytes(1 + randomInt(5000));
        await fs.appendFile(at(name), data);
        file.data = Buffer.concat([file.data, data]);
      }
    }
  }
}

describe.skipIf(!canMount)('a volume grows and shrinks while it is used', () => {
  const cluster = startCluster();

  const rebalancer = () => cluster.processes().find((pid) => commandLine(pid).includes('rebalance'));

  async function killRebalance(): Promise<boolean> {
    await pause(200 + randomInt(1800));
    const pid = rebalancer();
    if (pid === undefined) return false;
    process.kill(pid, 'SIGKILL');
    await eventually('the end of the rebalance', () => rebalancer() === undefined);
    return true;
  }

  async function ended(...words: string[]): Promise<string> {
    let said = '';
    await eventually(
      `the end of ${words.join(' ')}`,
      async () => {
        said = await cluster.must('volume', ...words, 'status');
        if (/ failed /.test(said)) throw new Error(said);
        return / completed /.test(said);
      },
      120_000,
    );
    return said;
  }

  /** The files of these bricks are elsewhere. What is in use all the time may take more than one run. */
  async function removed(names: readonly string[]): Promise<string> {
    for (let run = 0; ; run++) {
      try {
        return await ended('remove-brick', volume, ...names);
      } catch (error) {
        if (run === 3) throw error;
        expect((await cluster.gluster('volume', 'remove-brick', volume, ...names, 'commit')).exitCode).not.toBe(0);
        console.log(`once more: ${(error as Error).message}`);
        await cluster.must('volume', 'remove-brick', volume, ...names, 'stop');
        await cluster.must('volume', 'remove-brick', volume, ...names, 'start');
      }
    }
  }

  /** Names that do not change: each is there once, with what is in it. */
  async function watch(
    mnt: string,
    still: ReadonlyMap<string, Buffer>,
    counter: { size: number },
    over: () => boolean,
  ) {
    let listings = 0;
    while (!over()) {
      const least = counter.size;
      const names = await fs.readdir(mnt);
      listings++;
      const seen = names.filter((name) => still.has(name)).sort();
      expect(seen).toEqual([...still.keys()].sort());
      expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
      for (let i = 0; i < 5; i++) {
        const name = seen[randomInt(seen.length)]!;
        expect(digest(await fs.readFile(join(mnt, name))), name).toBe(digest(still.get(name)!));
      }
      const counted = async () => (await fs.readFile(join(mnt, 'counter'))).length;
      if ((await counted()) < least) {
        await pause(staleMs);
        expect(await counted()).toBeGreaterThanOrEqual(least);
      }
      await pause(5);
    }
    return listings;
  }

  async function same(mnt: string, expected: ReadonlyMap<string, Buffer>, others: (name: string) => boolean) {
    const names = (await fs.readdir(mnt)).filter((name) => !others(name));
    expect(names.sort()).toEqual([...expected.keys()].sort());
    for (const [name, data] of expected)
      expect(digest(await fs.readFile(join(mnt, name))), `${mnt} ${name}`).toBe(digest(data));
  }

  it(
    'no file vanishes, appears twice or reads as it was before',
    async () => {
      const bricks = await cluster.createAndStart(volume, ['replica', '3'], 6);
      const [a, b] = [await cluster.mount(volume), await cluster.mount(volume)];
      const still = new Map<string, Buffer>();
      for (let i = 0; i < 60; i++) {
        const data = randomBytes(randomInt(40_000));
        await fs.writeFile(join(a.path, `still${i}`), data);
        still.set(`still${i}`, data);
        if (i % 4 !== 0) continue;
        await fs.link(join(a.path, `still${i}`), join(a.path, `still${i}-again`));
        still.set(`still${i}-again`, data);
      }
      await fs.writeFile(join(a.path, 'counter'), '');
      const counter = { size: 0 };
      const work = new Work(a.path, 'w');
      let over = false;
      const counting = (async () => {
        for (; !over; await pause(10)) {
          await fs.appendFile(join(a.path, 'counter'), 'x');
          counter.size++;
        }
      })();
      const working = work.until();
      const watching = watch(b.path, still, counter, () => over);
      let failure: unknown;
      for (const one of [counting, working, watching])
        one.catch((error: unknown) => {
          failure ??= error;
        });
      const check = () => {
        if (failure) throw failure;
      };
      for (let round = 0; round < rounds; round++) {
        const added = [0, 1, 2].map((i) => cluster.brick(`${volume}-r${round}-${i}`));
        const names = added.map(({ name }) => name);
        await cluster.must('volume', 'add-brick', volume, ...names, 'force');
        await cluster.must('volume', 'rebalance', volume, 'start', 'force');
        let kills = 0;
        for (let i = 0; i < 2; i++) {
          if (await killRebalance()) kills++;
          check();
          await cluster.gluster('volume', 'rebalance', volume, 'start', 'force');
        }
        const killed = await killBrick([...bricks, ...added]);
        await killClient();
        await pause(1000);
        await cluster.must('volume', 'start', volume, 'force');
        check();
        const grown = await ended('rebalance', volume);
        check();
        await cluster.must('volume', 'remove-brick', volume, ...names, 'start');
        if (await killRebalance()) {
          kills++;
          await cluster.gluster('volume', 'remove-brick', volume, ...names, 'stop');
          await cluster.must('volume', 'remove-brick', volume, ...names, 'start');
        }
        check();
        const shrunk = await removed(names);
        check();
        console.log(`round ${round}: ${kills} rebalances, ${killed.path} and a client killed\n${grown}${shrunk}`);
        await cluster.must('volume', 'remove-brick', volume, ...names, 'commit');
        // Another brick of the same set must not go before.
        await cluster.healed(volume);
        check();
      }
      work.over = true;
      over = true;
      await Promise.all([counting, working]);
      expect(await watching).toBeGreaterThan(3);
      const expected = new Map([...still, ...[...work.files].map(([name, { data }]) => [name, data] as const)]);
      const others = (name: string) => name === 'counter' || name.startsWith('killed');
      const c = await cluster.mount(volume);
      for (const { path } of [a, b, c]) await same(path, expected, others);
      expect((await fs.readFile(join(c.path, 'counter'))).length).toBe(counter.size);
      await cluster.healed(volume);
      await cluster.destroy(volume, a, b, c);
    },
    60_000 + rounds * 240_000,
  );

  async function killBrick(bricks: readonly Brick[]): Promise<Brick> {
    await pause(randomInt(1000));
    const victim = bricks[randomInt(bricks.length)]!;
    await cluster.kill(cluster.brickPid(volume, victim));
    return victim;
  }

  /** Killed while it writes; what it has made is there or is not. */
  async function killClient(): Promise<void> {
    const mount: MountedVolume = await cluster.mount(volume);
    const work = new Work(mount.path, `killed${mount.pid}-`);
    const working = work.until().catch(() => undefined);
    await pause(300 + randomInt(700));
    process.kill(mount.pid, 'SIGKILL');
    work.over = true;
    await working;
    await cluster.sh(`umount -l ${mount.path}`);
  }
});
