/** The pool as operations use it: one change after the other under the cluster lock, agreed on by a majority. */
import type { Random } from '@mortar/core/ports.ts';
import { lockLifeMs } from '../transaction/lock.ts';
import { answerMs, gather } from './ask.ts';
import { isPeerKey, peerKey } from './documents.ts';
import { contended, lockTaken, PoolError, removedFromPool } from './errors.ts';
import { Beaten, Session, type SessionPorts } from './session.ts';
import type { Ballot, DocumentChange, HolderReply, Holding, LockInfo, Pool } from './types.ts';

/** What holds the lock for the moment that breaking it takes. */
export const breaking = 'lock break';
const mostAttempts = 6;
/** A lock of this age belongs to somebody who came at the same moment, and may be about to give up, too. */
const contentionMs = 2000;
/** How long a change waits for one that is about something else: people expect that changes of two volumes do not meet. */
const patienceMs = 20_000;
/** Who has the lock for longer than this may have it for much longer. */
const longMs = 30_000;
const pauseMs = 300;

export interface CoordinatorPorts extends SessionPorts {
  readonly random: Random;
}

interface Current {
  readonly operation: string;
  readonly sinceMs: number;
  /** Null while it gets the lock. */
  ballot: Ballot | null;
}

export class Coordinator implements Pool {
  readonly #ports: CoordinatorPorts;
  #current: Current | null = null;
  #round = 0;

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports;
  }

  get version(): number {
    return this.#ports.acceptor.version;
  }

  get isAlone(): boolean {
    return this.#ports.acceptor.members.length === 1;
  }

  async transact<T>(
    operation: string,
    work: (propose: (changes: readonly DocumentChange[]) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { acceptor, clock } = this.#ports;
    const { pool } = acceptor;
    const sinceMs = clock.nowMs();
    for (let own = this.#own(); own; own = this.#own()) {
      if (!isWorthWaiting(operation, own, clock.nowMs() - sinceMs)) throw lockTaken(own);
      await clock.sleep(pauseMs / 3);
      // Removed from the pool meanwhile, it would agree with itself.
      if (acceptor.pool !== pool) throw removedFromPool();
    }
    const current: Current = { operation, sinceMs: clock.nowMs(), ballot: null };
    this.#current = current;
    try {
      const session = await this.#begin(operation, current);
      try {
        return await work((changes) => session.propose(changes));
      } finally {
        await session.end();
      }
    } finally {
      if (this.#current === current) this.#current = null;
    }
  }

  holders(): Promise<Holding[]> {
    return this.#askHolders(false);
  }

  /**
   * A lock that is forgotten binds nobody, but who had it could still propose. So a majority promises a higher ballot, with
   * which what was found half done is finished as well: then a proposal of the ballot before is refused for good.
   */
  async breakLock(): Promise<{ holders: Holding[]; ballot: Ballot }> {
    const { acceptor } = this.#ports;
    const { pool } = acceptor;
    const holders = await this.#askHolders(true);
    // A node that is alone by now would agree with itself.
    if (acceptor.pool !== pool) throw removedFromPool();
    const session = await this.#begin(breaking);
    await session.end();
    return { holders, ballot: session.ballot };
  }

  /**
   * A member that lost its disk has forgotten what it promised and accepted. So the others decide a change without it first:
   * what it forgot is about versions that are past then. Of two members none decides without the other, and this one knows all that
   * both have voted for; unless that makes a third member, with whom the lost one may have decided more.
   */
  async readmit(node: string): Promise<void> {
    const { acceptor } = this.#ports;
    const key = peerKey(node);
    // As it is under the lock: what was waited for may have detached it, and would be undone.
    if (acceptor.members.length > 2)
      return this.transact(`return of ${node}`, (propose) => propose([{ key, value: memberNow(acceptor, node) }]));
    memberNow(acceptor, node);
    const { accepted, version, documents } = acceptor;
    const isNew = (change: DocumentChange) => isPeerKey(change.key) && documents.get(change.key) === null;
    if (
      accepted &&
      accepted.version > version &&
      accepted.changes.some((change) => change.value !== null && isNew(change))
    )
      throw new PoolError(`node ${node} was lost while a third one was taken in`);
  }

  async #askHolders(isBroken: boolean): Promise<Holding[]> {
    const { acceptor, reach, clock } = this.#ports;
    const { pool, self } = acceptor;
    const member = (node: string) => (node === self || pool === null ? acceptor.forPool(pool) : reach(node, pool));
    const answers = await gather(clock, answerMs, acceptor.members, (node) => member(node).holder(isBroken));
    return together([...answers.values()]);
  }

  /** What this node itself works on; not if its lock was broken, so that another operation can go on. */
  #own(): LockInfo | null {
    const { acceptor, clock } = this.#ports;
    if (!this.#current) return null;
    const { ballot, operation, sinceMs } = this.#current;
    if (ballot && !acceptor.holds(ballot)) return null;
    const ageMs = clock.nowMs() - sinceMs;
    return { node: acceptor.self, operation, ageMs, expiresInMs: Math.max(0, lockLifeMs - ageMs) };
  }

  async #begin(operation: string, current?: Current): Promise<Session> {
    const { acceptor, clock, random } = this.#ports;
    const { pool } = acceptor;
    const sinceMs = clock.nowMs();
    for (let attempt = 1; ; attempt++) {
      this.#round = Math.max(this.#round, acceptor.promised?.round ?? 0) + 1;
      const ballot = { round: this.#round, node: acceptor.self };
      const session = new Session(this.#ports, pool, ballot, operation, lockLifeMs);
      try {
        await session.begin();
        if (current) current.ballot = ballot;
        return session;
      } catch (error) {
        await session.end();
        if (!(error instanceof Beaten)) throw error;
        this.#round = Math.max(this.#round, error.round);
        const { lock } = error;
        if (lock && isWorthWaiting(operation, lock, clock.nowMs() - sinceMs)) {
          await clock.sleep(random.integer(pauseMs) + 20);
          continue;
        }
        if (lock && (lock.ageMs >= contentionMs || attempt === mostAttempts)) throw lockTaken(lock);
        if (attempt === mostAttempts) throw contended();
        await clock.sleep(random.integer(100 * attempt) + 20);
      }
    }
  }
}

function memberNow({ documents }: CoordinatorPorts['acceptor'], node: string): unknown {
  const value = documents.get(peerKey(node));
  if (value === null) throw new PoolError(`node ${node} is no member`);
  return value;
}

/** Whether a lock is held for another volume, and not for so long that people should be told. */
function isWorthWaiting(operation: string, lock: LockInfo, waitedMs: number): boolean {
  if (operation === breaking || subjectOf(lock.operation) === subjectOf(operation)) return false;
  return lock.ageMs < longMs && waitedMs < patienceMs;
}

/** Operations are named with what they are about at the end: `volume start v`. */
function subjectOf(operation: string): string {
  return operation.slice(operation.lastIndexOf(' ') + 1);
}

/** Clocks of members differ, and some were asked for the lock later: the longest time counts. */
function together(replies: readonly HolderReply[]): Holding[] {
  const found = new Map<string, Holding>();
  for (const { lock } of replies) {
    if (!lock) continue;
    const key = `${lock.node} ${lock.operation}`;
    const known = found.get(key);
    const older = known && known.ageMs > lock.ageMs ? known : lock;
    found.set(key, { ...older, members: (known?.members ?? 0) + 1 });
  }
  return [...found.values()].sort((a, b) => b.members - a.members);
}
