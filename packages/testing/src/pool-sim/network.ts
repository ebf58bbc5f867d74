/** Requests and answers between nodes: each with its own delay, in any order, lost, doubled, or cut off by a partition. */

import type { Member } from '@mortar/glusterd/pool/types.ts';
import { answerFor, type MemberCall } from '@mortar/glusterd/pool/wire.ts';
import type { SeededRandom } from '../sim/random.ts';
import type { Scheduler, SimNode } from '../sim/scheduler.ts';

export interface Station {
  readonly node: SimNode;
  serve(pool: string): Member;
}

export class PoolNetwork {
  delayMs: [number, number] = [0.2, 5];
  lost = 0;
  doubled = 0;
  /** `from to` of directions in which nothing passes. */
  readonly blocked = new Set<string>();
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  /** The process that runs on a node, if any does. */
  readonly stations = new Map<string, Station>();

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  /** Never settles when a message is lost: who asks must bound the wait. */
  call(from: string, caller: SimNode, to: string, pool: string, name: MemberCall, params: unknown): Promise<unknown> {
    const text = JSON.stringify(params);
    return new Promise((resolve, reject) => {
      const serve = async () => {
        const station = this.stations.get(to);
        if (!station) return;
        try {
          const answer = JSON.stringify(await answerFor(station.serve(pool), name, JSON.parse(text)));
          if (station.node.isAlive) this.#send(to, from, () => caller.isAlive && resolve(answer && JSON.parse(answer)));
        } catch (error) {
          if (station.node.isAlive) this.#send(to, from, () => caller.isAlive && reject(error));
        }
      };
      this.#send(from, to, () => void serve());
    });
  }

  #send(from: string, to: string, arrive: () => void): void {
    const copies = this.#random.chance(this.lost) ? 0 : this.#random.chance(this.doubled) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      // Some are late, so that they meet a later state.
      const late = this.#random.chance(0.03) ? 50 : 1;
      this.#scheduler.after(this.#random.between(...this.delayMs) * late, () => {
        if (!this.blocked.has(`${from} ${to}`)) arrive();
      });
    }
  }
}
