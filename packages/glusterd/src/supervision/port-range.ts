import type { Random } from '@mortar/core/ports.ts';
import type { ProcessPort } from '../ports.ts';

/** IANA's dynamic ports up to where Linux takes those of outgoing connections from its top. */
const firstPort = 49152;
const lastPort = 60999;

/** Hands out ports for bricks that neither a brick has nor anybody listens at. */
export class PortRange {
  readonly #processes: ProcessPort;
  readonly #random: Random;
  readonly #reserved = new Set<number>();

  constructor(processes: ProcessPort, random: Random) {
    this.#processes = processes;
    this.#random = random;
  }

  /** A free port; `wanted` if that one is free. Throws when all are in use. */
  async take(wanted = 0): Promise<number> {
    const count = lastPort - firstPort + 1;
    const inRange = wanted >= firstPort && wanted <= lastPort;
    const start = inRange ? wanted - firstPort : this.#random.integer(count);
    for (let i = 0; i < count; i++) {
      const port = firstPort + ((start + i) % count);
      if (this.#reserved.has(port)) continue;
      this.#reserved.add(port);
      if (await this.#processes.isPortFree(port)) return port;
      this.#reserved.delete(port);
    }
    throw new Error(`all ports from ${firstPort} to ${lastPort} are in use`);
  }

  /** A port that a running brick has already. */
  reserve(port: number): void {
    if (port > 0) this.#reserved.add(port);
  }

  release(port: number): void {
    this.#reserved.delete(port);
  }
}
