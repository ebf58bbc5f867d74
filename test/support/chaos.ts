/** What people and bad luck do to a pool, drawn from a seed: verbs at any node while glusterds die, hang and links are cut. */
import { setTimeout as pause } from 'node:timers/promises';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import type { ClusterNode, Nodes } from './nodes.ts';

export interface Outcome {
  readonly node: number;
  readonly words: readonly string[];
  readonly exitCode: number | null;
  readonly said: string;
  readonly ms: number;
}

const names = ['a', 'b', 'c'];
/** The last node has no bricks, and is detached and probed at times. */
const guest = 5;

export class Chaos {
  readonly random: SeededRandom;
  readonly #cluster: Nodes;
  readonly #say: (text: string) => void;
  #serial = 0;
  /** Values of `keep` that somebody was told are set. */
  readonly acknowledged = new Set<string>();
  readonly outcomes: Outcome[] = [];

  constructor(cluster: Nodes, seed: number, say: (text: string) => void) {
    this.#cluster = cluster;
    this.random = new SeededRandom(seed);
    this.#say = say;
  }

  /** Some verbs at once, some faults meanwhile; everything works again when it resolves. */
  async round(): Promise<void> {
    const { random } = this;
    const victims = random.pick([1, 1, 2, 2, 3]);
    const some = new Set<ClusterNode>();
    while (some.size < victims) some.add(random.pick(this.#cluster.nodes));
    const isDark = random.chance(0.08);
    const faults = isDark ? [this.#powerCut()] : [...some].map((node, i) => this.#fault(node, i === 0));
    const verbs = Array.from({ length: 3 + random.integer(4) }, () => this.#verb());
    const pauses = verbs.map(() => random.between(0, 900));
    await Promise.all([...faults.map((run) => run()), ...verbs.map((run, i) => pause(pauses[i]).then(run))]);
  }

  /** All glusterds at once; they come back one after the other. */
  #powerCut(): () => Promise<void> {
    const soon = this.random.between(0, 900);
    const pauses = this.#cluster.nodes.map(() => this.random.between(0, 3000));
    return async () => {
      await pause(soon);
      this.#say('all are killed');
      await Promise.all(this.#cluster.nodes.map((node) => node.killGlusterd()));
      await Promise.all(this.#cluster.nodes.map((node, i) => pause(pauses[i]).then(() => node.startGlusterd())));
    };
  }

  /** `mayForget`: one node at a time may lose its disk, as a pool of five can stand it. */
  #fault(node: ClusterNode, mayForget: boolean): () => Promise<void> {
    const { random } = this;
    const soon = random.between(0, 900);
    // Silence of ten seconds ends connections.
    const lasts = random.chance(0.1)
      ? random.between(10_500, 14_000)
      : random.between(0.1, 1) * random.pick([200, 4000]);
    const other = random.pick(this.#cluster.nodes.filter((one) => one !== node));
    const kinds: [string, () => Promise<void>, () => Promise<void>][] = [
      ['is killed', () => node.killGlusterd(), () => node.startGlusterd()],
      ['is killed', () => node.killGlusterd(), () => node.startGlusterd()],
      ['is cut off', () => this.#cluster.setLink(node, 'down'), () => this.#cluster.setLink(node, 'up')],
      [`does not reach node${other.index}`, () => node.setRoute(other, 'cut'), () => node.setRoute(other, 'open')],
      [
        'is killed and installed anew',
        async () => {
          await node.killGlusterd();
          if (mayForget) node.installAnew();
        },
        () => node.startGlusterd(),
      ],
      ['hangs', () => node.signalGlusterd('STOP'), () => node.signalGlusterd('CONT')],
    ];
    const [what, begin, end] = random.pick(kinds);
    return async () => {
      await pause(soon);
      this.#say(`node${node.index} ${what} for ${Math.round(lasts)} ms`);
      await begin();
      await pause(lasts);
      await end();
    };
  }

  #verb(): () => Promise<void> {
    const { random } = this;
    const node = random.pick(this.#cluster.nodes);
    const name = random.pick(names);
    const serial = ++this.#serial;
    const place = () => {
      const host = random.pick(this.#cluster.nodes.slice(0, guest - 1));
      return `${host.address}:${host.at('bricks', `${name}-${serial}-${random.integer(1e6)}`)}`;
    };
    const value = `${serial}`;
    const known = () => this.#knownBricks(name);
    const many = random.integer(2) + 1;
    const places = Array.from({ length: many }, place);
    const replicas = [...this.#cluster.nodes.slice(0, guest - 1)]
      .slice(random.integer(2))
      .slice(0, 3)
      .map((host) => `${host.address}:${host.at('bricks', `${name}-${serial}`)}`);
    const verbs: (() => Promise<string[]> | string[])[] = [
      () => ['volume', 'create', name, ...places, 'force'],
      () => ['volume', 'create', name, ...places, 'force'],
      () => ['volume', 'create', name, 'replica', '3', ...replicas, 'force'],
      () => ['volume', 'start', name],
      () => ['volume', 'start', name],
      () => ['volume', 'start', name, 'force'],
      () => ['volume', 'stop', name],
      () => ['volume', 'stop', name, 'force'],
      () => ['volume', 'delete', name],
      () => ['volume', 'delete', name],
      () => ['volume', 'set', name, 'network.ping-timeout', `${10 + (serial % 50)}`],
      () => ['volume', 'set', name, 'cluster.server-quorum-type', random.pick(['server', 'none'])],
      () => ['volume', 'set', 'all', 'cluster.server-quorum-ratio', `${30 + (serial % 60)}%`],
      () => ['volume', 'reset', name],
      () => ['volume', 'add-brick', name, places[0]!, 'force'],
      async () => ['volume', 'remove-brick', name, random.pick(await known()), 'force'],
      async () => ['volume', 'replace-brick', name, random.pick(await known()), places[0]!, 'commit', 'force'],
      () => ['peer', 'detach', `node${guest}`, 'force'],
      () => ['peer', 'probe', `node${guest}`],
      () => ['volume', 'status'],
      () => ['system::', 'lock', 'show'],
      () => ['system::', 'lock', 'break'],
    ];
    const isKept = random.chance(0.35);
    const chosen = random.pick(verbs);
    return async () => {
      const words = isKept ? ['volume', 'set', 'keep', `user.k${value}`, value] : await chosen();
      const { exitCode } = await this.ask(node, words);
      if (isKept && exitCode === 0) this.acknowledged.add(`user.k${value}=${value}`);
    };
  }

  async ask(node: ClusterNode, words: readonly string[]): Promise<Outcome> {
    const begin = Date.now();
    const { exitCode, stdout, stderr } = await node.gluster(...words);
    const outcome = { node: node.index, words, exitCode, said: `${stderr}${stdout}`, ms: Date.now() - begin };
    this.outcomes.push(outcome);
    const first = outcome.said.split('\n')[0]!.slice(0, 200);
    this.#say(`node${node.index}: ${words.join(' ').slice(0, 120)}: ${exitCode} in ${outcome.ms} ms: ${first}`);
    return outcome;
  }

  async #knownBricks(volume: string): Promise<string[]> {
    const { stdout } = await this.#cluster.nodes[0]!.gluster('volume', 'info', volume);
    const found = [...stdout.matchAll(/^Brick\d+: (\S+)/gm)].map(([, brick]) => brick!);
    return found.length > 0 ? found : ['nobody:/nothing'];
  }
}
