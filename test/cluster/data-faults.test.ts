/**
 * Three machines with a disk each hold a replica 3 volume, a fourth works on it while one of the three suffers: its brick is
 * killed or hangs, its network fails in one or both directions, its disk hangs, is full or read-only, or it loses its power with
 * all that was not synced. Nothing may be refused, since two are there at any time; when all is healed everything that was
 * acknowledged is there, and the three bricks are the same.
 * MORTAR_FAULT_ROUNDS and MORTAR_FAULT_SEED run more or others; a round is each fault once, at machines drawn from the seed.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  contentsOf,
  DiskNode,
  disksImpossible,
  faultsOf,
  requestKinds,
  Worker,
  type WorkKind,
  workKinds,
} from '../support/data-faults.ts';
import { Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible() ?? disksImpossible();
const rounds = Number(process.env.MORTAR_FAULT_ROUNDS ?? 1);
const seed = Number(process.env.MORTAR_FAULT_SEED ?? 1);
const longestMs = 120_000;
/** A request waits some 3 s for a brick that does not answer, and more on a busy machine, but not for its ping timeout (42 s). */
const longestWaitMs = 30_000;

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe.skipIf(problem !== null)(`a replica 3 volume${problem === null ? '' : ` (${problem})`}`, () => {
  const random = new SeededRandom(seed);
  const cluster = new Nodes(4, '10.78.9.');
  const [first, , , client] = cluster.nodes as [Nodes['nodes'][0], unknown, unknown, Nodes['nodes'][0]];
  const machines = cluster.nodes.slice(0, 3).map((node) => new DiskNode(node, random));
  const workers = workKinds().map((kind) => new Worker(kind, client));
  const worker = (kind: WorkKind) => workers.find((one) => one.kind === kind)!;
  const lines: string[] = [];
  const say = (text: string) => lines.push(`${new Date().toISOString().slice(11, 23)} ${text}`);
  let mounts: string[] = [];

  beforeAll(async () => {
    await cluster.start();
    for (const machine of machines) await machine.make();
    for (const node of cluster.nodes.slice(1, 3)) await first.must('peer', 'probe', `node${node.index}`);
    const bricks = machines.map(({ node, brick }) => `${node.address}:${brick}`);
    await first.must('volume', 'create', 'data', 'replica', '3', ...bricks);
    await first.must('volume', 'start', 'data');
    const servers = machines.map(({ node }) => node);
    mounts = [await client.mount('data', servers), await client.mount('data', servers, 'other')];
    const own = workers.map(({ kind }) => kind).filter((kind) => kind !== 'watch');
    await client.sh(`cd ${mounts[0]}; mkdir ${own.join(' ')}; printf 00000000 > count/counter`);
    for (const one of workers) {
      const [place, of] = one.kind === 'watch' ? [mounts[1], 'count'] : [mounts[0], one.kind];
      await one.start(`${place}/${of}`);
    }
  }, 180_000);
  afterAll(async () => {
    for (const one of workers) one.go();
    // Who waits for a disk that hangs cannot be killed.
    for (const machine of machines) await machine.thawDisk().catch(() => undefined);
    await cluster.end();
  }, 60_000);

  async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const end = Date.now() + longestMs; Date.now() < end; await pause(250)) if (await holds()) return;
    throw new Error(`this did not happen: ${what}`);
  }

  const entries = async () => {
    const { stdout } = await first.gluster('volume', 'heal', 'data', 'info');
    return stdout.match(/^Number of entries: 0$/gm)?.length === 3;
  };

  async function healed(): Promise<void> {
    await eventually('the three glusterds are there', async () => {
      const { stdout } = await first.gluster('pool', 'list');
      return stdout.match(/Connected/g)?.length === 3;
    });
    await eventually('the bricks are started', async () => {
      const { exitCode } = await first.gluster('volume', 'start', 'data', 'force');
      const { stdout } = await first.gluster('volume', 'status', 'data');
      return exitCode === 0 && (stdout.match(/^Brick .* Y +\d+ *$/gm)?.length === 3 || /Y\s+\d+/.test(stdout));
    });
    await eventually('nothing is to be healed', entries);
  }

  /** With the work at rest and all healed. */
  async function check(): Promise<void> {
    for (const one of workers) expect([one.kind, one.errors]).toEqual([one.kind, []]);
    const trees = await Promise.all(machines.map((machine) => machine.tree()));
    for (const tree of trees.slice(1)) expect(tree).toBe(trees[0]);
    const there = async (name: string) => (await client.sh(`cat ${mounts[1]}/${name}`)).trimEnd();
    const appended = (await there('append/log')).split('\n').map(Number);
    expect(appended).toEqual(worker('append').acknowledged);
    const [wanderer, ...more] = (await client.sh(`ls ${mounts[1]}/rename`)).trimEnd().split('\n');
    expect([wanderer, more]).toEqual([`wanderer-${worker('rename').acknowledged.at(-1)}`, []]);
    expect(Number(await there('count/counter'))).toBe(worker('count').acknowledged.at(-1));
    const made = new Set<number>();
    for (const n of worker('make').acknowledged) {
      if (n > 0) made.add(n);
      else made.delete(-n);
    }
    const found = await client.sh(`cd ${mounts[1]}/make; ls | sort -t- -k2n | xargs -r sha256sum`);
    const sums = [...made].map((n) => `${sha256(contentsOf(n))}  file-${n}`);
    expect(found.trimEnd().split('\n')).toEqual(sums);
  }

  it(`loses nothing in ${rounds} rounds of seed ${seed}`, async () => {
    try {
      await pause(1000);
      for (let round = 1; round <= rounds; round++) {
        const kinds = faultsOf(cluster, machines[0]!, client).length;
        const order = random.shuffled(Array.from({ length: kinds }, (_, i) => i));
        for (const kind of order) {
          const machine = random.pick(machines);
          const fault = faultsOf(cluster, machine, client)[kind]!;
          const lasts = random.between(500, 6000);
          const before = new Map(workers.map((one) => [one.kind, one.lines.length]));
          say(`round ${round}, node${machine.node.index}: ${fault.what} for ${Math.round(lasts)} ms`);
          await fault.begin();
          await pause(lasts);
          await fault.end();
          say('over');
          for (const one of workers) if (!(await one.hold(longestMs))) throw new Error(`${one.kind} does not end`);
          await healed();
          await check();
          const waits = requestKinds.map((kind) => [kind, worker(kind).longestMs(before.get(kind)!)] as const);
          say(`as it should be; longest waits ${waits.map(([kind, ms]) => `${kind} ${ms} ms`).join(', ')}`);
          expect(waits.filter(([, ms]) => ms > longestWaitMs)).toEqual([]);
          for (const one of workers) one.go();
          await pause(500);
        }
      }
      for (const one of workers) expect([one.kind, await one.end(longestMs)]).toEqual([one.kind, true]);
    } catch (error) {
      console.error(lines.join('\n'));
      for (const one of workers) console.error(one.kind, one.errors.slice(-10), one.lines.slice(-3));
      console.error((await first.gluster('volume', 'heal', 'data', 'info')).stdout);
      console.error((await first.gluster('volume', 'status', 'data')).stdout);
      for (const log of ['mnt-data.log', 'mnt-other.log'])
        console.error(readFileSync(client.at('log', log), 'utf8').slice(-6000));
      throw error;
    }
    const done = workers.map((one) => `${one.acknowledged.length} times ${one.kind}`).join(', ');
    console.log(`${rounds} rounds of seed ${seed}: ${done}`);
    if (process.env.MORTAR_FAULT_TRACE) console.log(lines.join('\n'));
  }, 3_600_000);
});
