import { describe, expect, it } from 'vitest';
import { equal, fourNodes, network, node, nodes, pool } from '../testing/four-nodes-rig.ts';
import { until } from '../testing/pool-rig.ts';
import { needed } from './server-quorum.ts';

fourNodes();

describe('the quorum of servers', () => {
  it('is more than half, or as many as the ratio says', () => {
    expect([2, 3, 4, 5].map((members) => needed(members, undefined))).toEqual([2, 2, 3, 3]);
    expect([2, 3, 4, 5].map((members) => needed(members, '51%'))).toEqual([2, 2, 3, 3]);
    expect([needed(3, '90%'), needed(3, '30'), needed(3, '0%')]).toEqual([3, 1, 0]);
  });

  /** Three nodes with a started volume that asks for the quorum. */
  async function guarded() {
    const members = await pool(3);
    await node(1).create(
      'v',
      [1, 2, 3].map((i) => node(i).at('v')),
      { type: 'replicate', replica: 3 },
    );
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    const pairs = [{ key: 'cluster.server-quorum-type', value: 'server' }];
    await node(1).done({ verb: 'volume.set', volume: 'v', pairs });
    await equal(members);
    return members;
  }

  it('stops the bricks of a node that is cut off, and starts them again', async () => {
    const members = await guarded();
    const bricks = () => members.map((one) => one.processes.pidsOf(`${one.root}/v`).length);
    network.cut(node(3).address);
    await until('node 3 serves nothing', () => bricks().join() === '1,1,0');
    const set = { verb: 'volume.set' as const, volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '9' }] };
    expect(await node(3).refusal(set)).toBe('Quorum not met. Volume operation not allowed.');
    network.mend(node(3).address);
    await until('node 3 serves again', () => bricks().join() === '1,1,1');
  }, 60_000);

  it('is waited for by a glusterd that is started anew, before it starts bricks', async () => {
    await guarded();
    const { processes } = node(3);
    const bricks = () => processes.pidsOf('--brick-port');
    const upAndCutOff = async () => {
      network.cut(node(3).address);
      await node(3).up();
      await new Promise((resolve) => setTimeout(resolve, 500));
    };
    const [brick] = bricks();
    await node(3).down();
    await upAndCutOff();
    expect(bricks()).toEqual([brick]);
    await node(3).down();
    processes.die(brick!);
    await upAndCutOff();
    expect(bricks()).toEqual([]);
    network.mend(node(3).address);
    await until('its brick runs', () => bricks().length === 1);
  }, 60_000);
});

describe('the cluster lock', () => {
  it('goes with the connection that it was taken over', async () => {
    await pool(3);
    await make3();
    const { connections, id } = node(2).daemon.context.pool!;
    const ballot = { round: 1000, node: node(2).uuid };
    const said = { pool: id, from: node(2).uuid, params: { ballot, operation: 'nothing', lifeMs: 60_000 } };
    expect(await connections.callOnce(node(1).address, 'pool.lock', said)).toMatchObject({ granted: true });
    const set = { verb: 'volume.set' as const, volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '9' }] };
    await until('node 1 has its lock back', async () => (await node(1).run(set)).ok);
  });

  it('is shown and broken on every node', async () => {
    await pool(3);
    await make3();
    const release = await heldByNode1();
    const show = async (index: number) => (await node(index).done({ verb: 'system.lock.show' })).locks;
    const lock = { subject: 'cluster', uuid: node(1).uuid, operation: 'volume set v' };
    await until('the lock is taken', async () => (await show(2)).length === 1);
    expect(await show(2)).toMatchObject([{ ...lock, hostname: 'node1' }]);
    expect(await show(1)).toMatchObject([{ ...lock, hostname: 'localhost' }]);
    expect(await set(2, '8')).toMatchObject({ ok: false });
    expect((await node(3).done({ verb: 'system.lock.break' })).locks).toMatchObject([lock]);
    expect(await show(2)).toEqual([]);
    // On the node of the broken operation, too, others go on.
    for (const index of [1, 2]) expect(await set(index, `1${index}`)).toMatchObject({ ok: true });
    expect(await release()).toMatchObject({
      ok: false,
      error: { text: expect.stringContaining('lock of this operation was broken') },
    });
    await equal(nodes.slice(0, 3));
    expect(node(1).daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBe('12');
  });

  it('of a node that is alone keeps a broken holder from committing, too', async () => {
    await make3();
    const release = await heldByNode1();
    expect((await node(1).done({ verb: 'system.lock.show' })).locks).toMatchObject([
      { subject: 'v', hostname: 'localhost', operation: 'volume set v', ageSeconds: 0, expiresInSeconds: 180 },
    ]);
    expect((await node(1).done({ verb: 'system.lock.break' })).locks).toHaveLength(1);
    expect(await release()).toMatchObject({ ok: false });
    expect((await node(1).done({ verb: 'system.lock.show' })).locks).toEqual([]);
    expect(node(1).daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBeUndefined();
  });

  const set = (index: number, value: string) =>
    node(index).run({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value }] });

  /** An operation of node 1 that has the lock and waits, in a hook, until it is let go. */
  async function heldByNode1() {
    const { hooks } = node(1).daemon.context;
    const run = hooks.run.bind(hooks);
    let go = () => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    let began = () => {};
    const begun = new Promise<void>((resolve) => {
      began = resolve;
    });
    hooks.run = async () => {
      hooks.run = run;
      began();
      await held;
    };
    const late = set(1, '7');
    await begun;
    return () => {
      go();
      return late;
    };
  }

  const make3 = () => node(1).create('v', [node(1).at('v')]);
});
