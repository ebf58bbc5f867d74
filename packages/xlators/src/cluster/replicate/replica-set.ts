/** The children of a replica set: who is up, who holds data, and winding a fop to several of them at once. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fop,
  type FopName,
  fail,
  type Reply,
  type Subvolume,
  type Success,
} from '@mortar/core';
import { hasQuorum, type QuorumRule, type QuorumType, quorumRule } from './quorum.ts';

/** Replies by child; undefined where the fop was not wound. */
export type Replies<N extends FopName> = (Reply<N> | undefined)[];

export interface ReplicaSetOptions {
  readonly pendingKeys: readonly string[];
  readonly arbiterCount: number;
  readonly quorumType: QuorumType | undefined;
  readonly quorumCount: number;
}

export class ReplicaSet {
  readonly children: readonly Subvolume[];
  /** In which xattr a brick blames child j. */
  readonly pendingKeys: readonly string[];
  readonly arbiter: number | undefined;
  quorum: QuorumRule;
  readonly #up: boolean[];
  /** Rises with every change of who is up: knowledge from before may be out of date. */
  generation = 1;

  constructor(children: readonly Subvolume[], options: ReplicaSetOptions) {
    this.children = children;
    this.pendingKeys = options.pendingKeys;
    this.arbiter = options.arbiterCount > 0 ? children.length - 1 : undefined;
    this.quorum = quorumRule(options.quorumType, options.quorumCount, children.length);
    this.#up = children.map(() => false);
  }

  get count(): number {
    return this.children.length;
  }

  isUp(child: number): boolean {
    return this.#up[child] === true;
  }

  get upState(): readonly boolean[] {
    return this.#up;
  }

  /** Whether this changed anything. */
  setUp(child: number, up: boolean): boolean {
    if (this.#up[child] === up) return false;
    this.#up[child] = up;
    this.generation++;
    return true;
  }

  get up(): number[] {
    return this.#up.flatMap((up, i) => (up ? [i] : []));
  }

  /** Whether these children are enough to change anything. */
  suffices(children: readonly number[]): boolean {
    return hasQuorum(
      this.quorum,
      this.#up.map((_, i) => children.includes(i)),
    );
  }

  holdsData(child: number): boolean {
    return child !== this.arbiter;
  }

  /** Winds `fop` to `children` in parallel; `argsOf(child)` are its arguments. */
  async wind<N extends FopName>(
    children: readonly number[],
    fop: N,
    call: Call,
    argsOf: (child: number) => Args<N>,
  ): Promise<Replies<N>> {
    const replies: Replies<N> = this.children.map(() => undefined);
    const one = async (child: number) => {
      replies[child] = await this.windOne(child, fop, call, argsOf(child));
    };
    await Promise.all(children.map(one));
    return replies;
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

/** Errors that say that a brick is not there, rather than what it thinks of the request. */
export function isAbsence(errno: Errno): boolean {
  return errno === Errno.ENOTCONN || errno === Errno.ETIMEDOUT || errno === Errno.EBADFD;
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
