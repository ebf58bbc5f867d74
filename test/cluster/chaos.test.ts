/**
 * Five nodes, random verbs at random nodes while glusterds are killed, hang or are cut off: at the end all have the same
 * documents, everything that was acknowledged is there, and the bricks that run are those that should.
 * MORTAR_CHAOS_ROUNDS and MORTAR_CHAOS_SEED run more or others; what was done is printed when a check fails, or with
 * MORTAR_CHAOS_TRACE=1.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Chaos } from '../support/chaos.ts';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();
const rounds = Number(process.env.MORTAR_CHAOS_ROUNDS ?? 2);
const seed = Number(process.env.MORTAR_CHAOS_SEED ?? 7);

describe.skipIf(problem !== null)(`a pool of five nodes${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(5);
  const one = cluster.nodes[0]!;
  const lines: string[] = [];
  const chaos = new Chaos(cluster, seed, (text) => lines.push(`${new Date().toISOString().slice(11, 23)} ${text}`));

  beforeAll(async () => {
    await cluster.start();
    for (const node of cluster.nodes.slice(1)) await one.must('peer', 'probe', `node${node.index}`);
    const bricks = cluster.nodes.slice(0, 2).map((node) => `${node.address}:${node.at('bricks/keep')}`);
    await one.must('volume', 'create', 'keep', ...bricks, 'force');
    await one.must('volume', 'start', 'keep');
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);

  async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 90_000; Date.now() < end; await pause(200)) if (await holds()) return;
    throw new Error(`this did not happen: ${what}`);
  }

  const equal = () => new Set(cluster.nodes.map((node) => node.documents())).size === 1;

  /** Directories of the bricks of started volumes. */
  function wanted(node: ClusterNode): string[] {
    const infos = node
      .documents()
      .split(/^type=/m)
      .slice(1);
    const started = infos.filter((info) => /^status=1$/m.test(info));
    const bricks = started.flatMap((info) => [...info.matchAll(/^brick-\d+=([^:]+):(\S+)$/gm)]);
    return bricks
      .filter(([, host]) => host === node.address)
      .map(([, , path]) => path!.replaceAll('-', '/'))
      .sort();
  }

  async function settled(): Promise<void> {
    await eventually('the guest is a member', async () => {
      const { exitCode } = await chaos.ask(one, ['peer', 'probe', 'node5']);
      return exitCode === 0;
    });
    await eventually('all are connected', async () => {
      const shown = await Promise.all(cluster.nodes.map((node) => node.gluster('peer', 'status')));
      return shown.every(({ stdout }) => stdout.match(/\(Connected\)/g)?.length === 4);
    });
    const node = chaos.random.pick(cluster.nodes);
    await eventually('a change is made', async () => {
      const { exitCode } = await chaos.ask(node, ['volume', 'set', 'keep', 'network.ping-timeout', '33']);
      return exitCode === 0;
    });
    await eventually('equal documents', equal);
    for (const one of cluster.nodes)
      await eventually(`node${one.index} runs ${wanted(one)}`, async () => {
        const running = (await one.bricks()).map((path) => path.replaceAll('-', '/'));
        return running.join() === wanted(one).join();
      });
  }

  it(`agrees after ${rounds} rounds of seed ${seed}`, async () => {
    const begin = Date.now();
    try {
      for (let round = 1; round <= rounds; round++) {
        lines.push(`round ${round}`);
        await chaos.round();
        await settled();
        for (const kept of chaos.acknowledged) expect(one.volumeInfo('keep')).toContain(kept);
      }
      for (const { words, exitCode, said, ms } of chaos.outcomes) {
        expect([words, (exitCode !== null && exitCode <= 1) || exitCode === 255, said]).toEqual([words, true, said]);
        expect([words, ms < 60_000]).toEqual([words, true]);
      }
      for (const node of cluster.nodes) {
        const log = readFileSync(node.at('log/glusterd.log'), 'utf8').split('\n');
        const bugs = log.filter((line) => /TypeError|RangeError|AssertionError|failed unnoticed/.test(line));
        expect([node.index, bugs]).toEqual([node.index, []]);
      }
    } catch (error) {
      console.error(lines.join('\n'));
      for (const node of cluster.nodes) {
        console.error(`--- node${node.index}: ${await node.bricks()}\n${node.documents()}`);
        console.error(readFileSync(node.at('log/glusterd.log'), 'utf8').slice(-12_000));
      }
      throw error;
    }
    if (process.env.MORTAR_CHAOS_TRACE) console.log(lines.join('\n'));
    const failed = chaos.outcomes.filter(({ exitCode }) => exitCode !== 0).length;
    const slowest = Math.max(...chaos.outcomes.map(({ ms }) => ms));
    console.log(
      `${rounds} rounds of seed ${seed} in ${Math.round((Date.now() - begin) / 1000)} s: ${chaos.outcomes.length} verbs, ` +
        `${failed} refused, ${chaos.acknowledged.size} kept; the slowest took ${slowest} ms`,
    );
  }, 3_600_000);
});
