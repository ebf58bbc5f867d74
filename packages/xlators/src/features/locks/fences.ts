/**
 * Fence tokens. Each write lock of a domain gets a number that no lock of this brick had before; whoever acts
 * under the lock sends it along, and once the lock is gone what still comes with that number is refused. A lock
 * whose holder lost it counts as held until operations that had been let in under it have ended.
 */
import type { Random } from '@mortar/core';

export interface FenceToken {
  readonly number: number;
  readonly clientId: string;
  /** False once the lock was released or taken away. */
  live: boolean;
  /** Operations that were let in and have not ended. */
  running: number;
  /** Called when a dead token's last operation ends. */
  drained: (() => void) | null;
}

/** Runs of a brick begin at one of so many places, which lie so far apart: numbers stay below 2^53. */
const places = 2 ** 32;
const placeLength = 2 ** 20;

export class Fences {
  #next: number;
  readonly #live = new Map<number, FenceToken>();

  /**
   * Numbers start at a random place, without a counter on disk and without a clock, which may be set back or begin at the same second
   * with every start of the machine. An old token is taken for a new one only if it is the same number for the same client: a run
   * that gave n millions of tokens shares a number with the next one in n of four thousand million cases.
   */
  constructor(random: Random) {
    this.#next = random.integer(places) * placeLength + 1;
  }

  issue(clientId: string): FenceToken {
    const token: FenceToken = { number: this.#next++, clientId, live: true, running: 0, drained: null };
    this.#live.set(token.number, token);
    return token;
  }

  /** The token if its lock is still held by this client. */
  find(number: number, clientId: string): FenceToken | undefined {
    const token = this.#live.get(number);
    return token?.clientId === clientId ? token : undefined;
  }

  /** Refuses the token from now on. `gone` is called when nothing runs under it any more: at once, or later. */
  revoke(token: FenceToken, gone: () => void): void {
    token.live = false;
    this.#live.delete(token.number);
    if (token.running === 0) gone();
    else token.drained = gone;
  }

  /** Runs an operation under a live token. */
  async run<T>(token: FenceToken, operation: () => Promise<T>): Promise<T> {
    token.running++;
    try {
      return await operation();
    } finally {
      if (--token.running === 0) {
        const { drained } = token;
        token.drained = null;
        drained?.();
      }
    }
  }

  get size(): number {
    return this.#live.size;
  }
}
