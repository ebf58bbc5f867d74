import type { Random } from '@mortar/core/ports.ts';
import type { ProcessPort } from '../ports.ts';

export interface Ports {
  readonly first: number;
  readonly last: number;
}

/** IANA's dynamic ports up to where Linux takes those of outgoing connections from its top. */
export const defaultPorts: Ports = { first: 49152, last: 60999 };

/** Hands out ports for bricks that neither a brick has nor anybody listens at. */
export class PortRange {
  readonly #processes: ProcessPort;
  readonly #random: Random;
  readonly #reserved = new Set<number>();

  readonly #ports: Ports;

  constructor(processes: ProcessPort, random: Random, ports: Ports = defaultPorts) {
    this.#ports = ports;
    this.#processes = processes;
    this.#random = random;
  }

  /** A free port; `wanted` if that one is free. Throws when all are in use. */
  async take(wanted = 0): Promise<number> {
    const { first, last } = this.#ports;
    const count = last - first + 1;
    const inRange = wanted >= first && wanted <= last;
    const start = inRange ? wanted - first : this.#random.integer(count);
    for (let i = 0; i < count; i++) {
      const port = first + ((start + i) % count);
      if (this.#reserved.has(port)) continue;
      this.#reserved.add(port);
      if (await this.#processes.isPortFree(port)) return port;
      this.#reserved.delete(port);
    }
    throw new Error(
      `all ports from ${first} to ${last} are in use: give bricks others by base-port and max-port of glusterd`,
    );
  }

  /** A port that a running brick has already. */
  reserve(port: number): void {
    if (port > 0) this.#reserved.add(port);
  }

  release(port: number): void {
    this.#reserved.delete(port);
  }
}
