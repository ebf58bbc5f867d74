/**
 * Options are set again and again while programs work on the volume: no operation fails, graphs that were replaced are freed, and memory
 * does not grow. MORTAR_VOLUME_SETS and MORTAR_VOLUME_SET_SEED make more or others; from 400 on memory is compared: `MORTAR_VOLUME_SETS=1000`.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasProgram } from '../support/cluster.ts';
import { allowFootprints, type Footprint, footprints, type Pids } from '../support/footprint.ts';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';
import { RandomSets } from '../support/random-sets.ts';

const problem = nodesImpossible() ?? (hasProgram('dbench') ? null : 'there is no dbench');
const sets = Number(process.env.MORTAR_VOLUME_SETS ?? 6);
const seed = Number(process.env.MORTAR_VOLUME_SET_SEED ?? 11);
/** Compared is what there is after so many sets, and each so many more. */
const firstLook = 200;
const setsBetweenLooks = 400;
/** What processes remember of files is bounded by their number: here by so many, that it is reached before anything is compared. */
const filesRemembered = 1000;
const filesMade = 6000;
const growthMax = 1.1;
/** The same with what V8 and malloc keep for later, and code that is compiled once it has run often. */
const residentMax = 1.25;
/** Of a file that a brick has met, in its tables of up to 32768 files: each has a Map in one of them. More files come with each round. */
const rememberedBytes = 1000;
/** In which what was delayed and kept for a moment goes. */
const restMs = 5000;

const shapes: [name: string, volume: string, shape: string[]][] = [
  ['replica 3', 'r', ['replica', '3']],
  ['distribute 3', 'd', []],
];

describe.skipIf(problem !== null)(`1000 times volume set${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(1);
  const node = cluster.nodes[0] as ClusterNode;
  const lines: string[] = [];

  beforeAll(async () => {
    allowFootprints(node);
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
      const isMeasured = sets >= 2 * firstLook;
      const bounded = ['set', volume, 'network.inode-lru-limit', `${filesRemembered}`];
      await node.must('volume', ...bounded);
      if (isMeasured) await fill(place);
      const pids = await pidsOf(volume, place);
      await footprints(node, pids);
      const load = new Load(node, place);
      const draws = new RandomSets(new SeededRandom(seed), volume, shape.length > 0);
      const looks: ReadonlyMap<string, Footprint>[] = [];
      const begin = Date.now();
      // The name of a graph ends with its number.
      const graphs = async () =>
        1 + Number(/-(\d+)\n/.exec(await node.sh(`readlink ${place}/.meta/graphs/active`))![1]);
      try {
        for (let i = 1; i <= sets; i++) {
          load.check();
          const words = draws.next();
          lines.push(`${i}: ${words.join(' ')}`);
          await node.must('volume', ...words);
          if ((i < firstLook || (i - firstLook) % setsBetweenLooks !== 0) && i !== sets) continue;
          await node.must('volume', ...draws.end());
          await node.must('volume', ...bounded);
          await load.rest();
          await oneConnectionEach(volume, shape.length > 0);
          looks.push(await footprints(node, pids));
          load.goOn();
          const seconds = Math.round((Date.now() - begin) / 1000);
          console.log(
            `${volume}, seed ${seed}: ${i} sets in ${seconds} s, ${await graphs()} graphs, ` +
              `${load.rounds} rounds of dbench: ${shown(looks.at(-1)!)}`,
          );
        }
      } finally {
        await load.end();
      }
      load.check();
      expect(await graphs()).toBeGreaterThan(sets / 8);
      for (const [name, { rss, heap, objects }] of looks.at(-1)!) {
        // Of graphs that were replaced nothing is left.
        if (name === 'mount')
          expect([name, objects.get('ProtocolClient'), objects.get('IoStats')]).toEqual([name, 3, 1]);
        if (name.startsWith('brick'))
          expect([name, objects.get('ProtocolServer'), objects.get('IoStats')]).toEqual([name, 1, 1]);
        if (!isMeasured) continue;
        const then = looks[0]!.get(name)!;
        const remembered = Math.max(0, objects.get('Map')! - then.objects.get('Map')!) * rememberedBytes;
        expect([name, 'heap', heap < then.heap * growthMax + remembered]).toEqual([name, 'heap', true]);
        expect([name, 'rss', rss < then.rss * residentMax]).toEqual([name, 'rss', true]);
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
      for (let i = 0; i < ${filesRemembered}; i++) fs.writeFileSync('${place}/many/' + i, '');
      fs.rmSync('${place}/many', { recursive: true });`;
    for (let made = 0; made < filesMade; made += filesRemembered) await node.sh(`node -e "${script}"`);
  }

  async function oneConnectionEach(volume: string, isHealed: boolean): Promise<void> {
    const clients = await node.must('volume', 'status', volume, 'clients');
    const wanted = isHealed ? 2 : 1;
    const counts = [...clients.matchAll(/Clients connected : (\d+)/g)].map(([, count]) => Number(count));
    expect(counts).toEqual([wanted, wanted, wanted]);
  }

  async function pidsOf(volume: string, place: string): Promise<Pids> {
    const find = async (words: string) => Number(await node.sh(`pgrep -f -- '${words}' | head -1`));
    const pids = new Map([['mount', await find(`^glusterfs .*${place}$`)]]);
    for (const i of [0, 1, 2]) pids.set(`brick ${i}`, await find(`^glusterfsd .*/${volume}${i} `));
    return pids.set('glusterd', await find('^glusterd '));
  }
});

/** dbench, again and again; one run that says anything of a failure is one too many. */
class Load {
  rounds = 0;
  readonly #node: ClusterNode;
  readonly #place: string;
  #isOver = false;
  #rests = false;
  #isAtWork = true;
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

  /** Resolves when nobody works. */
  async rest(): Promise<void> {
    this.#rests = true;
    while (this.#isAtWork && !this.#failure) await pause(100);
    await pause(restMs);
  }

  goOn(): void {
    this.#rests = false;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #work(): Promise<void> {
    while (!this.#isOver && !this.#failure) {
      this.#isAtWork = !this.#rests;
      if (!this.#isAtWork) {
        await pause(100);
        continue;
      }
      const { exitCode, stdout, stderr } = await this.#node.run('dbench', '-t', '20', '-D', this.#place, '2');
      this.rounds++;
      if (exitCode === 0 && !/failed|error/i.test(stdout + stderr)) continue;
      this.#failure = new Error(`dbench: exit code ${exitCode}: ${stderr}${stdout.slice(-3000)}`);
    }
  }
}

function shown(sizes: ReadonlyMap<string, Footprint>): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  const parts = [...sizes].map(
    ([name, { rss, heap, objects }]) => `${name} ${mib(rss)} (heap ${mib(heap)}, ${objects.get('Map')} maps)`,
  );
  return `resident MiB: ${parts.join(', ')}`;
}
