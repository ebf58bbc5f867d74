/** The heal daemon: one healer for each replica set of a volume's graph, and what the `heal` commands ask of them. */
import type { Clock, Graph } from '@mortar/core';
import { heal } from './heal/healer.ts';
import { type BrickReport, brickName, report } from './heal/report.ts';
import { childOfBrick, type Resolution, resolveAll, resolveFile } from './heal/resolve.ts';
import type { HealContext } from './heal/result.ts';
import { type CrawlStatistics, SetHealer } from './heal/set-healer.ts';
import { ReplicateXlator } from './index.ts';

export interface BrickStatistics {
  brick: string;
  connected: boolean;
  crawls: readonly CrawlStatistics[];
}

type Policy = 'bigger-file' | 'latest-mtime' | 'source-brick';

/** What the command prints, and how it ends. */
export interface ResolutionReport {
  lines: string[];
  /** The command adds that the heal failed. */
  failed: boolean;
  exit: number;
}

function told({ line, healed, exit, saysAll }: Resolution): ResolutionReport {
  return { lines: [line], failed: !healed && !saysAll, exit };
}

/** A path is in one of the sets: the first that knows it answers. */
async function firstFound(
  contexts: readonly HealContext[],
  ask: (context: HealContext) => Promise<Resolution>,
): Promise<Resolution> {
  let last: Resolution = { line: 'No replica set is being healed.', healed: false, exit: 1, missing: true };
  for (const context of contexts) {
    last = await ask(context);
    if (!last.missing) return last;
  }
  return last;
}

/** How long replicas that are away are waited for before it is told that they are. */
const reachMs = 1000;

export class HealDaemon {
  readonly #clock: Clock;
  #graph: Graph | undefined;
  #healers: SetHealer[] = [];
  /** Healers that are left end behind. */
  #leaving: Promise<unknown> = Promise.resolve();
  /** How often it was given another graph, or none. */
  #turns = 0;
  /** Where what `heal info` shows is being healed. */
  readonly #lookedAfter = new WeakSet<SetHealer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes over the replica sets of a graph, and leaves those of the one before. */
  async attach(graph: Graph): Promise<void> {
    const own = ++this.#turns;
    await this.#leave();
    // Another graph came meanwhile, or the end: nobody would stop healers of this one.
    if (own !== this.#turns) return;
    this.#graph = graph;
    const sets = [...graph.xlators.values()].filter(
      (xlator): xlator is ReplicateXlator => xlator instanceof ReplicateXlator,
    );
    this.#healers = sets.map((set) => this.#healerOf(set));
    for (const healer of this.#healers) healer.trigger('index');
  }

  #healerOf(set: ReplicateXlator): SetHealer {
    const healer = new SetHealer(set.replica, this.#clock, () => set.healSettings);
    set.onChildUp(() => healer.trigger('index'));
    set.onAccused(() => healer.hasten());
    set.onReconfigured(() => healer.reconfigured());
    return healer;
  }

  async stop(): Promise<void> {
    this.#turns++;
    await this.#leave();
  }

  async #leave(): Promise<void> {
    const healers = this.#healers;
    this.#healers = [];
    this.#leaving = Promise.all([this.#leaving, ...healers.map((healer) => healer.stop())]);
    await this.#leaving;
  }

  /** Somebody asks about replicas that are away: they may be back. */
  async #reach(): Promise<void> {
    if (this.#healers.every(({ replica: { set } }) => set.up.length === set.count)) return;
    const attempts: Promise<void>[] = [];
    this.#graph?.top.notify({ type: 'child-wanted', attempts }, null);
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(reachMs, resolve);
      void Promise.all(attempts).then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** Starts a crawl of the index, or of everything. Whether all replicas are there to be healed. */
  async launch(full: boolean): Promise<boolean> {
    await this.#reach();
    for (const healer of this.#healers) healer.trigger(full ? 'full' : 'index');
    return this.#healers.length > 0 && this.#healers.every(({ replica: { set } }) => set.up.length === set.count);
  }

  /**
   * `heals`: who looks files up heals them (`cluster.data-self-heal`, `-metadata-` and `-entry-`), and GlusterFS's command looks up all
   * that it shows: scripts wait by it for heals where the daemon is off.
   */
  async info(kind: 'all' | 'split-brain', heals = false): Promise<BrickReport[]> {
    await this.#reach();
    const reports = await Promise.all(
      this.#healers.map(async (healer) => {
        const bricks = await report(healer, kind);
        if (heals && !healer.isEnabled) void this.#lookAfter(healer, bricks);
        return bricks;
      }),
    );
    return reports.flat();
  }

  /** One after the other, once at a time: who asks often does not make it more. */
  async #lookAfter(healer: SetHealer, bricks: readonly BrickReport[]): Promise<void> {
    if (this.#lookedAfter.has(healer)) return;
    this.#lookedAfter.add(healer);
    const due = new Set(bricks.flatMap(({ entries }) => entries.map(({ gfid }) => gfid)));
    try {
      const context = healer.context('index', (made) => due.add(made));
      // Grows while it is walked.
      for (const gfid of due) if (this.#healers.includes(healer)) await heal(context, gfid);
    } catch (error) {
      healer.replica.warn(`healing what heal info shows broke off: ${String(error)}`);
    } finally {
      this.#lookedAfter.delete(healer);
    }
  }

  /** Number of entries in each brick's index; undefined for a brick that is away. */
  async count(): Promise<{ brick: string; count: number | undefined }[]> {
    await this.#reach();
    const all = this.#healers.flatMap((healer) =>
      healer.replica.set.children.map(async (_, child) => ({
        brick: brickName(healer.replica, child),
        count: healer.replica.set.isUp(child) ? await healer.index.count(child) : undefined,
      })),
    );
    return Promise.all(all);
  }

  /** The operator decides a split-brain: one file, or with `source-brick` all that the brick's index has. */
  async resolve(policy: Policy, file: string | undefined, brick: string | undefined): Promise<ResolutionReport> {
    await this.#reach();
    const contexts = this.#healers.map((healer) => healer.context('index', () => healer.trigger('index')));
    if (policy !== 'source-brick')
      return told(await firstFound(contexts, (context) => resolveFile(context, file ?? '/', { by: policy })));
    const [context] = contexts.filter((one) => childOfBrick(one, brick ?? '') !== undefined);
    if (!context) return { lines: [`"${brick}"- No such brick available in the volume.`], failed: true, exit: 1 };
    const child = childOfBrick(context, brick!)!;
    if (file !== undefined) {
      const answer = await resolveFile(context, file, { by: policy, child });
      if (!answer.missing) return told(answer);
      // In another set: that brick has no copy to choose.
      const others = contexts.filter((one) => one !== context);
      const elsewhere = await firstFound(others, (one) => resolveFile(one, file, { by: policy, child: -1 }));
      return told(elsewhere.missing ? answer : elsewhere);
    }
    const all = await resolveAll(context, child);
    const healed = all.filter((one) => one.healed).length;
    return {
      lines: [...all.map((one) => one.line), 'Status: Connected', `Number of healed entries: ${healed}`, ''],
      failed: false,
      exit: 0,
    };
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
