/** A rebalance waits for clients that still work in a graph of other bricks, and nobody loses sight of a file. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Brick, eventually, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount, isAlive } from '../support/sandbox.ts';

const patienceMs = 180_000;
const count = 60;
const names = Array.from({ length: count }, (_, i) => `file${i}`);
/** Processes that were stopped: a test that fails leaves none behind that cannot be ended. */
const stoppedPids: number[] = [];
const stop = (pid: number) => {
  stoppedPids.push(pid);
  process.kill(pid, 'SIGSTOP');
};
const goOn = (pid: number) => process.kill(pid, 'SIGCONT');
const waiting = 'Waiting for clients that still work with other bricks';

describe.skipIf(!canMount)('a rebalance', () => {
  const cluster = startCluster();
  afterEach(() => {
    for (const pid of stoppedPids.splice(0)) if (isAlive(pid)) goOn(pid);
  });

  const files = async (mount: MountedVolume) => {
    for (const name of names) await fs.writeFile(join(mount.path, name), `text of ${name}`);
  };
  /** What is where, and which names belong where. */
  const state = (bricks: readonly Brick[]) =>
    bricks.map(({ path }) => [
      readdirSync(path).sort(),
      execFileSync('getfattr', ['--absolute-names', '-e', 'hex', '-n', 'trusted.glusterfs.dht', path]).toString(),
    ]);
  const status = (volume: string, ...flags: string[]) =>
    cluster.must(...flags, 'volume', 'rebalance', volume, 'status');
  const isOver = async (volume: string) => {
    const told = await status(volume);
    expect(told).not.toContain('failed');
    return told.includes('completed');
  };
  /** Looks at every file again and again, until told to end. */
  const watch = (mount: MountedVolume) => {
    const seen = { rounds: 0, isOver: false };
    const looking = (async () => {
      for (; !seen.isOver; seen.rounds++) {
        const listed = new Set(await fs.readdir(mount.path));
        for (const name of names) {
          expect(listed).toContain(name);
          expect(await fs.readFile(join(mount.path, name), 'utf8')).toBe(`text of ${name}`);
        }
      }
    })();
    // It is awaited at the end.
    looking.catch(() => undefined);
    const end = async () => {
      seen.isOver = true;
      await looking;
      return seen.rounds;
    };
    return end;
  };
  const rebalanceLog = (volume: string) => readFileSync(cluster.at(`log/${volume}-rebalance.log`), 'utf8');

  it(
    'waits for a mount that does not run, says so, and goes on when it has the new bricks',
    async () => {
      const volume = 'grown';
      const bricks = await cluster.createAndStart(volume, [], 2);
      const [working, stopped] = [await cluster.mount(volume), await cluster.mount(volume)];
      await files(working);
      await fs.readdir(stopped.path);
      stop(stopped.pid);
      const before = state(bricks);
      await cluster.must('volume', 'add-brick', volume, cluster.brick('grown-new').name, 'force');
      await cluster.must('volume', 'rebalance', volume, 'start');
      await eventually('the status says whom it waits for', async () => (await status(volume)).includes(waiting));
      await pause(3000);
      const told = (await status(volume)).split('\n').filter((line) => line.startsWith(waiting));
      expect(told).toEqual([expect.stringContaining(`pid ${stopped.pid} (for `)]);
      expect(state(bricks)).toEqual(before);
      expect(readdirSync(cluster.brick('grown-new').path)).toEqual(['.glusterfs']);
      const json = JSON.parse(await status(volume, '--json')) as {
        volRebalance: { awaitedClients: { awaitedClient: { pid: number }[] } };
      };
      expect(json.volRebalance.awaitedClients.awaitedClient.map(({ pid }) => pid)).toEqual([stopped.pid]);
      expect(await status(volume, '--xml')).not.toContain('awaited');
      expect(rebalanceLog(volume)).toContain(
        `waits for clients to take the present graph: glusterfs ${stopped.pid} on`,
      );

      goOn(stopped.pid);
      const end = watch(stopped);
      await eventually('the rebalance ends', () => isOver(volume), 60_000);
      expect(await end()).toBeGreaterThan(0);
      expect(await status(volume)).not.toContain(waiting);
      expect(readdirSync(cluster.brick('grown-new').path).length).toBeGreaterThan(5);
      await cluster.destroy(volume, working, stopped);
    },
    patienceMs,
  );

  it(
    'ends at once when it is stopped while it waits; one that is forced waits for nobody',
    async () => {
      const volume = 'forced';
      const bricks = await cluster.createAndStart(volume, [], 2);
      const [working, stopped] = [await cluster.mount(volume), await cluster.mount(volume)];
      await files(working);
      stop(stopped.pid);
      const before = state(bricks);
      await cluster.must('volume', 'add-brick', volume, cluster.brick('forced-new').name, 'force');
      await cluster.must('volume', 'rebalance', volume, 'fix-layout', 'start');
      await eventually('it waits', async () => (await status(volume)).includes(waiting));
      const sinceMs = Date.now();
      expect(await cluster.must('volume', 'rebalance', volume, 'stop')).toContain('stopped');
      expect(Date.now() - sinceMs).toBeLessThan(15_000);
      expect(state(bricks)).toEqual(before);
      await cluster.must('volume', 'rebalance', volume, 'start', 'force');
      await eventually('the rebalance ends', () => isOver(volume), 60_000);
      expect(rebalanceLog(volume)).toContain(
        `is not waited for, and may not see files that move until it has the present graph: glusterfs ${stopped.pid} on`,
      );
      expect(readdirSync(cluster.brick('forced-new').path).length).toBeGreaterThan(5);
      goOn(stopped.pid);
      await cluster.destroy(volume, working, stopped);
    },
    patienceMs,
  );

  it(
    'that empties a brick waits for a mount that does not know that the brick leaves',
    async () => {
      const volume = 'shrunk';
      const bricks = await cluster.createAndStart(volume, [], 3);
      const [working, stopped] = [await cluster.mount(volume), await cluster.mount(volume)];
      await files(working);
      stop(stopped.pid);
      const before = state(bricks);
      const gone = bricks[1]!.name;
      const remove = (what: string) => cluster.must('volume', 'remove-brick', volume, gone, what);
      await remove('start');
      await eventually('it waits', async () => (await remove('status')).includes(waiting));
      await pause(1000);
      expect(await remove('status')).not.toContain('force');
      expect(state(bricks)).toEqual(before);
      goOn(stopped.pid);
      const end = watch(stopped);
      await eventually('the brick is empty', async () => (await remove('status')).includes('completed'), 60_000);
      await remove('commit');
      expect(await end()).toBeGreaterThan(0);
      await cluster.destroy(volume, working, stopped);
    },
    patienceMs,
  );

  it(
    'goes on without a mount that was silent until it was forgotten, which then finds no file missing, either',
    async () => {
      const volume = 'forgotten';
      await cluster.createAndStart(volume, [], 2);
      const [working, stopped] = [await cluster.mount(volume), await cluster.mount(volume)];
      await files(working);
      await fs.readdir(stopped.path);
      stop(stopped.pid);
      await cluster.must('volume', 'add-brick', volume, cluster.brick('forgotten-new').name, 'force');
      await cluster.must('volume', 'rebalance', volume, 'start');
      // The brick's ping timeout, and its grace time.
      await eventually('the rebalance ends', () => isOver(volume), 42_000 + 10_000 + 40_000);
      goOn(stopped.pid);
      const missing: string[] = [];
      const look = async (name: string): Promise<boolean> => {
        try {
          return (await fs.readFile(join(stopped.path, name), 'utf8')) === `text of ${name}`;
        } catch (error) {
          if (!['ENOTCONN', 'EIO'].includes((error as NodeJS.ErrnoException).code ?? ''))
            missing.push(`${name}: ${error}`);
          return false;
        }
      };
      for (const name of names) await eventually(`${name} is read`, () => look(name));
      expect(missing).toEqual([]);
      await cluster.destroy(volume, working, stopped);
    },
    patienceMs,
  );

  it(
    'does not wait for a file that is open, for that goes over to the new graph',
    async () => {
      const volume = 'open';
      await cluster.createAndStart(volume, [], 2);
      const mount = await cluster.mount(volume);
      await files(mount);
      const handles = await Promise.all(names.slice(0, 10).map((name) => fs.open(join(mount.path, name), 'a+')));
      await cluster.must('volume', 'add-brick', volume, cluster.brick('open-new').name, 'force');
      await cluster.must('volume', 'rebalance', volume, 'start');
      await eventually('the rebalance ends', () => isOver(volume), 30_000);
      for (const [i, handle] of handles.entries()) {
        await handle.write('!');
        expect(await fs.readFile(join(mount.path, names[i]!), 'utf8')).toBe(`text of ${names[i]}!`);
        await handle.close();
      }
      await cluster.destroy(volume, mount);
    },
    patienceMs,
  );
});
