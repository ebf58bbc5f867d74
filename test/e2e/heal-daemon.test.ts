/** One heal daemon for all volumes of a node, as real processes: what one volume does is nothing to the others (docs/heal.md). */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { ManagementClient } from '@mortar/rpc';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Brick, eventually, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount, commandLine, isAlive } from '../support/sandbox.ts';

interface Crawl {
  startSeconds: number;
}

describe.skipIf(!canMount)('the heal daemon of a node', () => {
  const cluster = startCluster();
  const shape = ['replica', '3'] as const;
  let mounts: Record<'v' | 'w', MountedVolume>;
  let bricks: Record<'v' | 'w', readonly Brick[]>;

  beforeAll(async () => {
    bricks = {
      v: await cluster.createAndStart('v', shape, 3),
      w: await cluster.createAndStart('w', shape, 3),
    };
    mounts = { v: await cluster.mount('v'), w: await cluster.mount('w') };
  }, 120_000);

  const daemons = () => cluster.processes().filter((pid) => commandLine(pid).includes('glustershd'));
  const pidFile = (volume: string) => cluster.at(`run/shd/${volume}/${volume}-shd.pid`);
  const pidOf = (volume: string) => Number(existsSync(pidFile(volume)) ? readFileSync(pidFile(volume), 'utf8') : 0);
  const daemonWords = (pid: number) => commandLine(pid).slice(commandLine(pid).indexOf('-s'));
  const log = () => readFileSync(cluster.at('log/glustershd.log'), 'utf8');

  /** Online and pid as `volume status V shd` shows them. */
  async function shown(volume: string): Promise<string[]> {
    const line = (await cluster.must('volume', 'status', volume, 'shd')).match(/^Self-heal Daemon.*$/m)?.[0] ?? '';
    return line.trim().split(/\s+/).slice(-2);
  }

  async function one(...volumes: string[]): Promise<number> {
    const isOne = () => {
      const [pid, other] = daemons();
      return other === undefined && pid !== undefined && volumes.every((name) => pidOf(name) === pid);
    };
    await eventually('there is one heal daemon', isOne);
    const [pid] = daemons();
    for (const volume of volumes) expect(await shown(volume)).toEqual(['Y', `${pid}`]);
    return pid!;
  }

  async function ask<T>(method: string, params: object): Promise<T> {
    const words = commandLine(daemons()[0]!);
    const address = { kind: 'unix', path: words[words.indexOf('-S') + 1]! } as const;
    const client = await ManagementClient.connect(unixTransport(), address, { clock: nodeClock, program: 'test' });
    try {
      return await client.call<T>(method, params);
    } finally {
      client.close();
    }
  }

  /** What is not to change while another volume does: its graphs and its crawls. */
  async function course(volume: string): Promise<unknown> {
    const { id, generations } = await ask<{ id: number; generations: number }>('graph.info', { volume });
    const [first] = await ask<{ crawls: Crawl[] }[]>('heal.statistics', { volume });
    return { id, generations, crawls: first!.crawls.map(({ startSeconds }) => startSeconds) };
  }

  const files = (volume: 'v' | 'w', name: string) =>
    Promise.all([0, 1, 2, 3].map((i) => fs.writeFile(join(mounts[volume].path, `${name}${i}`), `${name} ${i}`)));

  /** Changes that one brick misses; it is back when this resolves. */
  async function missed(volume: 'v' | 'w', name: string): Promise<void> {
    await cluster.killBrick(volume, bricks[volume][0]!);
    await files(volume, name);
    await cluster.must('volume', 'start', volume, 'force');
  }

  const has = (volume: 'v' | 'w', name: string) => existsSync(join(bricks[volume][0]!.path, `${name}3`));

  it('is one process, heals all volumes, and is in what each of them shows', async () => {
    await one('v', 'w');
    await missed('v', 'first');
    await missed('w', 'first');
    for (const volume of ['v', 'w'] as const) {
      await cluster.healed(volume);
      expect(has(volume, 'first')).toBe(true);
    }
    const text = await cluster.must('volume', 'status');
    expect(text.match(/^Self-heal Daemon on localhost .*Y\s+(\d+)\s*$/gm)).toHaveLength(2);
    const resident = Number(
      (await cluster.must('volume', 'status', 'v', 'shd', 'mem')).match(/^Arena +: (\d+)$/m)?.[1],
    );
    expect(resident).toBeGreaterThan(20 * 2 ** 20);
    const inodes = await cluster.must('volume', 'status', 'v', 'shd', 'inode');
    expect(inodes).toMatch(/^LRU limit {5}: [1-9]\d+$/m);
    const { text: metrics } = await ask<{ text: string }>('metrics.text', {});
    for (const volume of ['v', 'w'])
      expect(metrics).toMatch(new RegExp(`^mortar_inodes_active{volume="${volume}"} \\d`, 'm'));
    expect(metrics.match(/^# TYPE mortar_inodes_active /gm)).toHaveLength(1);
  }, 60_000);

  it('takes up and lets go of volumes, and takes their options, while the others go on undisturbed', async () => {
    const pid = await one('v', 'w');
    const before = await course('w');
    await cluster.createAndStart('x', shape, 3);
    expect(await one('v', 'w', 'x')).toBe(pid);
    await cluster.must('volume', 'set', 'v', 'cluster.heal-timeout', '500');
    await cluster.must('volume', 'set', 'x', 'cluster.data-self-heal-algorithm', 'full');
    const added = [0, 1, 2].map((i) => cluster.brick(`x-more${i}`).name);
    await cluster.must('volume', 'add-brick', 'x', ...added, 'force');
    await eventually(
      'the daemon has the new bricks',
      async () => (await ask<unknown[]>('heal.count', { volume: 'x' })).length === 6,
    );
    await cluster.must('volume', 'stop', 'x');
    expect([existsSync(pidFile('x')), await one('v', 'w')]).toEqual([false, pid]);
    await expect(ask('heal.count', { volume: 'x' })).rejects.toThrow('does not serve the volume x');
    await cluster.must('volume', 'start', 'x');
    expect(await one('x')).toBe(pid);
    await cluster.must('volume', 'stop', 'x');
    await cluster.must('volume', 'delete', 'x');
    expect(await course('w')).toEqual(before);
  }, 60_000);

  it('heals no more where it is not to, tells what is pending, and heals the others', async () => {
    const pid = await one('v', 'w');
    await cluster.must('volume', 'set', 'v', 'cluster.self-heal-daemon', 'off');
    await missed('v', 'off');
    await missed('w', 'off');
    await cluster.healed('w');
    expect([has('w', 'off'), has('v', 'off')]).toEqual([true, false]);
    expect(await cluster.must('volume', 'heal', 'v', 'info')).toMatch(/^\/off3 $/m);
    await cluster.must('volume', 'set', 'v', 'cluster.self-heal-daemon', 'on');
    await cluster.healed('v');
    expect([has('v', 'off'), await one('v', 'w')]).toEqual([true, pid]);
  }, 60_000);

  it('writes one state dump with the sets of all volumes', async () => {
    const pid = await one('v', 'w');
    process.kill(pid, 'SIGUSR1');
    const dump = () => readdirSync(cluster.at('run')).find((name) => name.startsWith(`glusterdump.${pid}.dump.`));
    await eventually('there is a dump', () => dump() !== undefined);
    const text = readFileSync(cluster.at(`run/${dump()}`), 'utf8');
    for (const volume of ['v', 'w']) {
      expect(text).toContain(`[active graph]\nvolume=${volume}\n`);
      expect(text).toMatch(new RegExp(`^child_up\\[0\\]=1\npending_key\\[0\\]=trusted.afr.${volume}-client-0$`, 'm'));
    }
  });

  it('comes back for all volumes when it is killed, by itself and by a forced start', async () => {
    const first = await one('v', 'w');
    await cluster.kill(first);
    const second = await one('v', 'w');
    expect(second).not.toBe(first);
    await cluster.kill(second);
    await cluster.must('volume', 'start', 'v', 'force');
    const third = await one('v', 'w');
    await missed('w', 'killed');
    await cluster.healed('w');
    expect(await one('v', 'w')).toBe(third);
  }, 60_000);

  it('stays away when it was asked to end, until a volume is started', async () => {
    const pid = await one('v', 'w');
    await cluster.kill(pid, 'SIGTERM');
    expect([existsSync(pidFile('v')), existsSync(pidFile('w'))]).toEqual([false, false]);
    await pause(3000);
    expect([daemons(), await shown('v')]).toEqual([[], ['N', 'N/A']]);
    expect((await cluster.gluster('volume', 'heal', 'v')).exitCode).not.toBe(0);
    await cluster.must('volume', 'start', 'w', 'force');
    await one('v', 'w');
  }, 60_000);

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'goes on while glusterd is away (%s), and is its again',
    async (signal) => {
      const pid = await one('v', 'w');
      const before = await course('w');
      await cluster.kill(cluster.glusterdPid(), signal);
      expect(isAlive(pid)).toBe(true);
      await cluster.startGlusterd();
      expect(await one('v', 'w')).toBe(pid);
      expect(await course('w')).toEqual(before);
      await missed('v', signal);
      await cluster.healed('v');
      await cluster.createAndStart('y', shape, 3);
      expect(await one('v', 'w', 'y')).toBe(pid);
      await cluster.destroy('y');
      expect(await one('v', 'w')).toBe(pid);
    },
    60_000,
  );

  it('is one, and gets its files back, when somebody tidied up the run directory', async () => {
    const pid = await one('v', 'w');
    const own = cluster.at('run/glustershd/glustershd.pid');
    const isNamed = () => existsSync(own) && readFileSync(own, 'utf8') === `${pid}\n`;
    rmSync(own);
    await cluster.must('volume', 'start', 'v', 'force');
    expect([await one('v', 'w'), isNamed()]).toEqual([pid, true]);
    rmSync(own);
    await eventually('glusterd has seen it by itself', isNamed);
    await cluster.kill(cluster.glusterdPid(), 'SIGKILL');
    rmSync(cluster.at('run/glustershd'), { recursive: true });
    await cluster.startGlusterd();
    await eventually('a new glusterd has found it', isNamed);
    expect(await one('v', 'w')).toBe(pid);
    const byHand = await cluster.command('glusterfs', ...daemonWords(pid));
    expect([byHand.exitCode, byHand.stderr]).toEqual([1, expect.stringContaining(`with pid ${pid}`)]);
    rmSync(own);
    const again = await cluster.command('glusterfs', ...daemonWords(pid));
    // Unless the pid file is there again already, it is the lock that keeps it away.
    const why = new RegExp(`the process ${pid} holds|is held by the running glusterfs with pid ${pid}`);
    expect([again.exitCode, again.stderr]).toEqual([1, expect.stringMatching(why)]);
    await eventually('it has its pid file again', isNamed);
    expect(daemons()).toEqual([pid]);
  }, 60_000);

  it('is replaced when its control socket is gone', async () => {
    const pid = await one('v', 'w');
    const words = commandLine(pid);
    rmSync(words[words.indexOf('-S') + 1]!);
    await cluster.createAndStart('z', shape, 3);
    await eventually('another has taken its place', () => !isAlive(pid) && daemons().length === 1, 60_000);
    expect(await one('v', 'w', 'z')).not.toBe(pid);
    await missed('w', 'socket');
    await cluster.healed('w');
    await cluster.destroy('z');
  }, 90_000);

  it('heals the others while all bricks of one hang, and lets go of that one', async () => {
    const pid = await one('v', 'w');
    await cluster.createAndStart('hung', shape, 3);
    for (const brick of cluster.brickPids('hung')) process.kill(brick, 'SIGSTOP');
    // A crawl that gets no answers.
    await ask('heal.launch', { volume: 'hung', full: false });
    await missed('w', 'hung');
    await cluster.healed('w');
    expect(has('w', 'hung')).toBe(true);
    await cluster.must('volume', 'stop', 'hung', 'force');
    expect([existsSync(pidFile('hung')), await one('v', 'w')]).toEqual([false, pid]);
    await cluster.must('volume', 'delete', 'hung');
    await eventually('its graph has ended', () => /-hung: the volume is let go of$/m.test(log()));
    expect(log()).not.toContain('hung: the volume is let go of, but');
    const dump = await ask<{ text: string }>('process.statedump.text', {});
    expect(dump.text).not.toContain('hung-replicate-0');
  }, 60_000);

  it('heals the others when the graph of one cannot be built, and that one when it can', async () => {
    const pid = await one('v', 'w');
    await cluster.create('bad', shape, 3);
    const volfile = cluster.at('lib/vols/bad/bad-shd.vol');
    const good = readFileSync(volfile, 'utf8');
    writeFileSync(volfile, good.replace('type cluster/replicate', 'type cluster/replicant'));
    await cluster.must('volume', 'start', 'bad');
    expect(await shown('bad')).toEqual(['N', 'N/A']);
    expect(log()).toContain("unknown translator type 'cluster/replicant'");
    await missed('v', 'bad');
    await cluster.healed('v');
    expect(await one('v', 'w')).toBe(pid);
    writeFileSync(volfile, good);
    await cluster.must('volume', 'start', 'bad', 'force');
    expect(await one('v', 'w', 'bad')).toBe(pid);
    await cluster.destroy('bad');
  }, 60_000);

  it('takes the place of daemons of the version before, one a volume', async () => {
    const words = commandLine(await one('v', 'w'));
    const old = (volume: string) => {
      const own = words.slice(words.indexOf('-s')).map((word, i, all) => {
        if (all[i - 1] === '--volfile-id') return `shd/${volume}`;
        if (all[i - 1] === '-p') return pidFile(volume);
        return all[i - 1] === '-S' ? cluster.at(`run/${volume}-old.socket`) : word;
      });
      return cluster.command('glusterfs', ...own);
    };
    await cluster.kill(daemons()[0]!, 'SIGTERM');
    // By then glusterd knows that it was asked to.
    await pause(2000);
    for (const volume of ['v', 'w']) expect((await old(volume)).exitCode).toBe(0);
    expect(daemons()).toHaveLength(2);
    const former = daemons();
    await cluster.kill(cluster.glusterdPid());
    await cluster.startGlusterd();
    const pid = await one('v', 'w');
    expect(former).not.toContain(pid);
    await missed('v', 'former');
    await cluster.healed('v');
  }, 90_000);

  it('ends with the last volume, and has left nothing', async () => {
    await cluster.destroy('v', mounts.v);
    await one('w');
    await cluster.destroy('w', mounts.w);
    expect(daemons()).toEqual([]);
    expect(log()).not.toMatch(/ C \[|uncaught|unhandled/);
  }, 60_000);
});
