/** Three nodes: one that hangs, one that was installed anew, names that nobody resolves. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();
/** Silence of a peer is noticed in 10 s; the rest is for a machine that is busy. */
const mostMs = 20_000;

describe.skipIf(problem !== null)(`a pool of three nodes in trouble${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(3);
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];

  beforeAll(async () => {
    await cluster.start();
    await one.must('peer', 'probe', 'node2');
    await one.must('peer', 'probe', 'node3');
    await allConnected();
    const bricks = cluster.nodes.map((node) => `node${node.index}:${node.at('bricks/v')}`);
    await one.must('volume', 'create', 'v', 'replica', '3', ...bricks, 'force');
    await one.must('volume', 'start', 'v');
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 60_000; Date.now() < end; await pause(100)) if (await holds()) return;
    throw new Error(`this did not happen: ${what}`);
  }

  async function allConnected(): Promise<void> {
    for (const node of cluster.nodes)
      await eventually(
        `node${node.index} has two peers`,
        async () => ((await node.must('peer', 'status')).match(/\(Connected\)/g) ?? []).length === 2,
      );
  }

  const set = (node: ClusterNode, value: number) =>
    node.gluster('volume', 'set', 'v', 'network.ping-timeout', `${value}`);

  const infoIs = (value: number, ...nodes: ClusterNode[]) =>
    nodes.every((node) => node.volumeInfo('v').includes(`network.ping-timeout=${value}`));

  async function timed<T>(work: Promise<T>): Promise<{ ms: number; result: T }> {
    const begin = Date.now();
    const result = await work;
    return { ms: Date.now() - begin, result };
  }

  it('waits for a glusterd that hangs no longer than until its silence is noticed, and not at all to look', async () => {
    await three.signalGlusterd('STOP');
    const setting = timed(set(one, 31));
    const asking = timed(two.must('volume', 'status', 'v'));
    const looks = [];
    for (let i = 0; i < 3; i++)
      for (const node of [one, two]) {
        looks.push((await timed(node.must('volume', 'info'))).ms);
        looks.push((await timed(node.must('peer', 'status'))).ms);
      }
    const { ms, result } = await setting;
    // What it would have said is left out.
    const status = await asking;
    expect(status.result).not.toContain(`node3:${three.at('bricks/v')}`);
    expect(status.ms).toBeLessThan(mostMs);
    console.log(
      `a change past a glusterd that hangs took ${ms} ms; looking meanwhile at most ${Math.max(...looks)} ms`,
    );
    expect([result.exitCode, result.stderr]).toEqual([0, '']);
    expect(ms).toBeLessThan(mostMs);
    expect(Math.max(...looks)).toBeLessThan(5000);
    // By now everybody knows.
    await eventually('node2 misses node3', async () => (await two.must('peer', 'status')).includes('(Disconnected)'));
    expect((await set(two, 32)).exitCode).toBe(0);
    await three.signalGlusterd('CONT');
    await eventually('node3 has followed', () => infoIs(32, one, two, three));
    await allConnected();
  }, 180_000);

  it('takes the lock from an operation that does not end', async () => {
    const hook = one.at('lib/hooks/1/set/pre/S10-wait.sh');
    // The first operation waits until it is let go; others pass.
    const gate = one.at('waiting');
    const script = `#!/bin/sh\nmkdir ${gate} || exit 0\nwhile [ -e ${gate} ]; do sleep 0.1; done\n`;
    writeFileSync(hook, script, { mode: 0o755 });
    const late = set(one, 40);
    await eventually('the operation waits', () => existsSync(gate));
    const shown = await two.must('system::', 'lock', 'show');
    expect(shown).toMatch(/^Lock: cluster\nHolder: node1 \([-0-9a-f]{36}\)\nOperation: volume set v\nAge: \d+ s\n/);
    const refused = await set(three, 41);
    expect(refused.stderr).toContain('Another transaction is in progress for the cluster');
    const broken = await two.must('system::', 'lock', 'break');
    expect(broken).toMatch(/^lock break: success\nTaken from node1: volume set v, after \d+ s\n$/);
    expect((await set(three, 42)).exitCode).toBe(0);
    rmSync(gate, { recursive: true });
    const lost = await late;
    expect([lost.exitCode, lost.stderr]).toEqual([1, expect.stringContaining('lock of this operation was broken')]);
    await eventually('all are equal', () => infoIs(42, one, two, three));
    rmSync(hook);
  }, 180_000);

  it('takes a node back that was installed anew under its old uuid', async () => {
    await three.killGlusterd();
    three.installAnew();
    expect((await set(two, 33)).exitCode).toBe(0);
    await three.startGlusterd();
    await eventually('node3 knows the volume', () => infoIs(33, three));
    await allConnected();
    expect(three.volumeInfo('v')).toBe(one.volumeInfo('v'));
    expect((await set(three, 34)).exitCode).toBe(0);
    await eventually('all are equal', () => infoIs(34, one, two, three));
    const status = await three.must('volume', 'status', 'v');
    expect(status.match(/ Y {7}/g)).toHaveLength(6);
  }, 180_000);

  it('waits for names that nobody knows for a bounded time, and goes on without a name server', async () => {
    for (const node of cluster.nodes) {
      writeFileSync(node.at('resolv.conf'), 'nameserver 10.78.7.200\n');
      writeFileSync(node.at('nsswitch.conf'), 'hosts: dns\n');
      await node.sh(
        `mount --bind ${node.at('resolv.conf')} /etc/resolv.conf; mount --bind ${node.at('nsswitch.conf')} /etc/nsswitch.conf`,
      );
    }
    const probing = timed(one.gluster('peer', 'probe', 'nosuch.example.org'));
    const looks = [];
    for (let i = 0; i < 4; i++) looks.push((await timed(one.must('volume', 'info'))).ms);
    const { ms, result } = await probing;
    expect(result.stderr).toBe('peer probe: failed: Probe returned with Transport endpoint is not connected\n');
    const creating = await timed(two.gluster('volume', 'create', 'w', 'nosuch.example.org:/b', 'force'));
    expect(creating.result.exitCode).toBe(1);
    console.log(
      `a name that nobody knows: probe ${ms} ms, create ${creating.ms} ms, looking at most ${Math.max(...looks)} ms`,
    );
    expect(Math.max(ms, creating.ms)).toBeLessThan(mostMs);
    expect(Math.max(...looks)).toBeLessThan(5000);
    // Peers find each other by the addresses that their names had.
    await two.killGlusterd();
    await two.startGlusterd();
    await allConnected();
    const again = await timed(set(two, 35));
    expect(again.result.exitCode).toBe(0);
    expect(again.ms).toBeLessThan(mostMs);
  }, 180_000);
});
