/** A node of the pool: its disk, and the process that runs on it from a start to a crash. */
import { Acceptor } from '@mortar/glusterd/pool/acceptor.ts';
import { CatchUp } from '@mortar/glusterd/pool/catch-up.ts';
import { Coordinator } from '@mortar/glusterd/pool/coordinator.ts';
import { memberOver } from '@mortar/glusterd/pool/wire.ts';
import type { SeededRandom } from '../sim/random.ts';
import { type Scheduler, SimNode } from '../sim/scheduler.ts';
import type { PoolDisk } from './disk.ts';
import type { PoolNetwork } from './network.ts';

/** How often a process asks the others whether it missed something. */
const askMs = 4000;

export interface PoolProcess {
  readonly node: SimNode;
  readonly acceptor: Acceptor;
  readonly catchUp: CatchUp;
  readonly coordinator: Coordinator;
}

export class PoolNode {
  readonly id: string;
  readonly disk: PoolDisk;
  readonly #scheduler: Scheduler;
  readonly #network: PoolNetwork;
  readonly #random: SeededRandom;
  #node: SimNode | null = null;
  /** What runs; null while it is down or starts. */
  process: PoolProcess | null = null;

  constructor(id: string, disk: PoolDisk, scheduler: Scheduler, network: PoolNetwork, random: SeededRandom) {
    this.id = id;
    this.disk = disk;
    this.#scheduler = scheduler;
    this.#network = network;
    this.#random = random;
  }

  async start(): Promise<void> {
    if (this.#node) return;
    const node = new SimNode(this.id, this.#scheduler);
    this.#node = node;
    const { clock } = node;
    const acceptor = await Acceptor.open(this.id, this.disk.attachedTo(node), clock, { check: () => {} });
    const reach = (to: string, pool: string) =>
      memberOver((name, params) => this.#network.call(this.id, node, to, pool, name, params));
    const catchUp = new CatchUp(acceptor, reach, clock);
    const coordinator = new Coordinator({ acceptor, catchUp, reach, clock, random: this.#random });
    this.process = { node, acceptor, catchUp, coordinator };
    this.#network.stations.set(this.id, { node, serve: (pool) => acceptor.forPool(pool) });
    const ask = () => {
      void catchUp.fromAll();
      node.after(askMs, ask);
    };
    ask();
  }

  /** kill -9: nothing that it had not written survives. */
  crash(): void {
    if (this.#node) this.#node.isAlive = false;
    this.#node = null;
    this.process = null;
    this.#network.stations.delete(this.id);
  }
}
