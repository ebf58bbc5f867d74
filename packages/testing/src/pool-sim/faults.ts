/** What goes wrong in a run, drawn from its seed. */
import type { SeededRandom } from '../sim/random.ts';
import type { Scheduler } from '../sim/scheduler.ts';
import type { PoolNetwork } from './network.ts';
import type { PoolNode } from './process.ts';

export const poolFaults = [
  'crash',
  'restarts',
  'partition',
  'one-way',
  'loss',
  'doubles',
  'slow-net',
  'slow-disk',
  'bad-disk',
] as const;
/** `amnesia`: a member loses its disk. A seed does not draw it; it is asked for. */
export type PoolFault = (typeof poolFaults)[number] | 'amnesia';

export class Faults {
  readonly kinds: readonly PoolFault[];
  readonly #nodes: readonly PoolNode[];
  readonly #network: PoolNetwork;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #say: (text: string) => void;
  readonly #mayForget: (node: PoolNode) => boolean;
  #isOver = false;

  constructor(
    kinds: readonly PoolFault[],
    nodes: readonly PoolNode[],
    network: PoolNetwork,
    scheduler: Scheduler,
    random: SeededRandom,
    say: (text: string) => void,
    mayForget: (node: PoolNode) => boolean,
  ) {
    this.#mayForget = mayForget;
    this.kinds = kinds;
    this.#nodes = nodes;
    this.#network = network;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#say = say;
  }

  begin(): void {
    const random = this.#random;
    const network = this.#network;
    if (this.#has('loss')) network.lost = random.pick([0.02, 0.1, 0.3]);
    if (this.#has('doubles')) network.doubled = random.pick([0.1, 0.5]);
    if (this.#has('slow-net')) network.delayMs = [0.2, random.pick([50, 200])];
    for (const { disk } of this.#nodes) {
      if (this.#has('slow-disk') && random.chance(0.5)) disk.slowMs = random.pick([50, 400]);
      if (this.#has('bad-disk') && random.chance(0.3)) disk.failing = 0.1;
    }
    this.#next();
  }

  /** Everything works again, and everybody runs. */
  end(): void {
    this.#isOver = true;
    this.#network.lost = 0;
    this.#network.doubled = 0;
    this.#network.delayMs = [0.2, 5];
    this.#network.blocked.clear();
    for (const { disk } of this.#nodes) {
      disk.failing = 0;
      disk.slowMs = 4;
    }
    for (const node of this.#nodes) void node.start();
  }

  /** A node has written something: it may die just then and be back at once, and what it forgets is asked for again. */
  hasWritten(id: string): void {
    if (this.#isOver || !this.#has('restarts') || !this.#random.chance(0.04)) return;
    const node = this.#nodes.find((one) => one.id === id)!;
    this.#scheduler.after(this.#random.pick([0, 1, 10]) * this.#random.between(0, 1), () => {
      if (!this.#isOver) this.#crash(node, this.#random.between(1, 20));
    });
  }

  /** A node dies within this time, if crashes are among the faults. */
  crashSoon(node: PoolNode, withinMs: number): void {
    if (!this.#has('crash')) return;
    this.#scheduler.after(this.#random.between(0, withinMs), () => {
      if (!this.#isOver) this.#crash(node);
    });
  }

  #has(kind: PoolFault): boolean {
    return this.kinds.includes(kind);
  }

  #next(): void {
    this.#scheduler.after(this.#random.between(100, 3000), () => {
      if (this.#isOver) return;
      const some = (['crash', 'partition', 'one-way', 'amnesia'] as const).filter((kind) => this.#has(kind));
      if (some.length > 0) this.#strike(this.#random.pick(some));
      this.#next();
    });
  }

  #strike(kind: 'crash' | 'partition' | 'one-way' | 'amnesia'): void {
    if (kind === 'amnesia') this.#forget(this.#random.pick(this.#nodes));
    else if (kind === 'crash') this.#crash(this.#random.pick(this.#nodes));
    else this.#part(kind);
  }

  #part(kind: 'partition' | 'one-way'): void {
    const { blocked } = this.#network;
    blocked.clear();
    if (this.#random.chance(0.4)) {
      this.#say('the network is whole');
      return;
    }
    const side = new Set(this.#nodes.filter(() => this.#random.chance(0.5)));
    for (const a of this.#nodes)
      for (const b of this.#nodes) {
        if (side.has(a) === side.has(b)) continue;
        if (kind === 'partition' || side.has(a)) blocked.add(`${a.id} ${b.id}`);
      }
    this.#say(`${kind}: ${[...side].map(({ id }) => id.slice(0, 8)).join(' ')}`);
  }

  /** One after the other: what the majority of a pool has lost is lost (`pool recover` is for that). */
  #forget(node: PoolNode): void {
    if (this.#nodes.some(({ disk }) => disk.hasForgotten) || !this.#mayForget(node)) return;
    this.#crash(node);
    node.disk.wipe();
    this.#say(`${node.id.slice(0, 8)} has lost its disk`);
  }

  #crash(node: PoolNode, downMs = this.#random.between(10, this.#random.pick([100, 5000]))): void {
    node.crash();
    this.#say(`${node.id.slice(0, 8)} crashes`);
    this.#scheduler.after(downMs, () => {
      if (!this.#isOver) void node.start();
    });
  }
}
