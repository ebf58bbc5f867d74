/** One run of one seed: three bricks become five and four while clients work and processes die; then all is looked at. */
import { FileType, locOf, rootGfid } from '@mortar/core';
import { Rebalance, type RebalanceKind, type RebalanceStatus } from '@mortar/xlators/cluster/distribute/rebalance.ts';
import type { MemoryFile } from '@mortar/xlators/storage/memory/file.ts';
import { SimBrick, type World } from '../sim/brick.ts';
import { DiskMood } from '../sim/disk-mood.ts';
import { Patience, Stuck, watched } from '../sim/patience.ts';
import { SeededRandom } from '../sim/random.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { Trace } from '../sim/trace.ts';
import { LateSwitches, lateClients } from './late.ts';
import { VolumeNemesis } from './nemesis.ts';
import { laterDraws, type Plan, planOf, shareText } from './plan.ts';
import { type Shape, VolumeProcess } from './process.ts';
import { Rivals } from './rivals.ts';
import { TreeWorker } from './trees.ts';
import { listed, makeDirectory, type Shared, Worker, wrongIn } from './work.ts';

export interface Verdict {
  readonly seed: number;
  readonly plan: Plan;
  readonly problems: readonly string[];
  readonly hash: string;
  readonly events: number;
  readonly moved: number;
  readonly operations: number;
  readonly lines: readonly string[];
}

/** While there are faults a mover may be killed every second; they end after a minute. */
const runsMax = 120;
/** Until bricks that were killed last are back, and everybody has reached them. */
const settleMs = 10_000;

/** A lazy rebalance of a thousand directories takes up to five minutes. */
const patienceMs = 600_000;
const workMs = 20_000;
const bricksMost = 5;
const linktoName = 'trusted.glusterfs.dht.linkto';

/** One of the processes that move files, over all its lives. */
interface Turn {
  readonly mover: number;
  process?: VolumeProcess | undefined;
  status?: RebalanceStatus | undefined;
  isDone?: boolean;
}

export async function simulateVolume(
  seed: number,
  options: { plan?: Partial<Plan>; keepTrace?: boolean } = {},
): Promise<Verdict> {
  return new Run(seed, options).go();
}

class Run {
  readonly #seed: number;
  readonly #plan: Plan;
  readonly #world: World;
  readonly #trace: Trace;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #moods: readonly DiskMood[];
  readonly #bricks: readonly SimBrick[];
  readonly #processes: VolumeProcess[] = [];
  readonly #problems: string[] = [];
  readonly #nemesis: VolumeNemesis;
  readonly #patience: Patience;
  #moved = 0;
  #movers = 0;
  /** Each rebalance gives the volume another one. */
  #commitHash = 1000;
  #shape: Shape = { bricks: [0, 1, 2], leaving: [], version: 1 };
  readonly #late: LateSwitches | undefined;

  constructor(seed: number, { plan, keepTrace }: { plan?: Partial<Plan>; keepTrace?: boolean }) {
    this.#seed = seed;
    const random = new SeededRandom(seed);
    const later = laterDraws(seed);
    this.#plan = planOf(random.fork(), later, plan);
    if (this.#plan.late) this.#late = new LateSwitches(later);
    this.#scheduler = new Scheduler(random.fork());
    this.#trace = new Trace(this.#scheduler, keepTrace === true);
    this.#random = random;
    this.#patience = new Patience(this.#scheduler, patienceMs);
    const { graceMs, pingMs } = this.#plan;
    this.#world = { scheduler: this.#scheduler, trace: this.#trace, random, graceMs, pingMs };
    this.#moods = Array.from({ length: bricksMost }, () => new DiskMood(random.fork()));
    this.#bricks = this.#moods.map((mood, i) => new SimBrick(`brick-${i}`, this.#world, mood));
    this.#nemesis = new VolumeNemesis(this.#world, this.#plan, this.#bricks, this.#moods, this.#processes);
    this.#trace.add('plan', JSON.stringify(this.#plan));
  }

  async go(): Promise<Verdict> {
    let operations = 0;
    const told = (what: string) => void this.#problems.push(what);
    await watched(told, async () => {
      operations = await this.#run();
    });
    for (const problem of this.#problems) this.#trace.add('problem', problem);
    return {
      seed: this.#seed,
      plan: this.#plan,
      problems: this.#problems,
      hash: this.#trace.digest(),
      events: this.#scheduler.count,
      moved: this.#moved,
      operations,
      lines: this.#trace.lines ?? [],
    };
  }

  #process(name: string, more: Readonly<Record<string, string>> = {}): VolumeProcess {
    const options = { ...this.#plan.options, ...more };
    const made = new VolumeProcess(name, this.#world, this.#bricks, options, this.#plan.delayMs);
    this.#processes.push(made);
    return made;
  }

  async #run(): Promise<number> {
    for (const brick of this.#bricks) await brick.start();
    const clients = Array.from({ length: this.#plan.clients }, (_, i) => this.#process(`client-${i}`));
    const watcher = this.#process('watcher');
    const users = [...clients, watcher];
    await this.#patience.complete('clients connect', Promise.all(users.map((client) => client.use(this.#shape))));
    const scene = async () => {
      await clients[0]!.ops.lookup(clients[0]!.call, { loc: locOf(rootGfid) });
      const directories = [rootGfid, await makeDirectory(clients[0]!, 'below')];
      for (const user of users) for (const gfid of directories) await user.ops.lookup(user.call, { loc: locOf(gfid) });
      return directories;
    };
    const directories = await this.#patience.complete('the scene is made', scene());
    const shared: Shared = {
      directories,
      say: (who, what) => this.#trace.add(who, what),
      problem: (what) => {
        this.#problems.push(`${this.#scheduler.nowMs.toFixed(0)} ms: ${what}`);
      },
      mayFail: () => this.#plan.faults.some((kind) => kind !== 'mover-kill'),
      mayMiss: () => !this.#plan.late,
    };
    const workerOf = (client: VolumeProcess, limit: number, prefix = client.name) =>
      new Worker(client, prefix, this.#world.random.fork(), shared, limit);
    const still = workerOf(clients[0]!, 16, 'still');
    const makeStill = async () => {
      for (let i = 0; i < 40; i++) await still.step();
    };
    await this.#patience.complete('files are made', makeStill());
    const workers = clients.map((client) => workerOf(client, this.#plan.files));
    const rivals = this.#plan.rivals ? new Rivals(shared) : undefined;
    if (rivals) await this.#patience.complete('files of all are made', rivals.make(clients[0]!));
    let isOver = false;
    // Whoever goes on and on with a file can keep it from being moved.
    const endMs = this.#scheduler.nowMs + this.#plan.faultsMs + workMs;
    const isLate = () => isOver || this.#scheduler.nowMs > endMs;
    const untilDone = (user: VolumeProcess, work: Promise<void>) => {
      const state = { user, done: false };
      void work.then(() => {
        state.done = true;
      });
      return state;
    };
    const ends = workers.map((worker) => untilDone(worker.process, worker.run(isLate, this.#plan.thinkMs)));
    ends.push(
      untilDone(
        watcher,
        this.#watch(watcher, [still], shared, () => isOver),
      ),
    );
    const trees = this.#plan.trees
      ? clients.map((client) => new TreeWorker(client, this.#world.random.fork(), shared, this.#plan.reuses))
      : [];
    if (rivals)
      for (const client of clients)
        ends.push(untilDone(client, rivals.run(client, this.#world.random.fork(), isLate, this.#plan.thinkMs)));
    for (const tree of trees) ends.push(untilDone(tree.process, tree.run(isLate, this.#plan.thinkMs)));
    this.#nemesis.start();
    await this.#grow(users);
    await this.#shrink(users, this.#random.pick([0, 1, 2, 3, 4]));
    isOver = true;
    await this.#patience.until('operations end', () => ends.every(({ user, done }) => done || !user.isAlive));
    for (const worker of workers) if (!worker.process.isAlive) worker.forgetTouched();
    await this.#rebalance('force', true);
    // What is looked for is what has become of the files, not whether their bricks are there just now.
    this.#nemesis.end();
    await this.#scheduler.runUntil(() => false, this.#scheduler.nowMs + settleMs);
    const loose = [...trees, ...(rivals ? [rivals] : [])];
    await this.#verify([still, ...workers], loose, rivals, shared);
    return [...workers, ...loose].reduce((sum, worker) => sum + worker.done, 0);
  }

  async #switch(users: readonly VolumeProcess[], to: Omit<Shape, 'version'>): Promise<void> {
    const shape = { ...to, version: this.#shape.version + 1 };
    this.#shape = shape;
    if (this.#late) return this.#late.begin(users, shape);
    const switched = users.map(async (user) => {
      await user.services.clock.sleep(this.#random.between(0, 500));
      await user.use(shape);
    });
    const state = switched.map((one) => {
      const is = { done: false };
      void one.then(() => {
        is.done = true;
      });
      return is;
    });
    const hasSwitched = (user: VolumeProcess, i: number) => !user.isAlive || (state[i]!.done && user.hasSwitched);
    await this.#patience.until('all use the new graph, and nothing else', () => users.every(hasSwitched));
  }

  async #grow(users: readonly VolumeProcess[]): Promise<void> {
    await this.#switch(users, { bricks: [0, 1, 2, 3, 4], leaving: [] });
    await this.#rebalance('force');
  }

  async #shrink(users: readonly VolumeProcess[], gone: number): Promise<void> {
    await this.#switch(users, { bricks: [0, 1, 2, 3, 4], leaving: [gone] });
    await this.#rebalance('detach');
    await this.#switch(users, { bricks: [0, 1, 2, 3, 4].filter((i) => i !== gone), leaving: [] });
    for (const file of filesOn(this.#bricks[gone]!))
      if (!isLinkto(file)) this.#problems.push(`${file.gfid.slice(-6)} is left on the brick that went`);
  }

  /** Again and again, until each mover's run comes to its end. `isLast`: nobody uses files any more, but for sessions of movers that died. */
  async #rebalance(kind: RebalanceKind, isLast = false): Promise<void> {
    this.#commitHash++;
    const turns: Turn[] = Array.from({ length: this.#plan.movers ?? 1 }, (_, mover) => ({ mover }));
    for (let run = 0; run < runsMax * turns.length; run++) {
      for (const turn of turns) if (!turn.isDone) this.#startMover(turn, kind);
      const ended = (turn: Turn) => turn.process && (turn.status !== undefined || !turn.process.isAlive);
      await this.#patience.until(`a rebalance (${kind}) ends`, () => turns.some(ended));
      for (const turn of turns.filter(ended)) this.#endMover(turn, isLast);
      if (turns.every(({ isDone }) => isDone)) return;
      const untilMs = this.#scheduler.nowMs + 1000;
      await this.#scheduler.runUntil(() => false, untilMs);
    }
    throw new Stuck(`${runsMax} runs of a rebalance (${kind}) did not come to an end`);
  }

  #startMover(turn: Turn, kind: RebalanceKind): void {
    if (turn.process) return;
    const share = shareText(this.#plan, turn.mover, this.#shape.bricks);
    const options = { 'commit-hash': String(this.#commitHash), ...(share !== '' && { 'rebalance-share': share }) };
    const process = this.#process(`mover-${this.#movers++}`, options);
    turn.process = process;
    const running = async () => {
      await process.use(this.#shape);
      const { late, waits } = this.#plan;
      const awaited = late && waits ? lateClients(process, this.#bricks, this.#shape) : undefined;
      turn.status = await new Rebalance(process.d, kind, awaited).run();
    };
    void running();
  }

  #endMover(turn: Turn, isLast: boolean): void {
    const { process, status } = turn;
    this.#trace.add(process!.name, status ? JSON.stringify(status) : 'was killed');
    this.#moved += status?.movedFiles ?? 0;
    if (process!.isAlive) process!.kill();
    turn.process = undefined;
    turn.status = undefined;
    // One that tells of failures is started again, too: what it could not do the next one does.
    const left = status ? status.failures + (isLast ? status.skipped : 0) : 0;
    turn.isDone = status?.state === 'completed' && left === 0;
    if (status && !turn.isDone && !this.#nemesis.mayStrike) this.#nemesis.calm();
  }

  /** Nothing that stays vanishes or is there twice, whoever moves it. */
  async #watch(
    watcher: VolumeProcess,
    workers: readonly Worker[],
    shared: Shared,
    isOver: () => boolean,
  ): Promise<void> {
    for (let round = 0; !isOver(); round++) {
      await watcher.services.clock.sleep(this.#plan.thinkMs);
      for (const [i, gfid] of shared.directories.entries()) {
        const entries = await listed(watcher, gfid, [300, 2048, 65536][round % 3]!);
        if (!entries) continue;
        const names = entries.map(({ name }) => name);
        const set = new Map(entries.map((entry) => [entry.name, entry]));
        if (set.size < names.length)
          shared.problem(`the watcher sees a name twice: ${names.filter((n, j) => names.indexOf(n) !== j)}`);
        for (const worker of workers)
          for (const [name, file] of worker.filesIn(i)) {
            const entry = set.get(name);
            const wrong = entry?.iatt && wrongIn(entry.iatt, file.gfid, file.data.length);
            if (!entry) shared.problem(`the watcher does not see ${i}/${name}`);
            else if (wrong) shared.problem(`a listing of the watcher tells of ${i}/${name} ${wrong}`);
          }
      }
      if (watcher.isWhole && round % 10 === 0 && !this.#plan.faults.some((kind) => kind !== 'mover-kill'))
        for (const worker of workers) await worker.verify(watcher);
    }
  }

  async #verify(
    workers: readonly Worker[],
    loose: readonly { readonly doubtful: ReadonlySet<string> }[],
    rivals: Rivals | undefined,
    shared: Shared,
  ): Promise<void> {
    const last = this.#process('verifier');
    await this.#patience.complete('the last client connects', last.use(this.#shape));
    for (const gfid of shared.directories)
      await this.#patience.complete('a directory is looked up', last.ops.lookup(last.call, { loc: locOf(gfid) }));
    for (const worker of [...workers, ...(rivals ? [rivals] : [])])
      await this.#patience.complete('the last client reads', worker.verify(last));
    for (const [i, gfid] of shared.directories.entries()) {
      const entries = await this.#patience.complete('the last client lists', listed(last, gfid));
      const names = entries?.map(({ name }) => name);
      const expected = new Set(workers.flatMap((worker) => [...worker.filesIn(i).keys()]));
      const doubtful = new Set(
        [...workers, ...loose].flatMap((worker) => [...worker.doubtful]).map((key) => key.slice(2)),
      );
      if (!names) this.#problems.push(`directory ${i} cannot be listed at the end`);
      const isStrange = (name: string) => !expected.has(name) && !doubtful.has(name) && !(i === 0 && name === 'below');
      const strange = names?.filter(isStrange) ?? [];
      // What a client was doing when it died it has told nobody.
      const dead = this.#processes.filter((one) => !one.isAlive).map((one) => `${one.name}-`);
      for (const name of strange)
        if (!dead.some((prefix) => name.startsWith(prefix)))
          this.#problems.push(`${i}/${name} is there, and should not be`);
      for (const name of expected)
        if (names && !names.includes(name)) this.#problems.push(`${i}/${name} is not listed`);
    }
    this.#problems.push(...this.#misplaced());
  }

  /** Past all translators: of each file one copy, and no mark of a move. */
  #misplaced(): string[] {
    const places = new Map<string, string[]>();
    const problems: string[] = [];
    for (const i of this.#shape.bricks) {
      const brick = this.#bricks[i]!;
      for (const file of filesOn(brick)) {
        if (isLinkto(file)) continue;
        places.set(file.gfid, [...(places.get(file.gfid) ?? []), brick.name]);
        const marks = [...file.xattrs.keys()].filter((name) => /linkto|moving/.test(name));
        if (marks.length > 0) problems.push(`${file.gfid.slice(-6)} on ${brick.name} has ${marks}`);
      }
    }
    for (const [gfid, bricks] of places) if (bricks.length > 1) problems.push(`${gfid.slice(-6)} is on ${bricks}`);
    return problems;
  }
}

function filesOn({ disk }: SimBrick): Set<MemoryFile> {
  const found = new Set<MemoryFile>();
  const visit = (directory: MemoryFile): void => {
    for (const { file } of directory.entries.values())
      if (file.isDirectory) visit(file);
      else if (file.type === FileType.regular) found.add(file);
  };
  visit(disk.volume.root);
  return found;
}

function isLinkto(file: MemoryFile): boolean {
  return file.mode === 0o1000 && file.xattrs.has(linktoName);
}
