/** Nodes with two addresses and two names each: both are the same peer, everywhere, and either will do when the other one is cut. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();
const timeout = 60_000;

describe.skipIf(problem !== null)(`nodes with two addresses${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(3);
  const { nodes } = cluster;
  const [one, two, three] = nodes as [ClusterNode, ClusterNode, ClusterNode];
  const second = (node: ClusterNode) => `10.78.8.${node.index}`;
  const brick = (node: ClusterNode, host: string, name = 'v') => `${host}:${node.at('bricks', name)}`;
  const bricks = [brick(one, 'node1'), brick(two, 'node2b'), brick(three, 'both3')];
  const peersOf = async (node: ClusterNode) => (await node.must('peer', 'status')).split('\n\n').slice(1);
  const states = async (node: ClusterNode) =>
    (await node.must('peer', 'status')).match(/State: .*/g)?.map((line) => line.replace(/.*\((.*)\)/, '$1'));
  /** Silence is noticed after ten seconds: until then a change may find no majority. */
  const eventually = (node: ClusterNode, ...words: string[]) =>
    expect.poll(() => node.gluster(...words), { timeout }).toMatchObject({ exitCode: 0 });
  const allConnected = () =>
    expect
      .poll(async () => (await Promise.all(nodes.map(states))).flat(), { timeout })
      .toEqual(Array.from({ length: 6 }, () => 'Connected'));

  beforeAll(async () => {
    await cluster.start();
    await cluster.addNetwork('10.78.8.');
    for (const node of nodes)
      cluster.addNames(`${node.address} both${node.index}`, `${second(node)} both${node.index}`);
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  it('are probed by one and then by the other, which is another name of the same peer', async () => {
    for (const node of [two, three]) await one.must('peer', 'probe', `node${node.index}`);
    await allConnected();
    for (const node of [two, three]) await one.must('peer', 'probe', `node${node.index}b`);
    await two.must('peer', 'probe', second(one));
    for (const node of [one, three]) {
      await expect.poll(() => peersOf(node), { timeout }).toHaveLength(2);
      const peer = (await peersOf(node)).find((text) => text.includes('Hostname: node2\n'));
      expect(peer?.trimEnd()).toMatch(/State: Peer in Cluster \(Connected\)\nOther names:\nnode2b$/);
    }
    expect(await one.must('peer', 'probe', 'node2b')).toBe('peer probe: Host node2b port 24007 already in peer list\n');
    const hosts = [...(await one.must('pool', 'list')).matchAll(/\t(\S+) *\tConnected/g)].map(([, host]) => host);
    expect(hosts.sort()).toEqual(['localhost', 'node2', 'node3']);
  }, 120_000);

  it('have their bricks by either name', async () => {
    // `both3` was never probed: it is known by its addresses.
    await one.must('volume', 'create', 'v', 'replica', '3', ...bricks, 'force');
    await two.must('volume', 'set', 'v', 'network.ping-timeout', '5');
    await two.must('volume', 'start', 'v');
    const twice = await three.gluster('volume', 'create', 'w', brick(two, 'node2', 'v'), 'force');
    expect(twice).toMatchObject({ exitCode: 1 });
    expect(twice.stderr).toContain('Brick may be containing or be contained by an existing brick.');
    expect(await three.must('volume', 'info', 'v')).toContain(`Brick2: ${bricks[1]}\n`);
    for (const host of ['node2', 'node2b', second(two), two.address]) {
      const status = await three.must('volume', 'status', 'v', brick(two, host));
      expect(status).toMatch(/^Brick node2b:\S+\n\S+\s+\d+\s+0\s+Y\s+\d+\s*$/m);
    }
    const counts = await one.must('volume', 'heal', 'v', 'statistics', 'heal-count', 'replica', brick(two, 'node2'));
    expect(counts.match(/^Number of entries: 0$/gm)).toHaveLength(3);
    // A brick is moved and moved back, named by the other name.
    await one.must(
      'volume',
      'replace-brick',
      'v',
      brick(two, 'node2'),
      brick(two, second(two), 'x'),
      'commit',
      'force',
    );
    const back = [brick(two, 'node2b', 'x'), brick(two, 'node2b', 'y'), 'commit', 'force'];
    await three.must('volume', 'replace-brick', 'v', ...back);
    expect(await two.must('volume', 'info', 'v')).toContain(`Brick2: ${brick(two, 'node2b', 'y')}\n`);
  }, 120_000);

  it('are mounted from by either name, and found again by the other address when one is cut', async () => {
    const place = await three.mount('v', [{ address: 'node2b' }]);
    const other = await one.mount('v', [{ address: two.address }]);
    await three.sh(`echo before > ${place}/f; sync ${place}/f`);
    await cluster.setLink(two, 'down');
    await eventually(two, 'volume', 'set', 'v', 'client.event-threads', '3');
    await allConnected();
    await three.sh(`echo during > ${place}/f; mkdir ${place}/d; sync ${place}/f`);
    expect(await two.sh(`cat ${two.at('bricks/y/f')}; ls ${two.at('bricks/y')}`)).toBe('during\nd\nf\n');
    expect(await one.sh(`cat ${other}/f`)).toBe('during\n');
    expect(await one.must('volume', 'status', 'v')).toMatch(/^Brick node2b:\S+\n\S+\s+\d+\s+0\s+Y\s+\d+\s*$/m);
    await cluster.setLink(two, 'up');
    await cluster.setLink(two, 'down', true);
    await eventually(two, 'volume', 'reset', 'v', 'client.event-threads');
    await allConnected();
    await cluster.setLink(two, 'up', true);
    // A brick that is named by a name of both addresses is reached by the other one.
    await cluster.setLink(three, 'down');
    await expect
      .poll(() => one.sh(`echo again > ${other}/g; cat ${three.at('bricks/v/g')} 2>&1 || true`), { timeout })
      .toBe('again\n');
    await cluster.setLink(three, 'up');
    await expect
      .poll(() => one.must('volume', 'heal', 'v', 'info'), { timeout })
      .toMatch(/node2b:\S+\nStatus: Connected\nNumber of entries: 0\n/);
    for (const [node, at] of [[three, place] as const, [one, other] as const]) await node.sh(`umount ${at}`);
  }, 240_000);

  it('leave by either name', async () => {
    await one.must('volume', 'stop', 'v', 'force');
    await one.must('volume', 'delete', 'v');
    await one.must('peer', 'detach', second(two));
    await expect.poll(() => peersOf(two), { timeout }).toEqual([]);
    await expect.poll(() => peersOf(three), { timeout }).toHaveLength(1);
  }, 60_000);
});
