/** What a process gives its translators: the machine's clock, chance, log and counters, and ports by name. */
import { type Clock, InodeTable, type Random, type Services } from '@mortar/core';
import { SystemClock } from './ports/clock.ts';
import type { LineLog } from './ports/log.ts';
import { MetricsRegistry } from './ports/metrics.ts';
import { SystemRandom } from './ports/random.ts';

export class HostServices implements Services {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: LineLog;
  readonly metrics: MetricsRegistry;
  readonly inodes: InodeTable;
  readonly #ports = new Map<string, unknown>();

  constructor(
    log: LineLog,
    clock: Clock = new SystemClock(),
    inodeLimit = 65536,
    random: Random = new SystemRandom(),
    metrics = new MetricsRegistry(),
  ) {
    this.metrics = metrics;
    this.log = log;
    this.clock = clock;
    this.random = random;
    this.inodes = new InodeTable(inodeLimit);
  }

  port<T>(name: string): T {
    const found = this.#ports.get(name);
    if (found === undefined) throw new Error(`this process has no port '${name}'`);
    return found as T;
  }

  hasPort(name: string): boolean {
    return this.#ports.has(name);
  }

  addPort(name: string, port: unknown): this {
    this.#ports.set(name, port);
    return this;
  }

  /** For a graph beside others of this process: inodes and counters of its own, the same ports. */
  beside(metrics: MetricsRegistry): HostServices {
    const own = new HostServices(this.log, this.clock, this.inodes.stats().limit, this.random, metrics);
    for (const [name, port] of this.#ports) own.addPort(name, port);
    return own;
  }
}
