/**
 * Promises to clients that nobody else changes a file before they were asked to let go of it (docs/delegations.md). A promise
 * ends when its client has let go, or by itself after a while: who is silent holds nobody up for longer. It does not end with the
 * client's session: the client may not know yet that this is over.
 */
import type { Clock, Gfid, Timer } from '@mortar/core';

/** Files that clients hold at a time; more are not promised. */
const heldMax = 65_536;
/** Files that are remembered as being changed and read by several. */
const contendedMax = 4096;

interface Held {
  /** Which promise it is: a client may let go of an earlier one when it has this one already. */
  readonly serial: number;
  readonly untilMs: number;
  /** It was asked for; resolves when it is over. */
  asked?: Promise<void>;
  over?: () => void;
}

export interface DelegationsHost {
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  /** Asks a client to let go. */
  readonly ask: (gfid: Gfid, clientId: string, serial: number) => void;
  /** Whether somebody is changing the file right now. */
  readonly isChanging: (gfid: Gfid) => boolean;
}

export class Delegations {
  /** How long a promise holds; 0: none is made. */
  lifetimeMs: number;
  /** None is made for so long about a file that somebody had to be asked for: each would cost the next change a round trip. */
  restMs: number;
  readonly #host: DelegationsHost;
  /** By file and client; the files whose last promise is oldest come first. */
  readonly #held = new Map<Gfid, Map<string, Held>>();
  /** Files that rest, the one that was asked for longest ago first: until when. */
  readonly #contended = new Map<Gfid, number>();
  /** Until then clients may rely on what the process before this one had promised. */
  readonly #inheritedUntilMs: number;
  #serial = 0;
  readonly counts = { granted: 0, refused: 0, recalled: 0, expired: 0 };

  constructor(host: DelegationsHost, lifetimeMs: number, restMs: number) {
    this.#host = host;
    this.lifetimeMs = lifetimeMs;
    this.restMs = restMs;
    this.#inheritedUntilMs = host.clock.nowMs() + lifetimeMs;
  }

  /** Files with a promise, though it may be over. */
  get size(): number {
    return this.#held.size;
  }

  /** Whether changes have to ask at all. */
  get isAsked(): boolean {
    return this.#held.size > 0 || this.#host.clock.nowMs() < this.#inheritedUntilMs;
  }

  /** Milliseconds that the promise holds; 0: it is not made. To be called before the file is read for this client. */
  grant(gfid: Gfid, clientId: string): number {
    this.#sweep();
    const nowMs = this.#host.clock.nowMs();
    const held = this.#held.get(gfid);
    const isBusy =
      (this.#contended.get(gfid) ?? 0) > nowMs ||
      this.#host.isChanging(gfid) ||
      held?.get(clientId)?.asked !== undefined;
    if (this.lifetimeMs === 0 || isBusy || (!held && this.#held.size >= heldMax)) {
      this.counts.refused++;
      return 0;
    }
    this.#held.delete(gfid);
    const promise = { serial: ++this.#serial, untilMs: nowMs + this.lifetimeMs };
    this.#held.set(gfid, (held ?? new Map<string, Held>()).set(clientId, promise));
    this.counts.granted++;
    return this.lifetimeMs;
  }

  /** Whether the client may rely on it still, as far as it has been told. */
  holds(gfid: Gfid, clientId: string): boolean {
    const held = this.#held.get(gfid)?.get(clientId);
    return held !== undefined && held.asked === undefined;
  }

  /** It has let go. */
  returned(gfid: Gfid, clientId: string, serial: number): void {
    const held = this.#held.get(gfid)?.get(clientId);
    if (held?.serial !== serial) return;
    this.#forget(gfid, clientId);
    held.over?.();
  }

  /** Before `by` changes these files: resolves when nobody else relies on them. Undefined: nobody does. */
  recall(gfids: readonly Gfid[], by: string): Promise<unknown> | undefined {
    const { clock } = this.#host;
    const waits: Promise<void>[] = [];
    const inheritedMs = this.#inheritedUntilMs - clock.nowMs();
    if (inheritedMs > 0) waits.push(new Promise((resolve) => clock.after(inheritedMs, resolve)));
    for (const gfid of gfids)
      for (const [clientId, held] of [...(this.#held.get(gfid) ?? [])])
        if (clientId !== by) {
          const wait = this.#ask(gfid, clientId, held);
          if (wait) waits.push(wait);
        }
    return waits.length > 0 ? Promise.all(waits) : undefined;
  }

  #ask(gfid: Gfid, clientId: string, held: Held): Promise<void> | undefined {
    if (held.asked) return held.asked;
    const leftMs = held.untilMs - this.#host.clock.nowMs();
    if (leftMs <= 0) {
      this.#forget(gfid, clientId);
      return undefined;
    }
    this.counts.recalled++;
    this.#rests(gfid);
    let timer: Timer | undefined;
    held.asked = new Promise((resolve) => {
      held.over = () => {
        timer?.cancel();
        resolve();
      };
    });
    timer = this.#host.clock.after(leftMs, () => {
      this.counts.expired++;
      this.returned(gfid, clientId, held.serial);
    });
    this.#host.ask(gfid, clientId, held.serial);
    return held.asked;
  }

  #rests(gfid: Gfid): void {
    if (this.restMs === 0) return;
    this.#contended.delete(gfid);
    this.#contended.set(gfid, this.#host.clock.nowMs() + this.restMs);
    if (this.#contended.size > contendedMax) this.#contended.delete(this.#contended.keys().next().value!);
  }

  #forget(gfid: Gfid, clientId: string): void {
    const held = this.#held.get(gfid);
    held?.delete(clientId);
    if (held?.size === 0) this.#held.delete(gfid);
  }

  /** A little at a time: what is over goes, from the oldest. */
  #sweep(): void {
    const nowMs = this.#host.clock.nowMs();
    for (const [gfid, held] of this.#held) {
      const isOver = [...held.values()].every((one) => !one.asked && one.untilMs <= nowMs);
      if (!isOver) return;
      this.#held.delete(gfid);
    }
  }
}
