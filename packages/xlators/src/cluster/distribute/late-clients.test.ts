import type { Log } from '@mortar/core';
import { ManualClock, settle } from '@mortar/rpc/test-rig.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Census, LateClients } from './late-clients.ts';

const mount = { program: 'glusterfs', host: 'node7', processId: 11 };
const library = { program: 'glusterfs', host: 'node8', processId: 12 };
const clear: Census = { late: [], isClear: true, unasked: [] };
const late = (...clients: (typeof mount)[]): Census => ({ late: clients, isClear: false, unasked: [] });

let clock: ManualClock;
let lines: string[];
let census: Census | Error;
let asked: number[];

beforeEach(() => {
  clock = new ManualClock();
  lines = [];
  asked = [];
  census = clear;
});

function clients(leavesBehind = false): LateClients {
  const log: Log = { level: 'INFO', setLevel: () => undefined, write: (_level, _origin, text) => lines.push(text) };
  const ask = async () => {
    asked.push(clock.nowMs());
    if (census instanceof Error) throw census;
    return census;
  };
  return new LateClients({ clock, log, name: 'v-dht', ask, leavesBehind });
}

async function begin(one: LateClients): Promise<{ hasBegun: boolean }> {
  const state = { hasBegun: false };
  void one.begin().then(() => {
    state.hasBegun = true;
  });
  await settle();
  return state;
}

describe('a rebalance', () => {
  it('begins with the first look when nobody is late, and says nothing', async () => {
    expect(await begin(clients())).toEqual({ hasBegun: true });
    expect([asked, lines]).toEqual([[0], []]);
  });

  it('waits as long as it takes, looks less and less often, and says for whom', async () => {
    census = late(mount, library);
    const one = clients();
    const state = await begin(one);
    await clock.advance(200_000);
    expect(state.hasBegun).toBe(false);
    expect(asked.slice(0, 7)).toEqual([0, 100, 300, 700, 1500, 3100, 5100]);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toContain('glusterfs 11 on node7, for 0 s; glusterfs 12 on node8, for 0 s');
    expect(one.awaited()).toEqual([
      { ...mount, seconds: 200 },
      { ...library, seconds: 200 },
    ]);
    census = late(library);
    await clock.advance(2000);
    expect(lines.at(-1)).toContain('graph: glusterfs 12 on node8, for 2');
    census = clear;
    await clock.advance(2000);
    expect([state.hasBegun, lines.at(-1), one.awaited()]).toEqual([
      true,
      'rebalance: all clients have the present graph',
      [],
    ]);
  });

  it('rests when one comes later, and goes on when it has gone', async () => {
    const one = clients();
    await begin(one);
    await clock.advance(5000);
    expect(one.pass()).toBeUndefined();
    census = late(mount);
    await clock.advance(5000);
    let isOver = false;
    void one.pass()!.then(() => {
      isOver = true;
    });
    await clock.advance(10_000);
    expect(isOver).toBe(false);
    census = clear;
    await clock.advance(2000);
    expect([isOver, one.pass()]).toEqual([true, undefined]);
  });

  it('does not begin as long as nobody can say, and goes on if that is so later', async () => {
    census = new Error('glusterd is away');
    const one = clients();
    const state = await begin(one);
    await clock.advance(5000);
    expect([state.hasBegun, lines]).toEqual([
      false,
      ['rebalance: it is not known whether clients have the present graph: glusterd is away'],
    ]);
    census = clear;
    await clock.advance(2000);
    expect(state.hasBegun).toBe(true);
    census = new Error('glusterd is away');
    await clock.advance(10_000);
    expect(one.pass()).toBeUndefined();
  });

  it.each(['before it begins', 'while it rests'])('is ended at once %s', async (when) => {
    const one = clients();
    if (when === 'before it begins') census = late(mount);
    const state = await begin(one);
    census = late(mount);
    await clock.advance(6000);
    let isOver = when === 'before it begins';
    void one.pass()?.then(() => {
      isOver = true;
    });
    one.end();
    await settle();
    expect([state.hasBegun, isOver, one.pass()]).toEqual([true, true, undefined]);
    const before = asked.length;
    await clock.advance(60_000);
    expect(asked.length).toBe(before);
  });

  it('is ended at once while a look hangs', async () => {
    const log: Log = { level: 'INFO', setLevel: () => undefined, write: () => undefined };
    const one = new LateClients({ clock, log, name: 'd', ask: () => new Promise(() => undefined) });
    const state = await begin(one);
    one.end();
    await settle();
    expect(state.hasBegun).toBe(true);
  });

  it('says once which bricks cannot be asked', async () => {
    census = { ...clear, unasked: ['h:/b'] };
    await begin(clients());
    await clock.advance(20_000);
    expect(lines).toEqual([expect.stringContaining('h:/b cannot be asked')]);
  });

  it('that is forced waits for nobody, and says whom it leaves behind', async () => {
    census = late(mount);
    const one = clients(true);
    expect(await begin(one)).toEqual({ hasBegun: true });
    expect(lines).toEqual([expect.stringContaining('is not waited for')]);
    expect(lines[0]).toContain('glusterfs 11 on node7');
    await clock.advance(60_000);
    expect([asked, one.awaited()]).toEqual([[0], []]);
  });
});
