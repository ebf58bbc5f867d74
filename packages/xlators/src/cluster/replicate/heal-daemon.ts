/** The heal daemon: one healer for each replica set of a volume's graph, and what the `heal` commands ask of them. */
import type { Clock, Graph } from '@mortar/core';
import { type BrickReport, brickName, report } from './heal/report.ts';
import { type CrawlStatistics, SetHealer } from './heal/set-healer.ts';
import { ReplicateXlator } from './index.ts';

export interface BrickStatistics {
  brick: string;
  connected: boolean;
  crawls: readonly CrawlStatistics[];
}

export class HealDaemon {
  readonly #clock: Clock;
  #healers: SetHealer[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes over the replica sets of a graph, and leaves those of the one before. */
  async attach(graph: Graph): Promise<void> {
    await this.stop();
    const sets = [...graph.xlators.values()].filter(
      (xlator): xlator is ReplicateXlator => xlator instanceof ReplicateXlator,
    );
    this.#healers = sets.map((set) => this.#healerOf(set));
    for (const healer of this.#healers) healer.trigger('index');
  }

  #healerOf(set: ReplicateXlator): SetHealer {
    const healer = new SetHealer(set.replica, this.#clock, () => set.healSettings);
    set.onChildUp(() => healer.trigger('index'));
    return healer;
  }

  async stop(): Promise<void> {
    const healers = this.#healers;
    this.#healers = [];
    await Promise.all(healers.map((healer) => healer.stop()));
  }

  /** Starts a crawl of the index, or of everything. Whether all replicas are there to be healed. */
  launch(full: boolean): boolean {
    for (const healer of this.#healers) healer.trigger(full ? 'full' : 'index');
    return this.#healers.length > 0 && this.#healers.every(({ replica: { set } }) => set.up.length === set.count);
  }

  async info(kind: 'all' | 'split-brain'): Promise<BrickReport[]> {
    return (await Promise.all(this.#healers.map((healer) => report(healer, kind)))).flat();
  }

  /** Number of entries in each brick's index; undefined for a brick that is away. */
  async count(): Promise<{ brick: string; count: number | undefined }[]> {
    const all = this.#healers.flatMap((healer) =>
      healer.replica.set.children.map(async (_, child) => ({
        brick: brickName(healer.replica, child),
        count: healer.replica.set.isUp(child) ? await healer.index.count(child) : undefined,
      })),
    );
    return Promise.all(all);
  }

  statistics(): BrickStatistics[] {
    return this.#healers.flatMap((healer) =>
      healer.replica.set.children.map((_, child) => ({
        brick: brickName(healer.replica, child),
        connected: healer.replica.set.isUp(child),
        crawls: healer.statistics,
      })),
    );
  }
}
