/** One run of one seed: set up, work while things go wrong, put right, drain, heal, check. */
import { SimBrick, type World } from './brick.ts';
import { SimClient } from './client.ts';
import { DiskMood } from './disk-mood.ts';
import { ReplicaNemesis } from './faults.ts';
import { History } from './history.ts';
import { Patience, watched } from './patience.ts';
import { type Plan, type PlanChanges, planOf } from './plan.ts';
import { SeededRandom } from './random.ts';
import { bySession, notLinearizable } from './register.ts';
import { differences } from './replicas.ts';
import { initialValue, makeScene, type Scene } from './scene.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';
import { type Shared, Worker } from './work.ts';

export interface Verdict {
  readonly seed: number;
  readonly plan: Plan;
  /** What is wrong; empty: all is well. */
  readonly problems: readonly string[];
  /** Of everything that happened. */
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly lines: readonly string[];
}

export interface RunOptions {
  readonly plan?: PlanChanges;
  /** Keep the lines of what happened. */
  readonly keepTrace?: boolean;
  /** Reads must be linearizable; else only each client's own view must be in order (docs/simulation.md). */
  readonly strict?: boolean;
}

/** Virtual time that things may take which must end once nothing is wrong any more. */
const patienceMs = 120_000;
const healPatienceMs = 240_000;

const parkingOptions = { 'use-anonymous-inode': 'on', 'volume-id': '0f0f0f0f-1111-4111-8111-111111111111' };

export async function simulate(seed: number, options: RunOptions = {}): Promise<Verdict> {
  return new Run(seed, options).go();
}

class Run {
  readonly #seed: number;
  readonly #options: RunOptions;
  readonly #plan: Plan;
  readonly #world: World;
  readonly #trace: Trace;
  readonly #scheduler: Scheduler;
  readonly #history = new History();
  readonly #bricks: readonly SimBrick[];
  readonly #moods: readonly DiskMood[];
  readonly #clients: readonly SimClient[];
  readonly #healer: SimClient;
  readonly #shared: Shared;
  readonly #patience: Patience;

  constructor(seed: number, options: RunOptions) {
    this.#seed = seed;
    this.#options = options;
    const random = new SeededRandom(seed);
    this.#plan = planOf(random.fork(), options.plan);
    const scheduler = new Scheduler(random.fork());
    const trace = new Trace(scheduler, options.keepTrace === true);
    this.#scheduler = scheduler;
    this.#trace = trace;
    this.#patience = new Patience(scheduler, patienceMs);
    const { graceMs, pingMs, skewMs, delegations, silence } = this.#plan;
    this.#world = { scheduler, trace, random, graceMs, pingMs, skewMs, delegates: delegations, silence };
    this.#moods = Array.from({ length: this.#plan.bricks }, () => new DiskMood(random.fork()));
    const isArbiter = (i: number) => this.#plan.arbiter && i === this.#plan.bricks - 1;
    this.#bricks = this.#moods.map((mood, i) => new SimBrick(`brick-${i}`, this.#world, mood, isArbiter(i)));
    this.#clients = Array.from({ length: this.#plan.clients }, (_, i) => this.#client(`client-${i}`));
    this.#healer = this.#client('healer', { 'iam-self-heal-daemon': 'yes' });
    this.#shared = { appended: new Map(), made: [], say: (who, what) => trace.add(who, what) };
    trace.add('plan', JSON.stringify(this.#plan));
  }

  #client(name: string, more: Readonly<Record<string, string>> = {}): SimClient {
    const { options, arbiter, parking, delayMs } = this.#plan;
    const all = { ...options, ...(arbiter && { 'arbiter-count': '1' }), ...(parking && parkingOptions), ...more };
    return new SimClient(name, this.#world, this.#bricks, all, delayMs);
  }

  async go(): Promise<Verdict> {
    const problems: string[] = [];
    const told = (what: string) => void problems.push(what);
    await watched(told, async (thrown) => {
      problems.push(...(await this.#run(thrown)));
    });
    for (const problem of problems) this.#trace.add('problem', problem);
    return {
      seed: this.#seed,
      plan: this.#plan,
      problems,
      hash: this.#trace.digest(),
      events: this.#scheduler.count,
      virtualMs: this.#scheduler.nowMs,
      lines: this.#trace.lines ?? [],
    };
  }

  async #run(thrown: (error: unknown) => void): Promise<string[]> {
    const all = [...this.#clients, this.#healer];
    for (const brick of this.#bricks) await brick.start();
    for (const client of all) await client.start();
    await this.#patience.until('all clients are connected', () => all.every((client) => client.isWhole));
    const scene = await this.#patience.complete('the scene is made', makeScene(this.#clients[0]!, this.#plan));
    const workers = this.#clients.map((client) => this.#worker(client, scene));
    for (const worker of workers) await this.#patience.complete('files are open', worker.open());

    for (const { disk } of this.#bricks) disk.syncAll();
    const nemesis = new ReplicaNemesis(this.#world, this.#plan, this.#bricks, this.#moods, all, this.#clients);
    const endMs = this.#scheduler.nowMs + this.#plan.durationMs;
    const isOver = () => this.#scheduler.nowMs >= endMs;
    const running = this.#clients.map((client, i) => {
      const state = { client, done: false };
      workers[i]!.run(isOver).then(
        () => {
          state.done = true;
        },
        (error: unknown) => {
          state.done = true;
          thrown(error);
        },
      );
      return state;
    });
    nemesis.start();
    const isDone = () => running.every(({ client, done }) => done || client.hasCrashed);
    await this.#scheduler.runUntil(() => isDone() || isOver(), endMs);
    nemesis.stop();
    this.#trace.add('run', 'faults end');
    const survivors = this.#clients.filter((client) => !client.hasCrashed);
    await this.#patience.until('operations end', isDone);
    await this.#patience.until('all connect again', () =>
      [...survivors, this.#healer].every((client) => client.isWhole),
    );
    return this.#finish(scene, survivors, nemesis.mayLose);
  }

  /** `mayLose`: what was acknowledged may be gone; all the same the bricks must agree, and be whole. */
  async #finish(scene: Scene, survivors: readonly SimClient[], mayLose: boolean): Promise<string[]> {
    await this.#patience.complete('clients drain', Promise.all(survivors.map((client) => client.xlator.drain())));
    const { graceMs, pingMs } = this.#plan;
    const sessionsEndMs = this.#scheduler.nowMs + graceMs + 2 * pingMs;
    await this.#scheduler.runUntil(() => this.#scheduler.nowMs >= sessionsEndMs, sessionsEndMs);
    const healed = await this.#heal();
    const problems = healed ? [] : ['healing does not come to its end'];
    problems.push(...differences(this.#bricks));
    const last = this.#client('verifier');
    await last.start();
    await this.#patience.until('the last client connects', () => last.isWhole);
    const worker = this.#worker(last, scene);
    await this.#patience.complete('the last client opens', worker.open());
    await this.#patience.complete('the last client reads', worker.readAll());
    const lost = await this.#patience.complete('the last client verifies', worker.verify());
    if (mayLose) return problems;
    problems.push(...lost);
    for (const [key, operations] of this.#history.registers()) {
      const checked = this.#options.strict ? operations : bySession(operations);
      const wrong = notLinearizable(checked, initialValue);
      if (wrong) problems.push(`${key}: ${wrong}`);
    }
    return problems;
  }

  /** True when the bricks' indexes are empty. */
  async #heal(): Promise<boolean> {
    const { daemon } = this.#healer;
    const limitMs = this.#scheduler.nowMs + healPatienceMs;
    const isClean = () =>
      this.#bricks.every(
        ({ disk: { index } }) => index.count('xattrop') + index.count('dirty') + index.count('entry-changes') === 0,
      );
    while (!isClean() && this.#scheduler.nowMs < limitMs) {
      daemon!.launch(false);
      const untilMs = this.#scheduler.nowMs + 5_000;
      await this.#scheduler.runUntil(isClean, untilMs);
    }
    // What lost its name outside of a crawl is removed by the next one.
    if (this.#plan.parking) daemon!.launch(false);
    // What empties the index may have more to do.
    const restMs = this.#scheduler.nowMs + 10_000;
    await this.#scheduler.runUntil(() => false, restMs);
    return isClean();
  }

  #worker(client: SimClient, scene: Scene): Worker {
    return new Worker(client, this.#plan, scene, this.#history, this.#world.random.fork(), this.#shared);
  }
}
