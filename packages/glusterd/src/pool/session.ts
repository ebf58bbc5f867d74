/**
 * One holder's work under one ballot: gets promises of a majority, brings this node up to them, finishes what it finds
 * accepted, proposes (docs/pool.md). The same ballot never proposes two values for one version: after a proposal that was
 * not decided the session is over.
 */
import type { Clock } from '@mortar/core/ports.ts';
import type { OperationError } from '../errors.ts';
import type { Acceptor } from './acceptor.ts';
import { answerMs, gather, inTime } from './ask.ts';
import { compareBallots } from './ballot.ts';
import type { CatchUp, Reach } from './catch-up.ts';
import { noMajority, outvoted, PoolError, removedFromPool, UndecidedError, undecided } from './errors.ts';
import type { AcceptReply, Ballot, DocumentChange, LockInfo, LockReply, Member, Proposal } from './types.ts';

type Failure = (members: readonly string[], answers: ReadonlyMap<string, AcceptReply>) => Error;
type Granted = Extract<LockReply, { granted: true }>;

/** Others are told that something is decided or over; who does not answer soon hears of it otherwise. */
const courtesyMs = 1000;

/** A ballot was too low, or somebody else was faster: worth another try. */
export class Beaten extends Error {
  readonly code = 'EBEATEN';
  readonly lock: LockInfo | null;
  readonly round: number;

  constructor(round: number, lock: LockInfo | null) {
    super('another node works on the pool');
    this.round = round;
    this.lock = lock;
  }
}

export interface SessionPorts {
  readonly acceptor: Acceptor;
  readonly catchUp: CatchUp;
  readonly reach: Reach;
  readonly clock: Clock;
}

export class Session {
  readonly ballot: Ballot;
  readonly operation: string;
  readonly #ports: SessionPorts;
  readonly #pool: string | null;
  readonly #lifeMs: number;
  readonly #promises = new Map<string, Granted>();
  readonly #asked = new Set<string>();
  /** Members that promised, and could not be followed. */
  readonly #lost = new Set<string>();
  #over: OperationError | null = null;
  /** The version that the work has seen, and the next proposal follows. */
  #version = 0;

  /** `pool`: the one that the operation began in; if this node leaves it, the session is over. */
  constructor(ports: SessionPorts, pool: string | null, ballot: Ballot, operation: string, lifeMs: number) {
    this.#ports = ports;
    this.ballot = ballot;
    this.operation = operation;
    this.#lifeMs = lifeMs;
    this.#pool = pool;
  }

  /** How many of so many are a majority. */
  majority(count: number): number {
    return Math.floor(count / 2) + 1;
  }

  /** What may have been decided as the next version: the highest ballot's. */
  found(): Proposal | null {
    const next = this.#ports.acceptor.version + 1;
    const found = [...this.#promises.values()].flatMap(({ accepted }) =>
      accepted?.version === next ? [accepted] : [],
    );
    return found.sort((a, b) => compareBallots(b.ballot, a.ballot))[0] ?? null;
  }

  /** Takes the lock. Throws Beaten, or OperationError without a majority. */
  async begin(): Promise<void> {
    const { acceptor } = this.#ports;
    this.#checkPool();
    // This node's promise is on disk before anybody else hears of the ballot, so that it is never used again.
    this.#asked.add(acceptor.self);
    const own = await this.#ask(acceptor.self).lock(this.ballot, this.operation, this.#lifeMs);
    if (!own.granted) throw new Beaten(own.promised.round, own.lock);
    this.#promises.set(acceptor.self, own);
    await this.#becomeReady();
    this.#version = acceptor.version;
  }

  /** Commits one change; resolves when it is decided and applied here. */
  async propose(changes: readonly DocumentChange[]): Promise<void> {
    if (this.#over) throw this.#over;
    const { acceptor } = this.#ports;
    try {
      await this.#becomeReady();
    } catch (error) {
      throw error instanceof Beaten ? this.#end(outvoted(false)) : error;
    }
    if (acceptor.version !== this.#version) throw this.#end(outvoted(false));
    acceptor.documents.checkMembership(changes);
    await this.#decide(changes, (members, answers) => this.#undecidedBy(members, answers));
    this.#version = acceptor.version;
  }

  /** Gives the lock back, whatever became of it. */
  async end(): Promise<void> {
    this.#over ??= outvoted(false);
    const { clock } = this.#ports;
    await gather(clock, courtesyMs, [...this.#asked], (node) => this.#ask(node).unlock(this.ballot));
  }

  /** Until the promises are a majority of the members of the highest version known, and nothing accepted is left there. */
  async #becomeReady(): Promise<void> {
    for (;;) {
      this.#checkPool();
      await this.#comeUp();
      const members = new Set(this.#ports.acceptor.members);
      for (const node of this.#promises.keys()) if (!members.has(node)) this.#promises.delete(node);
      if (this.#promises.size < this.majority(members.size)) {
        await this.#collectPromises([...members]);
        continue;
      }
      const found = this.found();
      if (!found) break;
      await this.#decide(found.changes, (members, answers) => this.#unfinishedBy(members, answers));
    }
  }

  async #collectPromises(members: readonly string[]): Promise<void> {
    const { clock } = this.#ports;
    const missing = members.filter((node) => !this.#promises.has(node) && !this.#lost.has(node));
    const needed = this.majority(members.length) - this.#promises.size;
    for (const node of missing) this.#asked.add(node);
    const grants = (answers: ReadonlyMap<string, LockReply>) =>
      [...answers.values()].filter(({ granted }) => granted).length;
    const answers = await gather(
      clock,
      answerMs,
      missing,
      (node) => this.#ask(node).lock(this.ballot, this.operation, this.#lifeMs),
      (soFar) => grants(soFar) >= needed,
    );
    const refusals = [];
    for (const [node, answer] of answers) {
      if (answer.granted) this.#promises.set(node, answer);
      else refusals.push(answer);
    }
    if (grants(answers) >= needed) return;
    if (grants(answers) + refusals.length >= needed) {
      const round = Math.max(...refusals.map(({ promised }) => promised.round));
      throw new Beaten(round, refusals.find(({ lock }) => lock !== null)?.lock ?? null);
    }
    throw this.#end(
      noMajority(members.length, this.#names([...this.#lost, ...missing.filter((node) => !answers.has(node))])),
    );
  }

  /** To the highest version among the promises, with the help of whoever has it. */
  async #comeUp(): Promise<void> {
    const { acceptor, catchUp } = this.#ports;
    for (const [node, { version }] of this.#promises) {
      if (version <= acceptor.version || node === acceptor.self || this.#pool === null) continue;
      try {
        await catchUp.from(node, this.#pool);
      } catch {
        // It went away.
      }
      this.#checkPool();
      if (version <= acceptor.version) continue;
      // A promise from somebody who is ahead says nothing of what others may have decided for this node's next version.
      this.#promises.delete(node);
      this.#lost.add(node);
    }
  }

  /** Has a majority accept these as the next version, applies it here, and tells the others. */
  async #decide(changes: readonly DocumentChange[], failure: Failure): Promise<void> {
    const { acceptor, clock } = this.#ports;
    const members = acceptor.members;
    const proposal: Proposal = { version: acceptor.version + 1, ballot: this.ballot, changes };
    const needed = this.majority(members.length);
    const accepting = (answers: ReadonlyMap<string, AcceptReply>) =>
      [...answers].filter(([, { accepted }]) => accepted).map(([node]) => node);
    const answers = await gather(
      clock,
      answerMs,
      members,
      (node) => this.#ask(node).accept(proposal),
      (soFar) => accepting(soFar).length >= needed || isOutvoted(soFar, this.ballot, members.length - needed),
    );
    const accepted = accepting(answers);
    if (accepted.length < needed) throw failure(members, answers);
    try {
      await this.#ask(acceptor.self).learn(proposal);
    } catch (error) {
      throw this.#end(undecidedHere(error as Error));
    }
    this.#tell(members, proposal);
    const others = accepted.filter((node) => node !== acceptor.self);
    await gather(clock, courtesyMs, others, (node) => this.#told.get(node) ?? Promise.resolve());
  }

  readonly #told = new Map<string, Promise<void>>();

  #tell(members: readonly string[], proposal: Proposal): void {
    const { acceptor, clock } = this.#ports;
    for (const node of members) {
      if (node === acceptor.self) continue;
      const told = inTime(clock, answerMs, this.#ask(node).learn(proposal)).catch(() => {});
      this.#told.set(node, told);
    }
  }

  #undecidedBy(members: readonly string[], answers: ReadonlyMap<string, AcceptReply>): Error {
    const needed = this.majority(members.length);
    if (isOutvoted(answers, this.ballot, members.length - needed)) return this.#end(outvoted(true));
    return this.#end(undecided(members.length, this.#away(members, answers)));
  }

  /** Another's change could not be finished: nothing of this operation has begun. */
  #unfinishedBy(members: readonly string[], answers: ReadonlyMap<string, AcceptReply>): Error {
    const refusals = [...answers.values()].flatMap((reply) => (reply.accepted ? [] : [reply]));
    const isElsewhere = refusals.some(
      ({ promised, version }) => version > this.#ports.acceptor.version || compareBallots(promised, this.ballot) > 0,
    );
    if (isElsewhere) return new Beaten(Math.max(...refusals.map(({ promised }) => promised.round)), null);
    return this.#end(noMajority(members.length, this.#away(members, answers)));
  }

  /** Who is behind and could not come up counts as away. */
  #away(members: readonly string[], answers: ReadonlyMap<string, AcceptReply>): string[] {
    return this.#names(members.filter((node) => answers.get(node)?.accepted !== true));
  }

  #end(error: OperationError): OperationError {
    this.#over = error;
    return error;
  }

  #checkPool(): void {
    if (this.#ports.acceptor.pool !== this.#pool) throw this.#end(removedFromPool());
  }

  #ask(node: string): Member {
    const { acceptor, reach } = this.#ports;
    if (node === acceptor.self) return acceptor.forPool(this.#pool);
    if (this.#pool === null) throw new PoolError('a node in no pool has no other members');
    return reach(node, this.#pool);
  }

  #names(nodes: readonly string[]): string[] {
    return nodes.map((node) => {
      const peer = this.#ports.acceptor.documents.get(`peer/${node}`) as { hostnames?: readonly string[] } | null;
      return peer?.hostnames?.[0] ?? node;
    });
  }
}

/** Whether so many refuse for a higher ballot that the others are no majority. */
function isOutvoted(answers: ReadonlyMap<string, AcceptReply>, ballot: Ballot, spare: number): boolean {
  const higher = [...answers.values()].filter((reply) => !reply.accepted && compareBallots(reply.promised, ballot) > 0);
  return higher.length > spare;
}

function undecidedHere(error: Error): UndecidedError {
  return new UndecidedError(`The change was decided, but could not be written on this node: ${error.message}`);
}
