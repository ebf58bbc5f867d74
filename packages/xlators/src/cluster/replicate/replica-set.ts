/** The children of a replica set: who is up, who holds data, and winding a fop to several of them at once. */
import {
  type Args,
  type Call,
  type Clock,
  Errno,
  type Failure,
  type Fop,
  type FopName,
  fail,
  locOf,
  type Reply,
  rootCall,
  rootGfid,
  type Subvolume,
  type Success,
} from '@mortar/core';
import { Laggards } from './laggards.ts';
import { hasQuorum, type QuorumRule, type QuorumType, quorumCount, quorumRule } from './quorum.ts';

/** Replies by child; undefined where the fop was not wound. */
export type Replies<N extends FopName> = (Reply<N> | undefined)[];

export interface ReplicaSetOptions {
  readonly pendingKeys: readonly string[];
  readonly arbiterCount: number;
  readonly quorumType: QuorumType | undefined;
  readonly quorumCount: number;
  readonly laggardTimeoutMs: number;
}

export class ReplicaSet {
  readonly children: readonly Subvolume[];
  /** In which xattr a brick blames child j. */
  readonly pendingKeys: readonly string[];
  readonly arbiter: number | undefined;
  quorum: QuorumRule;
  readonly #connected: boolean[];
  /** Children that were on this machine when they came up. */
  readonly localChildren = new Set<number>();
  readonly laggards: Laggards;
  laggardTimeoutMs: number;
  /** Rises with every change of who is up: knowledge from before may be out of date. */
  generation = 1;

  /** `changed`: a child was left out because it lags, or is back. */
  constructor(
    children: readonly Subvolume[],
    options: ReplicaSetOptions,
    clock: Clock,
    changed: (child: number, lags: boolean) => void,
  ) {
    this.children = children;
    this.pendingKeys = options.pendingKeys;
    this.arbiter = options.arbiterCount > 0 ? children.length - 1 : undefined;
    this.quorum = quorumRule(options.quorumType, options.quorumCount, children.length);
    this.#connected = children.map(() => false);
    this.laggardTimeoutMs = options.laggardTimeoutMs;
    const self = this;
    this.laggards = new Laggards({
      clock,
      get timeoutMs() {
        return self.laggardTimeoutMs;
      },
      // More than half: two of them cannot leave out each other and go on.
      maySpare: (answered) => 2 * answered.length > self.count && self.suffices(answered),
      probe: () => this.wind(this.up, 'lookup', rootCall(clock), () => ({ loc: locOf(rootGfid) })),
      changed: (child, lags) => {
        self.generation++;
        changed(child, lags);
      },
    });
  }

  get count(): number {
    return this.children.length;
  }

  isUp(child: number): boolean {
    return this.#connected[child] === true && !this.laggards.has(child);
  }

  isConnected(child: number): boolean {
    return this.#connected[child] === true;
  }

  /** Whether this changed who is up. */
  setConnected(child: number, connected: boolean): boolean {
    if (this.#connected[child] === connected) return false;
    this.#connected[child] = connected;
    this.generation++;
    return !this.laggards.has(child);
  }

  /** Connected and not left out. */
  get up(): number[] {
    return this.children.flatMap((_, i) => (this.isUp(i) ? [i] : []));
  }

  /** Whether these children are enough to change anything. */
  suffices(children: readonly number[]): boolean {
    return hasQuorum(
      this.quorum,
      this.children.map((_, i) => children.includes(i)),
    );
  }

  /** How many make a quorum at the least; 0: there is none. */
  get quorumCount(): number {
    return quorumCount(this.quorum, this.count);
  }

  /** Whether what a majority has is what was acknowledged. Where fewer make a quorum, others may have been told of something else. */
  get majorityDecides(): boolean {
    return 2 * this.quorumCount > this.count;
  }

  holdsData(child: number): boolean {
    return child !== this.arbiter;
  }

  /** Winds `fop` to `children` in parallel; `argsOf(child)` are its arguments. Who lags is ETIMEDOUT. */
  async wind<N extends FopName>(
    children: readonly number[],
    fop: N,
    call: Call,
    argsOf: (child: number) => Args<N>,
  ): Promise<Replies<N>> {
    const answers = await this.collect(children, (child) => this.windOne(child, fop, call, argsOf(child)));
    return this.children.map((_, child) => answers.get(child));
  }

  /** Replies of `children`; who lags is ETIMEDOUT. */
  collect<R extends { readonly ok: boolean }>(
    children: readonly number[],
    ask: (child: number) => Promise<R | Failure>,
  ): Promise<Map<number, R | Failure>> {
    return this.laggards.collect<R | Failure>(children, ask, fail(Errno.ETIMEDOUT), isThere);
  }

  /** From one child; ETIMEDOUT when it turns out to answer nothing at all. */
  ask<N extends FopName>(child: number, fop: N, call: Call, args: Args<N>): Promise<Reply<N>> {
    return this.laggards.heed<Reply<N>>(child, this.windOne(child, fop, call, args), fail(Errno.ETIMEDOUT));
  }

  windOne<N extends FopName>(child: number, fop: N, call: Call, args: Args<N>): Promise<Reply<N>> {
    const run = this.children[child]![fop] as unknown as Fop<N>;
    return run(call, args);
  }
}

/** Children whose reply is a success. */
export function succeeded(replies: readonly ({ ok: boolean } | undefined)[]): number[] {
  return replies.flatMap((reply, i) => (reply?.ok ? [i] : []));
}

export function successAt<N extends FopName>(replies: Replies<N>, child: number): Success<N> | undefined {
  const reply = replies[child];
  return reply?.ok ? (reply as Success<N>) : undefined;
}

function isThere(reply: { readonly ok: boolean }): boolean {
  return reply.ok || !isAbsence((reply as Failure).errno);
}

/** Errors that say that a brick is not there, rather than what it thinks of the request. */
export function isAbsence(errno: Errno): boolean {
  return errno === Errno.ENOTCONN || errno === Errno.ETIMEDOUT || errno === Errno.EBADFD;
}

/** Errors of one replica, after which another is worth asking: it is not there, its disk fails, or it lacks the file. */
export function isFault(errno: Errno): boolean {
  return isAbsence(errno) || errno === Errno.EIO || errno === Errno.ESTALE;
}

/** How telling an errno is when replicas disagree: a later one in the list wins. */
const telling: readonly Errno[] = [
  Errno.ENOTCONN,
  Errno.EBADFD,
  Errno.ETIMEDOUT,
  Errno.ENOENT,
  Errno.ESTALE,
  Errno.EIO,
  Errno.ENOSPC,
  Errno.EDQUOT,
  Errno.EROFS,
];

/** The failure to report when no success may be. Without any reply: ENOTCONN. */
export function failureOf(replies: readonly ({ ok: boolean } | undefined)[]): Failure {
  let best: Failure | undefined;
  for (const reply of replies) {
    if (!reply || reply.ok) continue;
    const failure = reply as Failure;
    if (!best || rank(failure.errno) > rank(best.errno)) best = failure;
  }
  return fail(best?.errno ?? Errno.ENOTCONN);
}

function rank(errno: Errno): number {
  const at = telling.indexOf(errno);
  return at < 0 ? telling.length : at;
}
