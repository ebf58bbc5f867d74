import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { healDaemonPidFile, healDaemonSocket, nodeHealDaemonPidFile } from '../paths.ts';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
/** Seconds that have passed beside the real ones. */
let later: number;

beforeEach(async () => {
  rig = new Rig();
  await start();
});

afterEach(async () => {
  await rig.daemon.close();
  rig.remove();
});

async function start(): Promise<void> {
  await rig.start();
  later = 0;
  const { context } = rig.daemon;
  const { clock } = context;
  context.clock = { ...clock, nowMs: () => clock.nowMs() + later * 1000 };
}

const daemons = () => rig.processes.pidsOf('glustershd');
const pidFile = (volume: string) => healDaemonPidFile(rig.directories, volume);
const run = (verb: 'volume.start' | 'volume.stop', volume: string, force = false) => rig.done({ verb, volume, force });
const shownPid = async (volume: string) => (await rig.daemon.context.healDaemon.state(volume)).pid;
const look = () => rig.daemon.context.healDaemon.look();
const healed = (pid: number) => (rig.processes.healed.get(pid) ?? []).map(({ volume }) => volume).sort();

async function started(...volumes: string[]): Promise<number> {
  for (const volume of volumes) {
    await rig.createReplica(volume);
    await run('volume.start', volume);
  }
  return daemons()[0]!;
}

describe('the heal daemon of a node', () => {
  it('is one process for all volumes, which each shows as its own', async () => {
    const pid = await started('v', 'w');
    expect(daemons()).toEqual([pid]);
    expect(healed(pid)).toEqual(['v', 'w']);
    expect([await shownPid('v'), await shownPid('w')]).toEqual([pid, pid]);
  });

  it('lets go of a volume that stops, goes on, and ends with the last one', async () => {
    const pid = await started('v', 'w');
    await run('volume.stop', 'v');
    expect([daemons(), healed(pid)]).toEqual([[pid], ['w']]);
    expect([await shownPid('v'), await shownPid('w')]).toEqual([0, pid]);
    await run('volume.stop', 'w');
    expect(daemons()).toEqual([]);
    await run('volume.start', 'v');
    expect(daemons()).toHaveLength(1);
  });

  it('has no part in volumes without replicas, and keeps those that are not to be healed by it', async () => {
    await rig.create('d', [rig.brick('d')]);
    await run('volume.start', 'd');
    expect(daemons()).toEqual([]);
    const pid = await started('v', 'w');
    const off = [{ key: 'cluster.self-heal-daemon', value: 'off' }];
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: off });
    expect([daemons(), healed(pid)]).toEqual([[pid], ['v', 'w']]);
  });

  it('is recognised by a glusterd that starts anew, and told its volumes again', async () => {
    const pid = await started('v', 'w');
    await rig.daemon.close();
    rig.processes.asked.length = 0;
    await start();
    await rig.daemon.resume();
    expect([daemons(), healed(pid)]).toEqual([[pid], ['v', 'w']]);
    expect(rig.processes.asked.filter(({ method }) => method === 'heal.serve')).toHaveLength(1);
  });

  it('follows whatever is started and stopped', async () => {
    const names = ['a', 'b', 'c'];
    for (const name of names) await rig.createReplica(name);
    const step = fc.record({ name: fc.constantFrom(...names), runs: fc.boolean(), kills: fc.boolean() });
    const wanted = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        for (const { name, runs, kills } of steps) {
          if (kills) for (const pid of daemons()) rig.processes.die(pid);
          await run(runs ? 'volume.start' : 'volume.stop', name, true);
          if (runs) wanted.add(name);
          else wanted.delete(name);
          expect(daemons()).toHaveLength(wanted.size > 0 ? 1 : 0);
          for (const pid of daemons()) expect(healed(pid)).toEqual([...wanted].sort());
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('a heal daemon that is gone', () => {
  it('is started again by itself when it was killed, later each time, and for all volumes', async () => {
    let pid = await started('v', 'w');
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
      rig.processes.die(pid);
      await look();
      later += pause - 0.5;
      await look();
      expect(daemons(), `before ${pause} s`).toEqual([]);
      later += 0.6;
      await look();
      pid = daemons()[0]!;
      expect(healed(pid), `after ${pause} s`).toEqual(['v', 'w']);
    }
    later += 601;
    rig.processes.die(pid);
    await look();
    later += 1.1;
    await look();
    expect(daemons()).toHaveLength(1);
  });

  it('is not waited for by a command that starts a volume', async () => {
    const pid = await started('v', 'w');
    rig.processes.die(pid);
    await look();
    await run('volume.start', 'w', true);
    expect(await shownPid('v')).toBe(daemons()[0]);
    await look();
    expect(daemons()).toHaveLength(1);
  });

  it('stays so when somebody asked it to end, until a volume changes', async () => {
    const pid = await started('v', 'w');
    rig.processes.signal(pid, 'SIGTERM');
    for (let i = 0; i < 5; i++, later += 60) await look();
    expect(daemons()).toEqual([]);
    expect(await shownPid('v')).toBe(0);
    await run('volume.start', 'v', true);
    expect(healed(daemons()[0]!)).toEqual(['v', 'w']);
  });

  it('is no other program that has its pid now', async () => {
    const pid = await started('v');
    rig.processes.die(pid);
    rig.processes.alive.set(pid, ['glusterfs', '--volfile-id', 'v', '/mnt']);
    expect(await shownPid('v')).toBe(0);
    await run('volume.start', 'v', true);
    await run('volume.stop', 'v');
    expect(rig.processes.alive.has(pid)).toBe(true);
    expect(rig.processes.signals.some((one) => one.pid === pid)).toBe(false);
  });
});

describe('a heal daemon whose files are gone', () => {
  const own = () => nodeHealDaemonPidFile(rig.directories);

  it.each([
    ['is told, and has its pid file again', async () => look()],
    ['is the one that a change finds', async () => run('volume.start', 'v', true)],
  ])('%s', async (_, next) => {
    const pid = await started('v', 'w');
    rmSync(own());
    await next();
    expect([daemons(), readFileSync(own(), 'utf8')]).toEqual([[pid], `${pid}\n`]);
    await look();
    await look();
    expect(rig.processes.signals).toEqual([]);
    expect(healed(pid)).toEqual(['v', 'w']);
  });

  it('has its pid file again each time, however often it is removed', async () => {
    const pid = await started('v');
    for (let times = 0; times < 3; times++) {
      rmSync(own());
      await look();
      expect(readFileSync(own(), 'utf8')).toBe(`${pid}\n`);
    }
  });

  it('is not mistaken for one that was started beside it, and ends at once', async () => {
    const pid = await started('v');
    rig.processes.alive.set(71, rig.processes.alive.get(pid)!);
    writeFileSync(own(), '71\n');
    await look();
    rig.processes.die(71);
    rmSync(own());
    await look();
    await look();
    expect([daemons(), readFileSync(own(), 'utf8')]).toEqual([[pid], `${pid}\n`]);
  });

  it('is found again when one that was known instead of it has ended', async () => {
    const pid = await started('v');
    await rig.daemon.close();
    await start();
    // Before this glusterd has seen either.
    rig.processes.alive.set(71, rig.processes.alive.get(pid)!);
    writeFileSync(own(), '71\n');
    rig.processes.stubborn.add(pid);
    await run('volume.start', 'v', true);
    rig.processes.alive.set(pid, ['glusterfs', ...rig.processes.alive.get(71)!.slice(1)]);
    rig.processes.die(71);
    rmSync(own());
    await look();
    await look();
    expect([daemons(), readFileSync(own(), 'utf8')]).toEqual([[pid], `${pid}\n`]);
  });

  it('is recognised by a glusterd that starts anew', async () => {
    const pid = await started('v', 'w');
    await rig.daemon.close();
    rmSync(own());
    await start();
    await rig.daemon.resume();
    expect([daemons(), healed(pid)]).toEqual([[pid], ['v', 'w']]);
    expect(readFileSync(own(), 'utf8')).toBe(`${pid}\n`);
  });

  it('ends with the last volume all the same', async () => {
    const pid = await started('v');
    rmSync(own());
    await run('volume.stop', 'v');
    expect([daemons(), rig.processes.alive.has(pid)]).toEqual([[], false]);
  });

  it('is replaced when it cannot be asked any more, but not while it may be ending', async () => {
    const pid = await started('v', 'w');
    rmSync(healDaemonSocket(rig.directories));
    await rig.createReplica('x');
    await run('volume.start', 'x');
    for (const pause of [1, 2]) {
      later += pause + 0.1;
      await look();
      expect(daemons()).toEqual([pid]);
    }
    later += 4.1;
    await look();
    await look();
    expect([daemons().length, rig.processes.alive.has(pid)]).toEqual([1, false]);
    expect(healed(daemons()[0]!)).toEqual(['v', 'w', 'x']);
  });

  it('is one, if there were two', async () => {
    const pid = await started('v');
    await rig.daemon.close();
    rig.processes.alive.set(71, rig.processes.alive.get(pid)!);
    await start();
    await rig.daemon.resume();
    expect(daemons()).toEqual([pid]);
    expect(rig.processes.signals).toEqual([{ pid: 71, signal: 'SIGTERM' }]);
  });
});

it('tells a daemon that did not listen again, less and less often', async () => {
  const pid = await started('v');
  rig.processes.deaf.add(pid);
  await rig.createReplica('w');
  await run('volume.start', 'w');
  expect(rig.lines.filter((line) => line.includes('does not take its volumes'))).toHaveLength(1);
  const asked = () => rig.processes.asked.filter(({ method }) => method === 'heal.serve').length;
  const before = asked();
  for (const pause of [1, 2, 4]) {
    await look();
    later += pause + 0.1;
    await look();
  }
  expect(asked()).toBe(before + 3);
  rig.processes.deaf.clear();
  later += 8.1;
  await look();
  expect(healed(pid)).toEqual(['v', 'w']);
});

describe('heal daemons of the version before, one a volume', () => {
  const former = (volume: string, pid: number, words = ['--volfile-id', `shd/${volume}`, '-p', pidFile(volume)]) => {
    rig.processes.alive.set(pid, ['glusterfs', '-s', 'localhost', ...words, '--process-name', 'glustershd']);
    mkdirSync(dirname(pidFile(volume)), { recursive: true });
    writeFileSync(pidFile(volume), `${pid}\n`);
  };

  it('are ended when glusterd starts, and one takes their place', async () => {
    const pid = await started('v', 'w');
    await rig.daemon.close();
    rig.processes.signal(pid, 'SIGTERM');
    former('v', 71);
    former('w', 72);
    former('gone', 73);
    await start();
    await rig.daemon.resume();
    for (const old of [71, 72, 73]) expect(rig.processes.alive.has(old), `${old}`).toBe(false);
    expect(daemons()).toHaveLength(1);
    expect([await shownPid('v'), await shownPid('w')]).toEqual([daemons()[0], daemons()[0]]);
    expect(existsSync(pidFile('gone'))).toBe(false);
  });

  it('are left alone when they are those of another node, or no heal daemons', async () => {
    await rig.daemon.close();
    const elsewhere = '/elsewhere/run/shd/v/v-shd.pid';
    former('v', 71, ['--volfile-id', 'shd/v', '-p', elsewhere]);
    former('w', 72, ['--volfile-id', 'w', '/mnt/w']);
    await start();
    await rig.daemon.resume();
    expect(rig.processes.signals).toEqual([]);
    expect([...rig.processes.alive.keys()]).toEqual([71, 72]);
  });
});

it('has its own pid file apart from those of the volumes', async () => {
  const pid = await started('v');
  expect(existsSync(nodeHealDaemonPidFile(rig.directories))).toBe(true);
  await run('volume.stop', 'v');
  expect(existsSync(nodeHealDaemonPidFile(rig.directories))).toBe(false);
  expect(rig.processes.alive.has(pid)).toBe(false);
});
