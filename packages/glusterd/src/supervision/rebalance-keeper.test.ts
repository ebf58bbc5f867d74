/** The process that moves files dies, ends, is stopped, and outlives glusterd. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MachinePorts } from '../ports.ts';
import { Rig } from '../testing/rig.ts';

/** Time that the test lets pass. */
class TimedRig extends Rig {
  aheadMs = 0;

  override get ports(): MachinePorts {
    const { clock, ...ports } = super.ports;
    const nowMs = () => clock.nowMs() + this.aheadMs;
    const wall = () => {
      const now = clock.wall();
      return { ...now, sec: now.sec + Math.floor(this.aheadMs / 1000) };
    };
    return { ...ports, clock: { ...clock, nowMs, wall } };
  }
}

let rig: TimedRig;
const told: string[] = [];
beforeEach(async () => {
  told.length = 0;
  rig = new TimedRig();
  rig.post = async (_url, body) => {
    told.push((JSON.parse(body) as { event: string }).event);
    return 200;
  };
  await rig.start();
  await rig.create('v', [rig.brick('a'), rig.brick('b')]);
  await rig.done({ verb: 'volume.start', volume: 'v', force: false });
});
afterEach(() => rig.remove());

const run = (operation: 'force' | 'stop' | 'status') => rig.done({ verb: 'volume.rebalance', volume: 'v', operation });
const now = async () => (await run('status')).task;
const started = () => rig.processes.ran.filter(({ args }) => args.includes('rebalance/v')).length;
const alive = () => rig.processes.pidsOf('rebalance/v').length;
const look = () => rig.daemon.context.rebalances.look();
const die = () => {
  for (const pid of rig.processes.pidsOf('rebalance/v')) rig.processes.alive.delete(pid);
};
const nextId = '00000000-0000-4000-8000-000000000001';
const counts = { movedFiles: 3, movedBytes: 30, scanned: 9, failures: 0, skipped: 1, seconds: 2 };
const leaves = (state: string) => {
  const folder = join(rig.directories.work, 'vols/v/rebalance');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'status.json'), JSON.stringify({ state, ...counts }));
};

describe('a rebalance process', () => {
  it('that is killed is started again after a moment, and what it did is not forgotten', async () => {
    await run('force');
    leaves('running');
    die();
    expect(await now()).toMatchObject({ state: 'running', movedFiles: 3 });
    await look();
    expect([started(), alive()]).toEqual([1, 0]);
    rig.aheadMs += 1000;
    await look();
    expect([started(), alive()]).toEqual([2, 1]);
    // The one that goes on finds there what it begins with.
    expect(JSON.parse((await rig.file('vols/v/rebalance/status.json'))!)).toMatchObject({
      state: 'running',
      movedFiles: 3,
    });
    expect(rig.lines.filter((line) => /died|started again/.test(line))).toHaveLength(2);
  });

  it('that dies again and again is given up, with the reason; a new start begins from nothing', async () => {
    await run('force');
    leaves('running');
    for (let i = 0; i < 12; i++) {
      die();
      await look();
      rig.aheadMs += 20_000;
      await look();
    }
    expect(started()).toBe(6);
    const { task } = await run('status');
    expect(task).toMatchObject({ state: 'failed', movedFiles: 3 });
    expect(task.nodes).toEqual([
      {
        node: expect.any(String),
        name: 'localhost',
        state: 'failed',
        ...counts,
        reason: 'the rebalance process died 6 times in 10 minutes',
      },
    ]);
    await run('force');
    expect(await now()).toMatchObject({ state: 'running', movedFiles: 0 });
    expect(alive()).toBe(1);
  });

  it('that dies now and then, in hours, goes on', async () => {
    await run('force');
    for (let i = 0; i < 12; i++) {
      die();
      await look();
      rig.aheadMs += 3_600_000;
      await look();
      expect(alive()).toBe(1);
    }
    expect(started()).toBe(13);
  });

  it('that cannot be started again counts as dead', async () => {
    await run('force');
    die();
    const { run: start } = rig.processes;
    rig.processes.run = async (program, args) => {
      await start.call(rig.processes, program, args);
      die();
      return { exit: 1, message: 'no memory' };
    };
    for (let i = 0; i < 12; i++) {
      await look();
      rig.aheadMs += 20_000;
    }
    expect(await now()).toMatchObject({ state: 'failed' });
  });

  it.each(['completed', 'failed'])(
    'that %s by its own word is left alone, and who listens is told once',
    async (state) => {
      const { store } = rig.daemon.context;
      await store.commit({ globals: { ...store.state.globals, webhooks: [{ url: 'http://h/' }] } });
      await run('force');
      leaves(state);
      die();
      for (let i = 0; i < 3; i++) {
        await look();
        rig.aheadMs += 60_000;
        expect(await now()).toMatchObject({ state, movedFiles: 3 });
      }
      expect([started(), alive()]).toEqual([1, 0]);
      const event = state === 'failed' ? 'VOLUME_REBALANCE_FAILED' : 'VOLUME_REBALANCE_COMPLETE';
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(told.filter((one) => one.endsWith('COMPLETE') || one.endsWith('FAILED'))).toEqual([event]);
    },
  );

  it('that was stopped stays so, also if glusterd died before it had said so', async () => {
    await run('force');
    rig.processes.answers = { 'rebalance.stop': { state: 'stopped', ...counts } };
    const { context } = rig.daemon;
    const volume = context.store.state.volumes.get('v')!;
    // All but the commit.
    await context.rebalances.stop(volume, volume.task!);
    expect(alive()).toBe(0);
    await rig.start();
    for (let i = 0; i < 3; i++) {
      rig.aheadMs += 60_000;
      await look();
    }
    expect(started()).toBe(1);
    expect(await now()).toMatchObject({ state: 'stopped' });
  });

  describe('whose pid file is gone', () => {
    const pidFile = () => {
      const words = rig.processes.alive.get(rig.processes.pidsOf('rebalance/v')[0]!)!;
      return words[words.indexOf('-p') + 1]!;
    };
    beforeEach(async () => {
      await run('force');
      rmSync(pidFile());
    });

    it('is the one that goes on, and gets it again', async () => {
      rig.processes.answers = { 'rebalance.status': { state: 'running', ...counts } };
      for (let i = 0; i < 3; i++) {
        await look();
        rig.aheadMs += 10_000;
      }
      expect([started(), alive()]).toEqual([1, 1]);
      expect(await now()).toMatchObject({ state: 'running', movedFiles: 3 });
      expect(readFileSync(pidFile(), 'utf8')).toBe(`${rig.processes.pidsOf('rebalance/v')[0]}\n`);
    });

    it('is recognised by a glusterd that starts anew', async () => {
      await rig.start();
      await look();
      rig.aheadMs += 1000;
      await look();
      expect([started(), alive()]).toEqual([1, 1]);
    });

    it('ends when it is stopped', async () => {
      rig.processes.answers = { 'rebalance.stop': { state: 'stopped', ...counts } };
      await run('stop');
      expect(alive()).toBe(0);
    });

    it('has none beside it when the next task starts', async () => {
      const { store, rebalances } = rig.daemon.context;
      const volume = store.state.volumes.get('v')!;
      const next = { ...volume, task: { ...volume.task!, id: nextId } };
      await store.commit({ volumes: new Map([['v', next]]) });
      await rebalances.start(next);
      expect([started(), alive()]).toEqual([2, 1]);
    });
  });

  it('outlives glusterd, which recognises it; one that died meanwhile is started again', async () => {
    await run('force');
    await rig.start();
    await look();
    expect([started(), alive()]).toEqual([1, 1]);
    die();
    await rig.start();
    await look();
    rig.aheadMs += 1000;
    await look();
    expect([started(), alive()]).toEqual([2, 1]);
  });

  it('of the version before is recognised, asked and seen to', async () => {
    await run('force');
    const { store } = rig.daemon.context;
    const volume = store.state.volumes.get('v')!;
    const { nodes, ...old } = volume.task!;
    await store.commit({ volumes: new Map([['v', { ...volume, task: { ...old, node: Object.keys(nodes!)[0]! } }]]) });
    await rig.disk.files.remove(join(rig.directories.work, 'vols/v/rebalance/task.json'));
    await rig.start();
    rig.processes.answers = { 'rebalance.status': { state: 'running', ...counts } };
    expect(await now()).toMatchObject({
      state: 'running',
      movedFiles: 3,
      nodes: [{ name: 'localhost', movedFiles: 3 }],
    });
    await look();
    expect(started()).toBe(1);
    rig.processes.answers = {};
    leaves('completed');
    die();
    expect(await now()).toMatchObject({ state: 'completed', movedFiles: 3 });
  });

  it('is started when the document that it goes by is here', async () => {
    const { store, rebalances } = rig.daemon.context;
    await run('force');
    rig.processes.answers = { 'rebalance.stop': { state: 'stopped', ...counts } };
    await run('stop');
    const volume = store.state.volumes.get('v')!;
    const later = { ...volume, version: volume.version + 1, task: { ...volume.task!, id: nextId } };
    const starting = rebalances.start(later);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(alive()).toBe(0);
    await store.commit({ volumes: new Map([['v', later]]) });
    await starting;
    expect(alive()).toBe(1);
    const never = rebalances.start({ ...later, version: later.version + 1 });
    const refused = expect(never).rejects.toThrow('is not known here yet');
    await new Promise((resolve) => setTimeout(resolve, 50));
    rig.aheadMs += 11_000;
    await refused;
  });

  it('is in what get-state tells of this node', async () => {
    const state = async () => {
      await rig.done({ verb: 'get-state', file: 'state' });
      return (await rig.disk.files.read(join(rig.directories.run, 'state')))!.match(
        /rebalance\.\w+: .*$|time_left: .*$/gm,
      );
    };
    expect(await state()).toContain('rebalance.status: not_started');
    const { task } = await run('force');
    rig.processes.answers = { 'rebalance.status': { state: 'running', ...counts, secondsLeft: 7 } };
    expect(await state()).toEqual([
      `rebalance.id: ${task.id}`,
      'rebalance.status: started',
      'rebalance.failures: 0',
      'rebalance.skipped: 1',
      'rebalance.lookedup: 9',
      'rebalance.files: 3',
      'rebalance.data: 30Bytes',
      'time_left: 7',
    ]);
    rig.processes.answers = {};
    leaves('failed');
    die();
    expect(await state()).toContain('rebalance.status: failed');
  });

  it('that nobody started although its task says so is started after a while', async () => {
    await run('force');
    const { store } = rig.daemon.context;
    const volume = store.state.volumes.get('v')!;
    die();
    leaves('completed');
    // Another node's operation has committed the next task, and died.
    const task = { ...volume.task!, id: nextId };
    await store.commit({ volumes: new Map([['v', { ...volume, task }]]) });
    await look();
    expect(await now()).toMatchObject({ state: 'running', movedFiles: 0 });
    rig.aheadMs += 89_000;
    await look();
    expect(alive()).toBe(0);
    rig.aheadMs += 2000;
    await look();
    expect(alive()).toBe(1);
  });
});
