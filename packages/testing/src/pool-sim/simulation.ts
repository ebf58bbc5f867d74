/** A pool in one process under a seed (docs/pool.md): what goes wrong is drawn from it, and a judge sees every disk. */
import type { StoredDocument } from '@mortar/glusterd/pool/storage.ts';
import { newUuid } from '@mortar/glusterd/uuid.ts';
import { SeededRandom } from '../sim/random.ts';
import { Scheduler } from '../sim/scheduler.ts';
import { Trace } from '../sim/trace.ts';
import { PoolDisk } from './disk.ts';
import { Faults, type PoolFault, poolFaults } from './faults.ts';
import { Judge, membersOf } from './judge.ts';
import { PoolNetwork } from './network.ts';
import { PoolNode } from './process.ts';
import { peerDocument, Work } from './work.ts';

/** All waits of an operation together are shorter. */
const longestMs = 240_000;

export interface PoolVerdict {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly faults: readonly PoolFault[];
  readonly nodes: number;
  /** Changes that somebody was told of, and versions. */
  readonly acknowledged: number;
  readonly versions: number;
  readonly events: number;
  readonly hash: string;
  readonly lines: readonly string[];
}

export interface PoolRunOptions {
  readonly keepTrace?: boolean;
  readonly faults?: readonly PoolFault[];
  readonly nodes?: number;
  readonly steps?: number;
  readonly isHasty?: boolean;
  /** Locks are broken for good, as the command line does it; a broken holder must commit nothing afterwards. */
  readonly isThorough?: boolean;
}

/** Many people who break one another's locks, while messages are late and nodes die as they write. */
export const crowded: PoolRunOptions = {
  nodes: 3,
  faults: ['restarts', 'slow-net', 'one-way'],
  steps: 100,
  isHasty: true,
};

/** Members that lose their disks and come back under their old uuid. */
export const forgetful: PoolRunOptions = {
  faults: ['crash', 'restarts', 'slow-net', 'partition', 'amnesia'],
  steps: 60,
};

export async function simulatePool(seed: number, options: PoolRunOptions = {}): Promise<PoolVerdict> {
  const run = new PoolRun(seed, options);
  await run.go();
  return run.verdict();
}

class PoolRun {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #network: PoolNetwork;
  readonly #nodes: PoolNode[] = [];
  readonly #members: number;
  readonly #judge: Judge;
  readonly #work: Work;
  readonly #faults: Faults | undefined;
  readonly #steps: number;
  /** Many people at the same time, who break one another's locks. */
  readonly #isHasty: boolean;

  constructor(seed: number, options: PoolRunOptions) {
    this.#seed = seed;
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#scheduler = new Scheduler(random.fork());
    this.#trace = new Trace(this.#scheduler, options.keepTrace ?? false);
    this.#network = new PoolNetwork(this.#scheduler, random.fork());
    this.#members = options.nodes ?? random.pick([3, 3, 5]);
    this.#isHasty = options.isHasty ?? random.chance(0.4);
    this.#steps = options.steps ?? (this.#isHasty ? 60 : 10) + random.integer(20);
    const kinds = options.faults ?? poolFaults.filter(() => random.chance(0.35));
    const pool = newUuid(random);
    const ids = Array.from({ length: this.#members + 1 }, () => newUuid(random));
    const documents = firstDocuments(ids.slice(0, this.#members));
    this.#judge = new Judge(pool, documents.length, new Map(documents.map((one) => [one.key, one])), (text) =>
      this.#trace.add('judge', text),
    );
    for (const [i, id] of ids.entries()) {
      const disk = new PoolDisk(random.fork(), (before, after) => {
        this.#judge.changed(id, before, after);
        this.#faults?.hasWritten(id);
      });
      const state = { pool, version: documents.length, promised: null, accepted: null, left: [] };
      if (i < this.#members) disk.put({ state, documents, isWhole: true });
      this.#nodes.push(new PoolNode(id, disk, this.#scheduler, this.#network, random.fork()));
    }
    const say = (who: string) => (text: string) => this.#trace.add(who, text);
    const manner = { isHasty: this.#isHasty, isThorough: options.isThorough ?? false };
    this.#work = new Work(this.#nodes, this.#judge, random.fork(), manner, say('work'));
    this.#faults = new Faults(kinds, this.#nodes, this.#network, this.#scheduler, random.fork(), say('fault'), (node) =>
      this.#mayForget(node),
    );
  }

  async go(): Promise<void> {
    for (const node of this.#nodes) void node.start();
    this.#faults!.begin();
    let left = this.#steps;
    const pauses = this.#isHasty ? [5, 50, 200] : [5, 50, 1500, 4000];
    const step = () => {
      const node = this.#work.step();
      if (node && this.#random.chance(0.3)) this.#faults!.crashSoon(this.#random.pick([node, ...this.#nodes]), 60);
      if (--left > 0) this.#scheduler.after(this.#random.pick(pauses) * this.#random.between(0, 1), step);
    };
    this.#scheduler.after(50, step);
    await this.#scheduler.runUntil(() => left === 0, 1e9);
    const workMs = this.#random.pick([0, 100, 15_000]);
    await this.#until(workMs, () => false);
    this.#faults!.end();
    this.#trace.add('run', 'the faults are over');
    let isEven = false;
    void this.#even().then(() => {
      isEven = true;
    });
    if (!(await this.#until(longestMs, () => isEven && this.#isIdle())))
      this.#judge.problem(`no end: ${isEven ? 'operations hang' : 'the nodes do not come to one version'}`);
    this.#checkEnd();
  }

  verdict(): PoolVerdict {
    return {
      seed: this.#seed,
      problems: this.#judge.problems,
      faults: this.#faults!.kinds,
      nodes: this.#members,
      acknowledged: this.#work.acknowledged,
      versions: this.#judge.latest,
      events: this.#scheduler.count,
      hash: this.#trace.digest(),
      lines: this.#trace.lines ?? [],
    };
  }

  #until(ms: number, done: () => boolean): Promise<boolean> {
    return this.#scheduler.runUntil(done, this.#scheduler.nowMs + ms);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#scheduler.after(ms, resolve));
  }

  #isIdle(): boolean {
    return [...this.#work.running.values()].every(({ node }) => !node.isAlive);
  }

  /** What people do when things work again: who was probed joins, and everybody can change something. */
  async #even(): Promise<void> {
    await this.#sleep(100);
    // Locks of the dead are broken rather than waited for.
    this.#work.breakLocks();
    let open = new Set<PoolNode>(this.#nodes);
    while (open.size > 0) {
      this.#joinMembers();
      for (const node of [...open]) {
        const isIn = node.process?.acceptor.pool === this.#judge.pool;
        if (!this.#isMember(node) ? node.process && !isIn : isIn && (await this.#work.run(node, []))) open.delete(node);
        await this.#sleep(500);
      }
      if (open.size > 0) continue;
      // Changes wait for one another, and one of them, or one that nobody had learned, may make a member of one that was none.
      while (!this.#isIdle()) await this.#sleep(500);
      open = new Set(this.#nodes.filter((node) => !this.#isRight(node)));
    }
  }

  /** Who was probed and has not joined is told to by every member: some may be behind. */
  #joinMembers(): void {
    const members = this.#nodes.filter((node) => this.#isMember(node));
    for (const node of members)
      if (node.process?.acceptor.pool === null) for (const from of members) this.#work.join(from, node);
  }

  /**
   * The first at any moment, as long as those that stay and have joined are a majority of whom each of them counts; others when
   * all have everything, so that a second disk is not lost with the only copy.
   */
  #mayForget(node: PoolNode): boolean {
    const members = this.#nodes.filter((one) => this.#isMember(one));
    if (members.length < 2 || !members.includes(node)) return false;
    const states = members.map(({ disk }) => disk.durable.state);
    if (!states.every(({ pool }) => pool === this.#judge.pool)) return false;
    if (this.#hasForgotten && !states.every(({ version }) => version === this.#judge.latest)) return false;
    if (!this.#isEnough(this.#nodes.filter((one) => one !== node))) return false;
    this.#hasForgotten = true;
    return true;
  }

  #hasForgotten = false;

  /** Who is behind counts members that were removed since, or that have not joined yet. */
  #isEnough(nodes: readonly PoolNode[]): boolean {
    const joined = nodes.filter(({ disk }) => disk.durable.state.pool === this.#judge.pool);
    return joined.every(({ disk }) => {
      const counted = membersOf(disk.durable.documents);
      return joined.filter(({ id }) => counted.includes(id)).length > counted.length / 2;
    });
  }

  #isMember({ id }: PoolNode): boolean {
    return membersOf(this.#latest()).includes(id);
  }

  #latest(): ReadonlyMap<string, StoredDocument> {
    return this.#judge.states.get(this.#judge.latest)!;
  }

  #isRight(node: PoolNode): boolean {
    const { process } = node;
    if (!process) return false;
    if (!this.#isMember(node)) return process.acceptor.pool === null;
    return process.acceptor.pool === this.#judge.pool && process.acceptor.version === this.#judge.latest;
  }

  #checkEnd(): void {
    this.#work.checkRefused();
    for (const node of this.#nodes) {
      if (this.#isRight(node)) continue;
      const { pool, version } = node.disk.durable.state;
      this.#judge.problem(`${node.id} ends in pool ${pool} at version ${version} of ${this.#judge.latest}`);
    }
  }
}

function firstDocuments(members: readonly string[]): StoredDocument[] {
  const peers = members.map((id) => ({ key: `peer/${id}`, value: peerDocument(id) }));
  const documents = [{ key: 'globals', value: { version: 0, options: {} } }, ...peers];
  return documents.map((document, i) => ({ ...document, version: i + 1 }));
}
