/** When a process of a rebalance that died is started again, one that never began is started, and when it is given up. By task. */

/** It is given up when it dies once more than so often in so long a time. */
const deathsMax = 5;
export const deathsWithinSeconds = 600;
const firstPauseMs = 1000;
/** The document of a task may be here before its process is started. */
const startGraceMs = 90_000;

export class RebalanceRestarts {
  /** When what died is started again. */
  readonly #againMs = new Map<string, number>();
  /** When its document was first seen without a process. */
  readonly #seenMs = new Map<string, number>();

  began(id: string): void {
    this.#seenMs.delete(id);
    this.#againMs.delete(id);
  }

  /** Forgets all other tasks. */
  keepOnly(ids: ReadonlySet<string | undefined>): void {
    for (const map of [this.#againMs, this.#seenMs]) for (const id of map.keys()) if (!ids.has(id)) map.delete(id);
  }

  /** Whether who was to start it has had the time for that. */
  isOverdue(id: string, nowMs: number): boolean {
    const sinceMs = this.#seenMs.get(id) ?? nowMs;
    this.#seenMs.set(id, sinceMs);
    return nowMs - sinceMs >= startGraceMs;
  }

  /** When it is started again; `unknown`: its death is not known yet. Says `now` once. */
  due(id: string, nowMs: number): 'unknown' | 'later' | 'now' {
    const againMs = this.#againMs.get(id);
    if (againMs === undefined) return 'unknown';
    if (nowMs < againMs) return 'later';
    this.#againMs.delete(id);
    return 'now';
  }

  /** `before`: seconds of earlier deaths. The pause until it is started again doubles each time; without one it is given up. */
  died(id: string, before: readonly number[], seconds: number, nowMs: number): { deaths: number[]; pauseMs?: number } {
    const deaths = [...before.filter((at) => seconds - at < deathsWithinSeconds), seconds];
    if (deaths.length > deathsMax) return { deaths };
    const pauseMs = firstPauseMs * 2 ** (deaths.length - 1);
    this.#againMs.set(id, nowMs + pauseMs);
    return { deaths, pauseMs };
  }
}
