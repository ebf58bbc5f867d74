/** Nodes that know each other by IPv6 addresses alone: a pool, bricks, mounts, and a heal. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(`nodes with IPv6${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(3);
  const { nodes } = cluster;
  const [one, two, three] = nodes as [ClusterNode, ClusterNode, ClusterNode];
  const addressOf = (node: ClusterNode) => `fd78:7::${node.index}`;
  const brickOf = (node: ClusterNode) => `${addressOf(node)}:${node.at('bricks/v')}`;

  beforeAll(async () => {
    await cluster.start();
    for (const node of nodes) {
      await node.killGlusterd();
      await node.sh(
        `sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip -6 addr add ${addressOf(node)}/64 dev eth0 nodad; ip -4 addr flush dev eth0`,
      );
      await node.startGlusterd({ 'transport.socket.bind-address': '::' });
    }
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  it('make a pool', async () => {
    for (const node of [two, three]) await one.must('peer', 'probe', addressOf(node));
    for (const node of nodes) {
      const status = await node.must('peer', 'status');
      expect(status).toContain('Number of Peers: 2');
      expect(status.match(/State: Peer in Cluster \(Connected\)/g)).toHaveLength(2);
    }
    expect(await two.must('pool', 'list')).toContain(addressOf(one));
  }, 60_000);

  it('serve a volume, which lives on without one of its bricks, and heals', async () => {
    await one.must('volume', 'create', 'v', 'replica', '3', ...nodes.map(brickOf), 'force');
    await one.must('volume', 'set', 'v', 'transport.address-family', 'inet6');
    await two.must('volume', 'start', 'v');
    expect(await three.must('volume', 'info', 'v')).toContain(`Brick2: ${brickOf(two)}`);
    const place = await three.mount('v', [{ address: addressOf(one) }]);
    await three.sh(`echo before > ${place}/f; sync ${place}/f`);
    const status = await two.must('volume', 'status', 'v', brickOf(two), '--xml');
    await two.sh(`kill -9 ${/<pid>(\d+)<\/pid>/.exec(status)![1]}`);
    await three.sh(`echo after > ${place}/f; mkdir ${place}/d; test "$(cat ${place}/f)" = after`);
    await one.must('volume', 'start', 'v', 'force');
    await expect
      .poll(() => two.sh(`cat ${two.at('bricks/v/f')}; ls -d ${two.at('bricks/v/d')} || true`), { timeout: 60_000 })
      .toBe(`after\n${two.at('bricks/v/d')}\n`);
    await three.sh(`umount ${place}`);
    await one.must('volume', 'stop', 'v', 'force');
  }, 180_000);
});
