/** Three nodes with a network of their own: what is agreed on is the same everywhere, whatever dies or is cut off. */

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(`a pool of three nodes${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(3);
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  let mounted = '';

  beforeAll(() => cluster.start(), 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  const connected = async (node: ClusterNode, count: number) =>
    (await node.must('peer', 'status')).match(/\(Connected\)/g)?.length === count;

  const infoIs = (option: string, ...nodes: ClusterNode[]) =>
    nodes.every((node) => node.volumeInfo('v').includes(option));

  async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 60_000; Date.now() < end; await pause(100)) if (await holds()) return;
    throw new Error(`this did not happen: ${what}`);
  }

  async function allConnected(): Promise<void> {
    for (const node of cluster.nodes)
      for (const end = Date.now() + 60_000; !(await connected(node, 2)); )
        if (Date.now() > end) throw new Error(`node${node.index} misses peers: ${await node.must('peer', 'status')}`);
  }

  it('is made by probes', async () => {
    expect(await one.must('peer', 'probe', two.address)).toBe('peer probe: success\n');
    expect(await one.must('peer', 'probe', 'node3')).toBe('peer probe: success\n');
    await allConnected();
    expect(await three.must('pool', 'list')).toContain('\tnode1');
  }, 120_000);

  it('has a volume over all nodes that any node serves', async () => {
    const bricks = cluster.nodes.map((node) => `${node.address}:${node.at('bricks/v')}`);
    await one.must('volume', 'create', 'v', 'replica', '3', ...bricks, 'force');
    await two.must('volume', 'start', 'v');
    const status = await three.must('volume', 'status', 'v');
    expect(status.match(/ Y {7}/g)).toHaveLength(6);
    mounted = await one.mount('v', [three, one]);
    await one.sh(`echo hello > ${mounted}/file`);
    for (const node of cluster.nodes) expect(await node.sh(`cat ${node.at('bricks/v/file')}`)).toBe('hello\n');
  }, 180_000);

  it('is changed while a glusterd is dead, which catches up', async () => {
    await three.killGlusterd();
    await one.must('volume', 'set', 'v', 'network.ping-timeout', '33');
    await one.sh(`echo more >> ${mounted}/file`);
    // Bricks go on without glusterd.
    expect(await three.sh(`cat ${three.at('bricks/v/file')}`)).toBe('hello\nmore\n');
    await three.startGlusterd();
    await eventually('node3 knows the option', () => infoIs('network.ping-timeout=33', one, two, three));
    await allConnected();
  }, 180_000);

  it('goes on without a node that is cut off, which cannot change anything', async () => {
    await cluster.setLink(three, 'down');
    await one.must('volume', 'set', 'v', 'network.ping-timeout', '34');
    expect(infoIs('network.ping-timeout=34', one, two)).toBe(true);
    const alone = await three.gluster('volume', 'set', 'v', 'network.ping-timeout', '35');
    expect(alone.exitCode).toBe(1);
    await cluster.setLink(three, 'up');
    await eventually('node3 knows the option', () => infoIs('network.ping-timeout=34', one, two, three));
    expect(one.volumeInfo('v')).toBe(three.volumeInfo('v'));
  }, 240_000);

  it('is old or new, and the same everywhere, when any glusterd is killed at any moment', async () => {
    for (let round = 0; round < 6; round++) {
      await allConnected();
      const asked = cluster.nodes[round % 3]!;
      const killed = cluster.nodes[(round + Math.floor(round / 3)) % 3]!;
      const set = asked.gluster('volume', 'set', 'v', 'network.ping-timeout', `${50 + round}`);
      await pause(100 + 60 * round);
      await killed.killGlusterd();
      await set;
      await killed.startGlusterd();
    }
    await allConnected();
    // What was left undecided is finished, or not, by whoever takes the lock next.
    await eventually('a last change is made', async () => {
      return (await two.gluster('volume', 'set', 'v', 'network.ping-timeout', '60')).exitCode === 0;
    });
    const same = () => new Set(cluster.nodes.map((node) => node.volumeInfo('v'))).size === 1;
    await eventually('equal files', () => same() && infoIs('network.ping-timeout=60', one, two, three));
    await one.sh(`echo on >> ${mounted}/file`);
  }, 240_000);

  it('loses a volume and a node', async () => {
    await allConnected();
    await one.sh(`umount ${mounted}`);
    await three.must('volume', 'stop', 'v');
    await two.must('volume', 'delete', 'v');
    expect(await one.must('peer', 'detach', 'node3')).toBe('peer detach: success\n');
    expect(await three.must('peer', 'status')).toBe('Number of Peers: 0\n');
    expect(await two.must('pool', 'list')).not.toContain('node3');
  }, 180_000);
});
