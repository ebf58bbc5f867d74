import type { Clock, GraphEvent } from '@mortar/core';
import type { GraphTop } from '../graph/top.ts';

/** Whether the servers let this client in: hears the graph's events. */
export class Admission {
  #tell: (reason: string) => void = () => undefined;
  /** Resolves to the server's reason; never, if none refuses. */
  readonly whenRefused = new Promise<string>((resolve) => {
    this.#tell = resolve;
  });

  hear(event: GraphEvent): void {
    if (event.type === 'refused') this.#tell(event.reason);
  }

  /** Whether the graph can serve, within `ms`; false at once when a server refuses. */
  untilUp(top: GraphTop, clock: Clock, ms: number): Promise<boolean> {
    return Promise.race([top.untilUp(clock, ms), this.whenRefused.then(() => false)]);
  }
}
