/** A bounded number of calls off the event loop, by priority; the rest wait in order, higher priorities first. */

export const priorities = ['high', 'normal', 'low', 'least'] as const;
export type Priority = (typeof priorities)[number];

export interface PlaceLimits extends Record<Priority, number> {
  total: number;
}

interface Waiting {
  readonly clientId: string;
  go(): void;
  refuse(): void;
}

export class Places {
  limits: PlaceLimits;
  #taken = 0;
  readonly #takenBy: Record<Priority, number> = { high: 0, normal: 0, low: 0, least: 0 };
  readonly #queues: Record<Priority, Waiting[]> = { high: [], normal: [], low: [], least: [] };

  constructor(limits: PlaceLimits) {
    this.limits = limits;
  }

  /** Runs the call when there is a place; `refusal` instead if `dropClient` came first. */
  async run<T>(priority: Priority, clientId: string, call: () => Promise<T>, refusal: T): Promise<T> {
    if (!(await this.#enter(priority, clientId))) return refusal;
    try {
      return await call();
    } finally {
      this.#taken--;
      this.#takenBy[priority]--;
      this.#next();
    }
  }

  #enter(priority: Priority, clientId: string): Promise<boolean> | boolean {
    if (this.#room(priority)) {
      this.#take(priority);
      return true;
    }
    return new Promise((resolve) => {
      this.#queues[priority].push({ clientId, go: () => resolve(true), refuse: () => resolve(false) });
    });
  }

  #room(priority: Priority): boolean {
    return this.#taken < this.limits.total && this.#takenBy[priority] < this.limits[priority];
  }

  #take(priority: Priority): void {
    this.#taken++;
    this.#takenBy[priority]++;
  }

  #next(): void {
    for (const priority of priorities) {
      while (this.#queues[priority].length > 0 && this.#room(priority)) {
        this.#take(priority);
        this.#queues[priority].shift()!.go();
      }
    }
  }

  /** Refuses what a client has waiting; how many. */
  dropClient(clientId: string): number {
    let dropped = 0;
    for (const priority of priorities) {
      const queue = this.#queues[priority];
      this.#queues[priority] = queue.filter((waiting) => waiting.clientId !== clientId);
      const gone = queue.filter((waiting) => waiting.clientId === clientId);
      for (const waiting of gone) waiting.refuse();
      dropped += gone.length;
    }
    return dropped;
  }

  get taken(): number {
    return this.#taken;
  }

  get queued(): number {
    return priorities.reduce((sum, priority) => sum + this.#queues[priority].length, 0);
  }
}
