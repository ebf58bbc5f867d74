/**
 * Stands above a graph's top translator for the process that serves the graph: hears whether the graph can serve, and
 * receives up-calls. It handles no fop: its operations are the top's own functions.
 */
import { type Clock, type GraphEvent, type Services, type Subvolume, Xlator } from '@mortar/core';

export type TopState = 'unknown' | 'connecting' | 'up' | 'down';

export class GraphTop extends Xlator {
  #state: TopState = 'unknown';
  readonly #waiting = new Set<() => void>();
  readonly #onEvent: (event: GraphEvent) => void;

  constructor(services: Services, top: Xlator, onEvent: (event: GraphEvent) => void) {
    super({ name: 'host', type: 'host/top', options: {}, texts: new Map(), services });
    this.#onEvent = onEvent;
    this.bind([top.ops as Subvolume], undefined);
    top.parents = [...top.parents, this];
  }

  get state(): TopState {
    return this.#state;
  }

  override notify(event: GraphEvent): void {
    if (event.type === 'child-up') this.#set('up');
    else if (event.type === 'child-down') this.#set('down');
    else if (event.type === 'child-connecting' && this.#state !== 'up') this.#set('connecting');
    this.#onEvent(event);
  }

  /** Resolves to true as soon as the graph can serve, to false when `ms` have passed before. */
  async untilUp(clock: Clock, ms: number): Promise<boolean> {
    const deadline = clock.nowMs() + ms;
    for (let left = ms; this.#state !== 'up' && left > 0; left = deadline - clock.nowMs())
      await this.#changeOr(clock, left);
    return this.#state === 'up';
  }

  override async fini(): Promise<void> {
    this.services.inodes.freeSlot(this.slot);
  }

  #set(state: TopState): void {
    this.#state = state;
    for (const wake of [...this.#waiting]) wake();
  }

  #changeOr(clock: Clock, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        timer.cancel();
        resolve();
      };
      const timer = clock.after(ms, done);
      this.#waiting.add(done);
    });
  }
}
