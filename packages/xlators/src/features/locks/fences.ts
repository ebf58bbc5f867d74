/**
 * Fence tokens. Each write lock of a domain gets a number that is higher than all before it on this brick; whoever acts
 * under the lock sends it along, and once the lock is gone what still comes with that number is refused. A lock
 * whose holder lost it counts as held until operations that had been let in under it have ended.
 */
import type { Clock } from '@mortar/core';

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

/** How many tokens a brick can give a second, on average over its run, before numbers of its next run could be lower. */
const tokensPerSecond = 2 ** 20;

export class Fences {
  #next: number;
  readonly #live = new Map<number, FenceToken>();

  /**
   * Numbers start at wall-clock seconds times 2^20: higher than any of an earlier run of this brick, without a
   * counter on disk, as long as the clock is not set back and no run gave more than 2^20 tokens a second. If
   * that is violated, an old token could be taken for a new one only if it is the same number for the same client.
   */
  constructor(clock: Clock) {
    this.#next = clock.wall().sec * tokensPerSecond + 1;
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
