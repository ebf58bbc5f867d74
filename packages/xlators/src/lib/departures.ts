/**
 * When a rebalance last took a name away from a brick: who asks several bricks must know whether a file passed him by, which
 * had not come yet where he was answered first, and was gone where he was answered last.
 */
import { type Clock, Errno, type Failure, type FopName, type Reply, type Xdata } from '@mortar/core';

/** Nobody reads a directory for longer. */
const listingMaxMs = 24 * 3600 * 1000;
/** Nobody waits longer for the answer to a lookup. */
const lookupMaxMs = 600_000;

export class Departures {
  readonly #clock: Clock;
  /** What was before the brick began is not known. */
  #lastMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.nowMs();
  }

  /** `xdata` of an unlink that was done. */
  note(xdata: Xdata | undefined): void {
    if (xdata?.movedAway) this.#lastMs = this.#clock.nowMs();
  }

  /** A reply to readdir or readdirp, made now. */
  tell(reply: Reply<'readdir'>): Reply<'readdir'> {
    return reply.ok ? this.#told(reply, listingMaxMs) : reply;
  }

  /** A reply to lookup, made now: of what is there nobody needs to know it. */
  tellIfMissing(reply: Reply<'lookup'>): Reply<'lookup'> {
    const isMissing = !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
    return isMissing ? this.#told(reply, lookupMaxMs) : reply;
  }

  /** Rather too little than too much: then one look more is taken. */
  #told<R extends { xdata?: Xdata }>(reply: R, maxMs: number): R {
    const movedAgoMs = Math.max(0, Math.floor(this.#clock.nowMs() - this.#lastMs));
    return movedAgoMs > maxMs ? reply : { ...reply, xdata: { ...reply.xdata, movedAgoMs } };
  }
}

/** The least that any of these tell. */
export function movedAgoOf(replies: readonly (Reply<FopName> | undefined)[]): number {
  return Math.min(...replies.map((reply) => reply?.xdata?.movedAgoMs ?? Number.POSITIVE_INFINITY));
}

/** A failure that says what those of which it is made said of it. */
export function withMovedAgo(failure: Failure, replies: readonly (Reply<FopName> | undefined)[]): Failure {
  const movedAgoMs = movedAgoOf(replies);
  return Number.isFinite(movedAgoMs) ? { ...failure, xdata: { ...failure.xdata, movedAgoMs } } : failure;
}
