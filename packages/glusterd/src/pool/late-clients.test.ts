/** Whom a rebalance waits for, in a pool of several nodes. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lateClients } from '../operations/late-clients.ts';
import { Network, PoolNode, until } from '../testing/pool-rig.ts';

let nodes: PoolNode[];
beforeEach(async () => {
  const network = new Network();
  nodes = [1, 2].map((i) => new PoolNode(network, i, 2));
  for (const one of nodes) await one.up();
  const [first, second] = nodes as [PoolNode, PoolNode];
  await first.run({ verb: 'peer.probe', host: second.address });
  await until('both are connected', () =>
    nodes.every((one, i) => one.daemon.context.pool!.isConnected(nodes[1 - i]!.uuid)),
  );
  await first.done(first.createRequest('v', [first.at('a'), second.at('b')]));
  await first.done({ verb: 'volume.start', volume: 'v', force: false });
});
afterEach(async () => {
  for (const one of nodes) {
    await one.daemon.close();
    one.remove();
  }
});

const volume = () => nodes[0]!.daemon.context.store.state.volumes.get('v')!;
const ask = () =>
  lateClients(nodes[0]!.daemon.context, { volumeId: volume().id, placement: 'new', version: 3, fence: true });
const told = (placement: string) => [
  { hostname: '', bytesRead: 0, bytesWritten: 0, opVersion: 1, name: 'glusterfs', host: 'h', processId: 5, placement },
];
const fences = (one: PoolNode) => one.processes.asked.filter(({ method }) => method === 'brick.fencePlacement').length;

it('asks the bricks of all nodes, and names those of nodes that are away', async () => {
  const [first, second] = nodes as [PoolNode, PoolNode];
  first.processes.answers = { 'brick.clients': told('new'), 'brick.fencePlacement': { fenced: true } };
  second.processes.answers = { 'brick.clients': told('old'), 'brick.fencePlacement': { fenced: true } };
  expect(await ask()).toMatchObject({ late: [{ processId: 5 }], isClear: false, unasked: [] });
  expect([fences(first), fences(second)]).toEqual([0, 0]);
  second.processes.answers['brick.clients'] = told('new');
  expect(await ask()).toEqual({ late: [], isClear: true, unasked: [] });
  expect([fences(first), fences(second)]).toEqual([1, 1]);
  await second.down();
  await until('it is away', () => !first.daemon.context.pool!.isConnected(second.uuid));
  expect(await ask()).toMatchObject({ isClear: true, unasked: [expect.stringContaining(second.address)] });
  await second.up();
});

it('tells on each node whom the process of another one waits for', async () => {
  const [first, second] = nodes as [PoolNode, PoolNode];
  const progress = { movedFiles: 0, movedBytes: 0, scanned: 0, failures: 0, skipped: 0, seconds: 2 };
  const waits = [{ program: 'glusterfs', host: 'node7', processId: 5, seconds: 9 }];
  await first.done({ verb: 'volume.rebalance', volume: 'v', operation: 'start' });
  first.processes.answers = { 'rebalance.status': { state: 'running', ...progress }, 'rebalance.waits': waits };
  expect(await second.done({ verb: 'volume.rebalance', volume: 'v', operation: 'status' })).toMatchObject({
    task: { state: 'running' },
    awaited: waits,
  });
});
