/** A task of a volume whose bricks are on several nodes: a process on each of them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Network, PoolNode, until } from '../testing/pool-rig.ts';

let network: Network;
let nodes: PoolNode[];
const node = (index: number) => nodes[index - 1]!;

const counts = (movedFiles: number) => ({ movedFiles, movedBytes: 1, scanned: 2, failures: 0, skipped: 0, seconds: 1 });

beforeEach(async () => {
  network = new Network();
  nodes = [1, 2, 3, 4].map((i) => new PoolNode(network, i, 4));
  for (const one of nodes) await one.up();
  for (const i of [2, 3, 4]) await node(1).done({ verb: 'peer.probe', host: node(i).address });
  await until('all peers are connected', () =>
    nodes.every((one) => nodes.every(({ uuid }) => one.daemon.context.pool!.isConnected(uuid))),
  );
  // The last one has no brick.
  const bricks = [1, 2, 3].flatMap((i) => [node(i).at('a'), node(i).at('b')]);
  await node(1).done({ ...node(1).createRequest('v', bricks), force: true });
  await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
  await until('all know the volume', () => new Set(nodes.map((one) => one.documents())).size === 1);
  for (const [i, one] of nodes.entries())
    one.processes.answers = {
      'rebalance.status': { state: 'running', ...counts(i + 1) },
      'rebalance.stop': { state: 'stopped', ...counts(10 * (i + 1)) },
    };
}, 30_000);

afterEach(async () => {
  for (const one of nodes) {
    await one.daemon.close();
    one.remove();
  }
});

const run = (from: number, operation: 'force' | 'fix-layout' | 'stop' | 'status') =>
  node(from).done({ verb: 'volume.rebalance', volume: 'v', operation });
const refused = (from: number, operation: 'force' | 'stop') =>
  node(from).refusal({ verb: 'volume.rebalance', volume: 'v', operation });
const alive = () => nodes.map((one) => one.processes.pidsOf('rebalance/v').length);
const rowsFrom = async (from: number) => {
  const { task } = await run(from, 'status');
  return task.nodes.map(({ name, state, movedFiles }) => [name, state, movedFiles]);
};

it('starts on each node with its share, tells of each, the asked one last, and stops on all', async () => {
  const { task } = await run(2, 'force');
  expect(alive()).toEqual([1, 1, 1, 0]);
  const shares = nodes.map(({ processes }) => {
    const found = processes.ran.find(({ args }) => args.includes('rebalance/v'));
    return found?.args.find((word) => word.startsWith('*dht.rebalance-share='))?.split('=')[1];
  });
  expect(shares).toEqual(['0:0/1,1:0/1', '2:0/1,3:0/1', '4:0/1,5:0/1', undefined]);
  expect([task.nodeCount, task.nodes.length]).toEqual([4, 3]);
  const names = [1, 2, 3].map((i) => node(2).daemon.context.pool!.nameOf(node(i).uuid));
  expect(await rowsFrom(2)).toEqual(
    [
      [names[0], 'running', 1],
      [names[2], 'running', 3],
    ]
      .sort()
      .concat([['localhost', 'running', 2]]),
  );
  // From a node without bricks.
  const { task: seen } = await run(4, 'status');
  expect(seen.nodes.map(({ name }) => name)).not.toContain('localhost');
  expect(seen).toMatchObject({ state: 'running', movedFiles: 6, scanned: 6 });
  const { task: stopped } = await run(3, 'stop');
  expect(stopped).toMatchObject({ state: 'stopped', movedFiles: 60 });
  expect(alive()).toEqual([0, 0, 0, 0]);
  expect((await run(1, 'status')).task).toMatchObject({ state: 'stopped', movedFiles: 60 });
}, 30_000);

it('does not start at all when one node cannot start its process, and says which', async () => {
  const { processes } = node(3);
  const start = processes.run.bind(processes);
  processes.run = async (program, args) =>
    args.includes('rebalance/v') ? { exit: 1, message: 'no memory' } : start(program, args);
  expect(await refused(1, 'force')).toMatch(
    /^(node3|10\.9\.0\.3): the rebalance process of v did not start: no memory$/,
  );
  expect(alive()).toEqual([0, 0, 0, 0]);
  expect(node(1).daemon.context.store.state.volumes.get('v')!.task).toBeUndefined();
  const removal = {
    verb: 'volume.remove-brick',
    volume: 'v',
    action: 'start',
    bricks: [node(2).at('a'), node(3).at('a')],
  } as const;
  expect(await node(1).refusal({ ...removal, bricks: [...removal.bricks] })).toMatch(/did not start: no memory$/);
  expect(alive()).toEqual([0, 0, 0, 0]);
  const { task, bricks } = node(1).daemon.context.store.state.volumes.get('v')!;
  expect([task, bricks.filter((brick) => brick.decommissioned)]).toEqual([undefined, []]);
  processes.run = start;
  await node(1).done({ ...removal, bricks: [...removal.bricks] });
  // Those that have what leaves.
  expect(alive()).toEqual([0, 1, 1, 0]);
}, 30_000);

it('tells what was known of a node that cannot be reached, and is not stopped behind its back', async () => {
  await run(1, 'force');
  await run(1, 'status');
  await node(2).down();
  await until('it is missed', () => !node(1).daemon.context.pool!.isConnected(node(2).uuid));
  const rows = await rowsFrom(1);
  expect(rows.find(([, , moved]) => moved === 2)).toMatchObject([expect.stringMatching(/2$/), 'running', 2]);
  expect(await refused(1, 'stop')).toMatch(/^Host \S+2 not connected$/);
  expect(alive()).toEqual([1, 1, 1, 0]);
  await node(2).up();
  await until('it is back', () => node(1).daemon.context.pool!.isConnected(node(2).uuid));
  expect((await run(1, 'stop')).task).toMatchObject({ state: 'stopped', movedFiles: 60 });
  expect(await refused(1, 'stop').catch((error: Error) => error.message)).toMatch(/not refused/);
}, 30_000);

it('is refused when nobody can look after some bricks', async () => {
  await node(3).down();
  await until('it is missed', () => !node(1).daemon.context.pool!.isConnected(node(3).uuid));
  expect(await refused(1, 'force')).toBe(`Host ${node(3).address} not connected`);
  expect(alive()).toEqual([0, 0, 0, 0]);
  await node(3).up();
}, 30_000);

it('takes no bricks away whose node is down, neither at the start nor at the end', async () => {
  const leaving = { verb: 'volume.remove-brick', volume: 'v', bricks: [node(2).at('a')] } as const;
  const down = async () => {
    await node(2).down();
    await until('it is missed', () => !node(1).daemon.context.pool!.isConnected(node(2).uuid));
  };
  const isDown = `Host node of the brick ${node(2).at('a')} is down`;
  await down();
  expect(await node(1).refusal({ ...leaving, bricks: [...leaving.bricks], action: 'start' })).toBe(isDown);
  await node(2).up();
  await until('it is back', () => node(1).daemon.context.pool!.isConnected(node(2).uuid));
  await node(1).done({ ...leaving, bricks: [...leaving.bricks], action: 'start' });
  node(2).processes.answers = { 'rebalance.status': { state: 'completed', ...counts(1) } };
  await node(1).done({ ...leaving, bricks: [...leaving.bricks], action: 'status' });
  await down();
  expect(await node(1).refusal({ ...leaving, bricks: [...leaving.bricks], action: 'commit' })).toBe(isDown);
  await node(1).done({ ...leaving, bricks: [...leaving.bricks], action: 'force' });
  await node(2).up();
}, 30_000);

it('has no process left where the node that starts them dies before that is agreed on', async () => {
  let go = () => {};
  node(3).processes.gate = new Promise((resolve) => {
    go = resolve;
  });
  const starting = run(2, 'force').catch(() => undefined);
  await until('node 1 moves files', () => alive()[0] === 1);
  await node(2).down();
  go();
  await starting;
  await until('nobody does', () => alive()[0] === 0 && alive()[2] === 0);
  await node(2).up();
  await until('node 2 is met', () => node(1).daemon.context.pool!.isConnected(node(2).uuid));
  await run(1, 'force');
  expect(alive()[0]).toBe(1);
  // Agreed on, they are no longer the matter of who had them started.
  await node(1).down();
  await new Promise((resolve) => setTimeout(resolve, 4000));
  expect(alive()[2]).toBe(1);
  await node(1).up();
}, 40_000);

it('keeps its end without undoing what an operation has changed while the lock was waited for', async () => {
  await run(1, 'force');
  for (const one of nodes) one.processes.answers = { 'rebalance.status': { state: 'completed', ...counts(1) } };
  mkdirSync(`${node(1).directories.work}/hooks/1/set/pre`, { recursive: true });
  writeFileSync(`${node(1).directories.work}/hooks/1/set/pre/S10-slow`, '');
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const { processes } = node(1);
  const start = processes.run.bind(processes);
  processes.run = async (program, args) => {
    if (program.endsWith('S10-slow')) await gate;
    return start(program, args);
  };
  const pairs = [{ key: 'network.ping-timeout', value: '33' }];
  const setting = node(1).done({ verb: 'volume.set', volume: 'v', pairs });
  await until('node 1 has the lock', async () => (await node(2).daemon.context.pool!.holders()).length === 1);
  const looking = run(2, 'status');
  await new Promise((resolve) => setTimeout(resolve, 500));
  go();
  await setting;
  expect((await looking).task.state).toBe('completed');
  await until(
    'its end is kept',
    () => node(2).daemon.context.store.state.volumes.get('v')!.task!.state === 'completed',
  );
  for (const { daemon } of nodes)
    expect(daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBe('33');
}, 30_000);
