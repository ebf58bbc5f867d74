/** A client that was given one server, which goes away: it hears of changes from the others of the pool, and takes nothing older from them. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/cluster.ts';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(`a client whose server is gone${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(4);
  const [first, second, third, client] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode, ClusterNode];
  const brick = (node: ClusterNode, name: string) => `${node.address}:${node.at('bricks', name)}`;

  beforeAll(async () => {
    await cluster.start();
    for (const node of [second, third]) await first.must('peer', 'probe', node.address);
    await first.must('volume', 'create', 'v', brick(second, 'a'), 'force');
    await first.must('volume', 'start', 'v');
  }, 120_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  it('takes the graph with the new bricks from another one, and sees all that is moved to them', async () => {
    const mount = await client.mount('v', [first]);
    await client.sh(`cd ${mount}; mkdir d; touch d/f{1..40}`);
    await first.killGlusterd();
    await eventually('the others agree without it', async () => {
      await second.must('volume', 'add-brick', 'v', brick(third, 'b'), 'force');
      return true;
    });
    await second.must('volume', 'rebalance', 'v', 'start', 'force');
    await eventually('it has ended', async () =>
      /completed/.test(await second.must('volume', 'rebalance', 'v', 'status')),
    );
    expect((await third.sh(`find ${third.at('bricks', 'b')}/d -type f | wc -l`)).trim()).not.toBe('0');
    await eventually('all files are seen', async () => (await client.sh(`ls ${mount}/d | wc -l`)).trim() === '40');
    await client.sh(`cd ${mount}/d; for i in $(seq 40); do stat f$i > /dev/null || exit 1; done`);
  }, 180_000);

  it('does not go back to the graph of one that was away meanwhile, and is all that is left', async () => {
    const log = () => readFileSync(client.at('log/mnt-v.log'), 'utf8');
    for (const node of [second, third]) await node.killGlusterd();
    await first.startGlusterd();
    // By its address or its name: the others tell of both.
    await eventually('it is asked', () => /:24007 is behind/.test(log()));
    await client.sh(`cd ${client.at('mnt/v')}/d; for i in $(seq 40); do stat f$i > /dev/null || exit 1; done`);
    for (const node of [second, third]) await node.startGlusterd();
    const change = ['volume', 'set', 'v', 'performance.io-cache', 'on'];
    await eventually('a change by the one that was away', async () => (await first.gluster(...change)).exitCode === 0);
    await eventually('it is taken', () => /switched to graph [2-9]/.test(log()));
    await client.sh(`cd ${client.at('mnt/v')}/d; for i in $(seq 40); do stat f$i > /dev/null || exit 1; done`);
  }, 180_000);
});
