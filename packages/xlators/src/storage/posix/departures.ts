/** When a rebalance last took a name away from here: who lists several bricks must know whether one passed him by. */
import type { Clock, Reply, Xdata } from '@mortar/core';

/** Nobody reads a directory for longer. */
const rememberedMs = 24 * 3600 * 1000;

export class Departures {
  readonly #clock: Clock;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `xdata` of an unlink that was done. */
  note(xdata: Xdata | undefined): void {
    if (xdata?.movedAway) this.#lastMs = this.#clock.nowMs();
  }

  /** A reply to readdir or readdirp, made now. */
  tell(reply: Reply<'readdir'>): Reply<'readdir'> {
    const movedAgoMs = Math.ceil(this.#clock.nowMs() - this.#lastMs);
    if (!reply.ok || movedAgoMs > rememberedMs) return reply;
    return { ...reply, xdata: { ...reply.xdata, movedAgoMs } };
  }
}
