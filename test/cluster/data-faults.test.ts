/**
 * Three machines with a disk each hold a replica 3 volume, a fourth works on it while one of the three suffers: its brick is
 * killed or hangs, its network fails in one or both directions, its disk hangs, is full or read-only, or it loses its power with
 * all that was not synced. Nothing may be refused, since two are there at any time; when all is healed everything that was
 * acknowledged is there, and the three bricks are the same.
 * MORTAR_FAULT_ROUNDS and MORTAR_FAULT_SEED run more or others; a round is each fault once, at machines drawn from the seed.
 */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  contentsOf,
  disksImpossible,
  faultsOf,
  requestKinds,
  type WorkKind,
  workKinds,
} from '../support/data-faults.ts';
import { nodesImpossible } from '../support/nodes.ts';
import { longestMs, SufferingVolume } from '../support/suffering-volume.ts';

const problem = nodesImpossible() ?? disksImpossible();
const rounds = Number(process.env.MORTAR_FAULT_ROUNDS ?? 1);
const seed = Number(process.env.MORTAR_FAULT_SEED ?? 1);
/** A request waits some 3 s for a brick that does not answer, and more on a busy machine, but not for its ping timeout (42 s). */
const longestWaitMs = 30_000;

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe.skipIf(problem !== null)(`a replica 3 volume${problem === null ? '' : ` (${problem})`}`, () => {
  const random = new SeededRandom(seed);
  const volume = new SufferingVolume('10.78.9.', random, workKinds());
  const { cluster, client, machines, workers } = volume;
  const worker = (kind: WorkKind) => volume.worker(kind);
  const lines: string[] = [];
  const say = (text: string) => lines.push(`${new Date().toISOString().slice(11, 23)} ${text}`);

  beforeAll(() => volume.start(), 180_000);
  afterAll(() => volume.end(), 60_000);

  /** With the work at rest and all healed. */
  async function check(): Promise<void> {
    for (const one of workers) expect([one.kind, one.errors]).toEqual([one.kind, []]);
    const trees = await Promise.all(machines.map((machine) => machine.tree()));
    for (const tree of trees.slice(1)) expect(tree).toBe(trees[0]);
    const there = async (name: string) => (await client.sh(`cat ${volume.mounts[1]}/${name}`)).trimEnd();
    const appended = (await there('append/log')).split('\n').map(Number);
    expect(appended).toEqual(worker('append').acknowledged);
    const [wanderer, ...more] = (await client.sh(`ls ${volume.mounts[1]}/rename`)).trimEnd().split('\n');
    expect([wanderer, more]).toEqual([`wanderer-${worker('rename').acknowledged.at(-1)}`, []]);
    expect(Number(await there('count/counter'))).toBe(worker('count').acknowledged.at(-1));
    const made = new Set<number>();
    for (const n of worker('make').acknowledged) {
      if (n > 0) made.add(n);
      else made.delete(-n);
    }
    const found = await client.sh(`cd ${volume.mounts[1]}/make; ls | sort -t- -k2n | xargs -r sha256sum`);
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
          await volume.rest();
          await volume.healed();
          await check();
          const waits = requestKinds.map((kind) => [kind, worker(kind).longestMs(before.get(kind)!)] as const);
          say(`as it should be; longest waits ${waits.map(([kind, ms]) => `${kind} ${ms} ms`).join(', ')}`);
          expect(waits.filter(([, ms]) => ms > longestWaitMs)).toEqual([]);
          volume.goOn();
          await pause(500);
        }
      }
      for (const one of workers) expect([one.kind, await one.end(longestMs)]).toEqual([one.kind, true]);
    } catch (error) {
      console.error(lines.join('\n'));
      console.error(await volume.report());
      throw error;
    }
    const done = workers.map((one) => `${one.acknowledged.length} times ${one.kind}`).join(', ');
    console.log(`${rounds} rounds of seed ${seed}: ${done}`);
    if (process.env.MORTAR_FAULT_TRACE) console.log(lines.join('\n'));
  }, 3_600_000);
});
