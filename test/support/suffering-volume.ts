/** A replica 3 volume on three machines with a disk each, of which one may suffer, and a fourth that works on it all the time. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { SeededRandom } from '@mortar/testing/sim/random.ts';
import { DiskNode, Worker, type WorkKind } from './data-faults.ts';
import { type ClusterNode, Nodes } from './nodes.ts';

/** Whatever has to happen once nothing is wrong. */
export const longestMs = 120_000;

export class SufferingVolume {
  readonly cluster: Nodes;
  readonly machines: readonly DiskNode[];
  readonly client: ClusterNode;
  readonly workers: readonly Worker[];
  /** Two mounts of the volume on the client. */
  mounts: string[] = [];
  readonly #first: ClusterNode;

  /** `network`: the first three parts of the nodes' addresses, with a dot at the end. A kind of work may be there several times. */
  constructor(network: string, random: SeededRandom, kinds: readonly WorkKind[]) {
    this.cluster = new Nodes(4, network);
    const [first, , , client] = this.cluster.nodes as [ClusterNode, ClusterNode, ClusterNode, ClusterNode];
    this.#first = first;
    this.client = client;
    this.machines = this.cluster.nodes.slice(0, 3).map((node) => new DiskNode(node, random));
    this.workers = kinds.map((kind, i) => new Worker(kind, client, kinds.slice(0, i).filter((k) => k === kind).length));
  }

  async start(): Promise<void> {
    await this.cluster.start();
    for (const machine of this.machines) await machine.make();
    for (const node of this.cluster.nodes.slice(1, 3)) await this.#first.must('peer', 'probe', `node${node.index}`);
    const bricks = this.machines.map(({ node, brick }) => `${node.address}:${brick}`);
    await this.#first.must('volume', 'create', 'data', 'replica', '3', ...bricks);
    await this.#first.must('volume', 'start', 'data');
    const servers = this.machines.map(({ node }) => node);
    this.mounts = [await this.client.mount('data', servers), await this.client.mount('data', servers, 'other')];
    const own = this.workers.filter(({ kind }) => kind !== 'watch').map(({ directory }) => directory);
    await this.client.sh(`cd ${this.mounts[0]}; mkdir -p ${own.join(' ')} count; printf 00000000 > count/counter`);
    for (const one of this.workers)
      await one.start(one.kind === 'watch' ? `${this.mounts[1]}/count` : `${this.mounts[0]}/${one.directory}`);
  }

  async end(): Promise<void> {
    for (const one of this.workers) one.go();
    // Who waits for a disk that hangs cannot be killed.
    for (const machine of this.machines) await machine.thawDisk().catch(() => undefined);
    await this.cluster.end();
  }

  /** The only worker of a kind. */
  worker(kind: WorkKind): Worker {
    return this.workers.find((one) => one.kind === kind)!;
  }

  /** Resolves when nobody asks anything of the volume. */
  async rest(): Promise<void> {
    for (const one of this.workers) if (!(await one.hold(longestMs))) throw new Error(`${one.kind} does not end`);
  }

  goOn(): void {
    for (const one of this.workers) one.go();
  }

  /** Bricks that ended are started; resolves when nothing is left to be healed. */
  async healed(): Promise<void> {
    const first = this.#first;
    await eventually('the three glusterds are there', async () => {
      const { stdout } = await first.gluster('pool', 'list');
      return stdout.match(/Connected/g)?.length === 3;
    });
    await eventually('the bricks are started', async () => {
      const { exitCode } = await this.startBricks();
      const { stdout } = await first.gluster('volume', 'status', 'data');
      return exitCode === 0 && (stdout.match(/^Brick .* Y +\d+ *$/gm)?.length === 3 || /Y\s+\d+/.test(stdout));
    });
    await eventually('nothing is to be healed', async () => {
      const { stdout } = await first.gluster('volume', 'heal', 'data', 'info');
      return stdout.match(/^Number of entries: 0$/gm)?.length === 3;
    });
  }

  startBricks() {
    return this.#first.gluster('volume', 'start', 'data', 'force');
  }

  /** For who has to find out what went wrong. */
  async report(): Promise<string> {
    const { stdout: heal } = await this.#first.gluster('volume', 'heal', 'data', 'info');
    const { stdout: status } = await this.#first.gluster('volume', 'status', 'data');
    const lines = this.workers.map(({ directory, errors, lines }) =>
      JSON.stringify([directory, errors.slice(-10), lines.slice(-3)]),
    );
    const logOf = (name: string) => readFileSync(this.client.at('log', name), 'utf8').slice(-6000);
    const logs = ['mnt-data.log', 'mnt-other.log'].map(logOf);
    return [...lines, heal, status, ...logs].join('\n');
  }
}

async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + longestMs; Date.now() < end; await pause(250)) if (await holds()) return;
  throw new Error(`this did not happen: ${what}`);
}
