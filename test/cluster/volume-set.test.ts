/**
 * Options are set again and again while programs work on the volume: no operation fails, graphs that were replaced are freed, and memory
 * does not grow. MORTAR_VOLUME_SETS and MORTAR_VOLUME_SET_SEED make more or others; from 400 on memory is compared, for which 1000 are meant.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasProgram } from '../support/cluster.ts';
import { allowSnapshots, type Footprints, livingObjects, steadyFootprints } from '../support/footprint.ts';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';
import { RandomSets } from '../support/random-sets.ts';

const problem = nodesImpossible() ?? (hasProgram('dbench') ? null : 'there is no dbench');
const sets = Number(process.env.MORTAR_VOLUME_SETS ?? 12);
const seed = Number(process.env.MORTAR_VOLUME_SET_SEED ?? 11);
const setsBetweenLooks = 200;
const samples = 12;
/** What processes remember of files is bounded by their number: here by so many, that it is reached before anything is compared. */
const filesRemembered = 1000;
const growthMax = 1.1;

const shapes: [name: string, volume: string, shape: string[]][] = [
  ['replica 3', 'r', ['replica', '3']],
  ['distribute 3', 'd', []],
];

describe.skipIf(problem !== null)(`1000 times volume set${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(1);
  const node = cluster.nodes[0] as ClusterNode;
  const lines: string[] = [];

  beforeAll(async () => {
    allowSnapshots(node);
    await cluster.start();
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(`${lines.join('\n')}\n${cluster.logs()}`);
  });

  it.each(shapes)(
    'under dbench, %s',
    async (_name, volume, shape) => {
      lines.length = 0;
      const bricks = [0, 1, 2].map((i) => `${node.address}:${node.at('bricks', `${volume}${i}`)}`);
      await node.must('volume', 'create', volume, ...shape, ...bricks, 'force');
      await node.must('volume', 'start', volume);
      const place = await node.mount(volume, [node], volume, `--lru-limit=${filesRemembered}`);
      const isMeasured = sets >= 2 * setsBetweenLooks;
      const bounded = ['set', volume, 'network.inode-lru-limit', `${filesRemembered}`];
      await node.must('volume', ...bounded);
      if (isMeasured) await fill(place);
      const load = new Load(node, place);
      const draws = new RandomSets(new SeededRandom(seed), volume, shape.length > 0);
      const looks: Footprints[] = [];
      const begin = Date.now();
      const graphs = async () => Number(await node.sh(`ls ${place}/.meta/graphs | grep -vc active`));
      try {
        for (let i = 1; i <= sets; i++) {
          load.check();
          const words = draws.next();
          lines.push(`${i}: ${words.join(' ')}`);
          await node.must('volume', ...words);
          if (i % setsBetweenLooks !== 0 && i !== sets) continue;
          await node.must('volume', ...draws.end());
          await node.must('volume', ...bounded);
          await pause(3000);
          if (!isMeasured) continue;
          looks.push(await steadyFootprints(node, volume, place, samples));
          console.log(
            `${volume}, ${i} sets, ${await graphs()} graphs, ${load.rounds} rounds of dbench: ${shown(looks.at(-1)!)}`,
          );
        }
      } finally {
        await load.end();
      }
      load.check();
      const seconds = Math.round((Date.now() - begin) / 1000);
      console.log(
        `${volume}: ${sets} sets of seed ${seed} in ${seconds} s, ${await graphs()} graphs, ${load.rounds} rounds of dbench`,
      );
      expect(await graphs()).toBeGreaterThan(sets / 8);

      await oneGraphEach(volume, place, shape.length > 0);
      const first = looks[0];
      for (const [name, { rss, heap }] of first === undefined ? [] : looks.at(-1)!) {
        const then = first!.get(name)!;
        expect([name, 'rss', rss < then.rss * growthMax]).toEqual([name, 'rss', true]);
        expect([name, 'heap', heap <= then.heap * growthMax]).toEqual([name, 'heap', true]);
      }
      for (const file of [
        `mnt-${volume}.log`,
        ...(await node.sh(`cd ${node.at('log')}; ls bricks/*-${volume}?.log`)).trim().split('\n'),
      ]) {
        const complaints = readFileSync(node.at('log', file), 'utf8')
          .split('\n')
          .filter((line) => / [EC] \[/.test(line));
        expect([file, complaints]).toEqual([file, []]);
      }
      await node.sh(`umount ${place}`);
      await node.must('volume', 'stop', volume);
    },
    7_200_000,
  );

  /** From now on each new file takes the place of one that was forgotten. */
  async function fill(place: string): Promise<void> {
    const script = `const fs = require('fs'); fs.mkdirSync('${place}/many');
      for (let i = 0; i < ${2 * filesRemembered}; i++) fs.writeFileSync('${place}/many/' + i, '');
      fs.rmSync('${place}/many', { recursive: true });`;
    await node.sh(`node -e "${script}"`);
  }

  /** Of what was replaced nothing is left: neither connections nor objects. */
  async function oneGraphEach(volume: string, place: string, isHealed: boolean): Promise<void> {
    const clients = await node.must('volume', 'status', volume, 'clients');
    const wanted = isHealed ? 2 : 1;
    expect([...clients.matchAll(/Clients connected : (\d+)/g)].map(([, count]) => Number(count))).toEqual([
      wanted,
      wanted,
      wanted,
    ]);
    const pids = (words: string) => node.sh(`pgrep -f -- '${words}' | head -1`).then((text) => text.trim());
    const ofMount = await livingObjects(node, await pids(`^glusterfs .*${place}$`), ['ProtocolClient', 'IoStats']);
    expect(ofMount).toEqual({ ProtocolClient: 3, IoStats: 1 });
    const ofBrick = await livingObjects(node, await pids(`^glusterfsd .*/${volume}0 `), ['ProtocolServer', 'IoStats']);
    expect(ofBrick).toEqual({ ProtocolServer: 1, IoStats: 1 });
  }
});

/** dbench, again and again; one run that says anything of a failure is one too many. */
class Load {
  rounds = 0;
  readonly #node: ClusterNode;
  readonly #place: string;
  #isOver = false;
  #failure: Error | undefined;
  readonly #running: Promise<void>;

  constructor(node: ClusterNode, place: string) {
    this.#node = node;
    this.#place = place;
    this.#running = this.#work();
  }

  check(): void {
    if (this.#failure) throw this.#failure;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #work(): Promise<void> {
    while (!this.#isOver && !this.#failure) {
      const { exitCode, stdout, stderr } = await this.#node.run('dbench', '-t', '20', '-D', this.#place, '2');
      this.rounds++;
      if (exitCode === 0 && !/failed|error/i.test(stdout + stderr)) continue;
      this.#failure = new Error(`dbench: exit code ${exitCode}: ${stderr}${stdout.slice(-3000)}`);
    }
  }
}

function shown(sizes: Footprints): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  return [...sizes].map(([name, { rss, heap }]) => `${name} ${mib(rss)}${heap > 0 ? `/${mib(heap)}` : ''}`).join(', ');
}
