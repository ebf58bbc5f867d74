/** A node that was away takes from others what was decided meanwhile. */
import type { Clock } from '@mortar/core/ports.ts';
import type { Acceptor } from './acceptor.ts';
import { answerMs, gather, inTime } from './ask.ts';
import { PoolError } from './errors.ts';
import type { Changes, Member } from './types.ts';

/** The member of that pool on a node; every request says the pool, and rejects when the node cannot be reached. */
export type Reach = (node: string, pool: string) => Member;

/** More than any pool has: somebody sends without end. */
const mostDocuments = 200_000;

/**
 * All that changed after a version, page by page. A document that changes between two pages comes again with a later one, so
 * together they are exactly the state of the last page's version; before that they are no state at all.
 */
export async function collect(member: Member, since: number, clock: Clock): Promise<Changes> {
  const documents = new Map<string, Changes['documents'][number]>();
  let version = since;
  for (;;) {
    const page = await inTime(clock, answerMs, member.changes(version));
    if (page.hasLeft) return page;
    for (const document of page.documents) documents.set(document.key, document);
    if (documents.size > mostDocuments) throw new PoolError('too many documents');
    if (page.version <= version) return { version, documents: [...documents.values()] };
    version = page.version;
  }
}

interface Runs {
  readonly now: Promise<void>;
  /** Begins when that is over. */
  next: Promise<void> | null;
}

export class CatchUp {
  readonly #acceptor: Acceptor;
  readonly #reach: Reach;
  readonly #clock: Clock;
  readonly #runs = new Map<string, Runs>();

  constructor(acceptor: Acceptor, reach: Reach, clock: Clock) {
    this.#acceptor = acceptor;
    this.#reach = reach;
    this.#clock = clock;
    acceptor.whenBehind = (node, pool) => this.from(node, pool).catch(() => {});
  }

  /**
   * Takes all that one node has beyond this, as it is when asked or later; rejects if it cannot. A run that is under way may
   * have read too early: who comes then shares the one after it.
   */
  from(node: string, pool: string): Promise<void> {
    const key = `${pool} ${node}`;
    const runs = this.#runs.get(key);
    if (runs?.next) return runs.next;
    if (!runs) return this.#begin(key, node, pool);
    runs.next = runs.now.catch(() => {}).then(() => this.#begin(key, node, pool));
    return runs.next;
  }

  #begin(key: string, node: string, pool: string): Promise<void> {
    const runs: Runs = { now: this.#from(node, pool), next: null };
    this.#runs.set(key, runs);
    const forget = () => {
      if (this.#runs.get(key) === runs && !runs.next) this.#runs.delete(key);
    };
    runs.now.then(forget, forget);
    return runs.now;
  }

  /**
   * Asks all other members at once and takes from each that is ahead. To be done at start, when a member connects, and now
   * and then; so either side of a new connection comes up to the other. How many answered.
   */
  async fromAll(): Promise<number> {
    const { pool, members, self } = this.#acceptor;
    if (pool === null) return 0;
    const others = members.filter((node) => node !== self);
    const answers = await gather(this.#clock, 2 * answerMs, others, (node) => this.from(node, pool));
    return answers.size;
  }

  /** Becomes a member of the pool that a node has; see `Acceptor.join`. */
  async join(node: string, pool: string): Promise<void> {
    if (this.#acceptor.pool === pool) return this.from(node, pool);
    await this.#acceptor.join(pool, await collect(this.#reach(node, pool), 0, this.#clock));
  }

  async #from(node: string, pool: string): Promise<void> {
    const changes = await collect(this.#reach(node, pool), this.#acceptor.version, this.#clock);
    if (changes.hasLeft) await this.#acceptor.parted(pool, node, changes);
    else await this.#acceptor.apply(pool, changes);
  }
}
