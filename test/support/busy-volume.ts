/** A volume in use: one client works and knows what it did, another one looks, while bricks come and go and processes die. */
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { expect } from 'vitest';
import { type BusyProgram, busyPrograms } from './busy-programs.ts';
import { BusyWork } from './busy-work.ts';
import { type Cluster, digest, eventually, type MountedVolume, pause } from './cluster.ts';
import { commandLine } from './sandbox.ts';

export class BusyVolume {
  readonly random: SeededRandom;
  readonly #cluster: Cluster;
  readonly #volume: string;
  readonly #still = new Map<string, Buffer>();
  readonly #work: BusyWork[] = [];
  readonly #running: Promise<unknown>[] = [];
  readonly #mounts: MountedVolume[] = [];
  #counted = 0;
  readonly #runs = new Map<string, number>();
  #over = false;
  #rests = 0;
  #isBlind = false;
  #active = 0;
  #failure: unknown;
  #listings = 0;

  constructor(cluster: Cluster, volume: string, seed: number) {
    this.#cluster = cluster;
    this.#volume = volume;
    this.random = new SeededRandom(seed);
  }

  /** Whatever goes wrong, nobody works on. */
  stop(): void {
    this.#over = true;
    for (const work of this.#work) work.over = true;
  }

  /** Throws what went wrong so far. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  async begin(): Promise<void> {
    const [a, b] = [await this.#cluster.mount(this.#volume), await this.#cluster.mount(this.#volume)];
    this.#mounts.push(a, b);
    for (let i = 0; i < 60; i++) {
      const data = Buffer.from(this.random.bytes(this.random.integer(40_000)));
      await fs.writeFile(join(a.path, `still${i}`), data);
      this.#still.set(`still${i}`, data);
      if (i % 4 !== 0) continue;
      await fs.link(join(a.path, `still${i}`), join(a.path, `still${i}-again`));
      this.#still.set(`still${i}-again`, data);
    }
    await fs.writeFile(join(a.path, 'counter'), '');
    await fs.mkdir(join(a.path, 'others'));
    const work = new BusyWork(a.path, 'w', this.random.fork());
    this.#work.push(work);
    const jobs = [work.until(), this.#count(a.path), this.#watch(b.path)];
    for (const program of busyPrograms()) jobs.push(this.#repeat(a.path, program));
    for (const job of jobs)
      this.#running.push(
        job.catch((error: unknown) => {
          this.#failure ??= error;
        }),
      );
  }

  /** Nobody begins anything new meanwhile: what is always in use is never seen to be healed. */
  async quiet(work: () => Promise<void>): Promise<void> {
    this.#rests++;
    for (const one of this.#work) one.rests = true;
    try {
      await work();
    } finally {
      this.#rests--;
      for (const one of this.#work) one.rests = false;
    }
  }

  /** As `quiet`, with nothing under way at all: what is done meanwhile may keep bricks from answering. */
  async still(work: () => Promise<void>): Promise<void> {
    this.#isBlind = true;
    try {
      await this.quiet(async () => {
        const isIdle = () => this.#active === 0 && this.#work.every(({ isBusy }) => !isBusy);
        await eventually('nothing is under way', () => this.#failure !== undefined || isIdle(), 120_000);
        this.check();
        await work();
      });
    } finally {
      this.#isBlind = false;
    }
  }

  /** `step` as long as it is used, resting between in due time. */
  async #loop(ms: number, rests: () => boolean, step: () => Promise<unknown>): Promise<void> {
    while (!this.#over) {
      this.#active++;
      try {
        await step();
      } finally {
        this.#active--;
      }
      do await pause(ms);
      while (rests() && !this.#over);
    }
  }

  #count(mnt: string): Promise<void> {
    return this.#loop(
      10,
      () => this.#rests > 0,
      async () => {
        await fs.appendFile(join(mnt, 'counter'), 'x');
        this.#counted++;
      },
    );
  }

  async #repeat(mnt: string, program: BusyProgram): Promise<void> {
    await program.prepare?.(this.#cluster);
    const step = async () => {
      const run = this.#runs.get(program.name) ?? 0;
      const at = join(mnt, 'others', `${program.name}${run}`);
      await this.#cluster.sh(`mkdir ${at}; ${program.script(this.#cluster, at)}
        rm -r ${at} || { find ${at} >&2; sleep 2; find ${at} >&2; exit 1; }`);
      this.#runs.set(program.name, run + 1);
    };
    await this.#loop(50, () => this.#rests > 0, step);
  }

  /** Names that do not change: each is there once, with what is in it. */
  #watch(mnt: string): Promise<void> {
    const look = async () => {
      const names = await fs.readdir(mnt);
      this.#listings++;
      const seen = names.filter((name) => this.#still.has(name)).sort();
      expect(seen).toEqual([...this.#still.keys()].sort());
      expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
      for (let i = 0; i < 5; i++) {
        const name = this.random.pick(seen);
        expect(digest(await fs.readFile(join(mnt, name))), name).toBe(digest(this.#still.get(name)!));
      }
      const least = this.#counted;
      const counted = (await fs.readFile(join(mnt, 'counter'))).length;
      if (counted < least) await this.#old(join(mnt, 'counter'), least, counted);
    };
    return this.#loop(5, () => this.#isBlind, look);
  }

  /** What the volume itself says, past the kernel's cache, must not be old; what the kernel says only for the time that it is told. */
  async #old(path: string, least: number, counted: number): Promise<void> {
    const handle = await fs.open(path, constants.O_RDONLY | constants.O_DIRECT);
    const { size } = await handle.stat();
    const { bytesRead } = await handle.read(Buffer.alloc(2 ** 20), 0, 2 ** 20, 0);
    await handle.close();
    const said = `${new Date().toISOString()}: ${counted} of ${least} appends were seen; then the size was ${size}, and ${bytesRead} were read directly`;
    console.log(said);
    throw new Error(said);
  }

  // --- processes that die ---

  rebalancer(): number | undefined {
    return this.#cluster.processes().find((pid) => commandLine(pid).includes('rebalance'));
  }

  async killRebalance(): Promise<boolean> {
    await pause(200 + this.random.integer(1800));
    const pid = this.rebalancer();
    if (pid === undefined) return false;
    process.kill(pid, 'SIGKILL');
    await eventually('the end of the rebalance', () => this.rebalancer() !== pid);
    return true;
  }

  /** Killed while it writes; what it has made is there or is not. */
  async killClient(): Promise<void> {
    const mount = await this.#cluster.mount(this.#volume);
    const work = new BusyWork(mount.path, `killed${mount.pid}-`, this.random.fork());
    const working = work.until().catch(() => undefined);
    await pause(300 + this.random.integer(700));
    process.kill(mount.pid, 'SIGKILL');
    work.over = true;
    await working;
    await this.#cluster.sh(`umount -l ${mount.path}`);
  }

  /** With nobody but the rebalance at work: of a volume without replicas what is on that brick is away until it is back. */
  async killBrick(pid: number): Promise<void> {
    await this.still(async () => {
      await this.#cluster.kill(pid);
      await pause(this.random.integer(1000));
      await this.#cluster.must('volume', 'start', this.#volume, 'force');
      for (const { path } of this.#mounts) await eventually(`${path} has all bricks`, () => this.#hasAll(path), 60_000);
    });
  }

  async #hasAll(mnt: string): Promise<boolean> {
    const all = [...this.#still.keys()].map((name) => join(mnt, name)).join(' ');
    const { exitCode } = await this.#cluster.run('bash', [
      '-c',
      `for f in ${all}; do dd if=$f of=/dev/null bs=64k iflag=direct status=none || exit 1; done`,
    ]);
    return exitCode === 0;
  }

  // --- tasks ---

  async ended(...words: string[]): Promise<string> {
    let said = '';
    await eventually(
      `the end of ${words.join(' ')}`,
      async () => {
        this.check();
        said = await this.#cluster.must('volume', ...words, 'status');
        if (/ failed /.test(said)) throw new Error(said);
        return / completed /.test(said);
      },
      180_000,
    );
    return said;
  }

  /** `mayFail`: what is done meanwhile may end a run, which is then started again. */
  async grow(names: readonly string[], meanwhile: () => Promise<void>, mayFail = false): Promise<string> {
    const { must, gluster } = this.#bound();
    await must('volume', 'add-brick', this.#volume, ...names, 'force');
    await must('volume', 'rebalance', this.#volume, 'start', 'force');
    let kills = 0;
    for (let i = 0; i < 2; i++) {
      if (await this.killRebalance()) kills++;
      this.check();
      // Management starts again what was killed; this is for one that was over already.
      await gluster('volume', 'rebalance', this.#volume, 'start', 'force');
    }
    await meanwhile();
    this.check();
    const said = await this.ended('rebalance', this.#volume).catch(async (error: unknown) => {
      this.check();
      if (!mayFail) throw error;
      await must('volume', 'rebalance', this.#volume, 'start', 'force');
      return `once more after ${(error as Error).message}\n${await this.ended('rebalance', this.#volume)}`;
    });
    return `${kills} killed\n${said}`;
  }

  async shrink(names: readonly string[]): Promise<string> {
    const { must, gluster } = this.#bound();
    const remove = (...words: string[]) => must('volume', 'remove-brick', this.#volume, ...names, ...words);
    await remove('start');
    const kills = (await this.killRebalance()) ? 1 : 0;
    for (let run = 0; ; run++) {
      try {
        const said = await this.ended('remove-brick', this.#volume, ...names);
        await remove('commit');
        this.check();
        return `${kills} killed\n${said}`;
      } catch (error) {
        this.check();
        // What is in use all the time may take more than one run; until then nothing is lost by a mistake.
        if (run === 3) throw error;
        expect((await gluster('volume', 'remove-brick', this.#volume, ...names, 'commit')).exitCode).not.toBe(0);
        console.log(`once more: ${(error as Error).message}`);
        await remove('stop');
        await remove('start');
      }
    }
  }

  #bound() {
    return {
      must: (...words: string[]) => this.#cluster.must(...words),
      gluster: (...words: string[]) => this.#cluster.gluster(...words),
    };
  }

  // --- the end ---

  async end(): Promise<string> {
    this.stop();
    await Promise.all(this.#running);
    this.check();
    expect(this.#listings).toBeGreaterThan(3);
    const files = this.#work.flatMap((work) => [...work.files].map(([name, { data }]) => [name, data] as const));
    const expected = new Map([...this.#still, ...files]);
    const c = await this.#cluster.mount(this.#volume);
    this.#mounts.push(c);
    for (const { path } of this.#mounts) await same(path, expected);
    expect((await fs.readFile(join(c.path, 'counter'))).length).toBe(this.#counted);
    const runs = [...this.#runs].map(([name, count]) => `${count} runs of ${name}`);
    return [`${this.#listings} listings`, ...runs, `${this.#counted} appends`].join(', ');
  }

  get mounts(): readonly MountedVolume[] {
    return this.#mounts;
  }
}

async function same(mnt: string, expected: ReadonlyMap<string, Buffer>): Promise<void> {
  const isOther = (name: string) => name === 'counter' || name === 'others' || name.startsWith('killed');
  const names = (await fs.readdir(mnt)).filter((name) => !isOther(name));
  expect(names.sort()).toEqual([...expected.keys()].sort());
  for (const [name, data] of expected)
    expect(digest(await fs.readFile(join(mnt, name))), `${mnt} ${name}`).toBe(digest(data));
  expect(await fs.readdir(join(mnt, 'others'))).toEqual([]);
}
