/**
 * Keeps calls about one thing in their order while some of them are off the event loop: reads may run side by side, a
 * change waits for all before it and is waited for by all behind it. Costs nothing while nothing is registered.
 */
interface Gate {
  running: number;
  changing: boolean;
  readonly queue: Entry[];
}

interface Entry {
  readonly keys: readonly string[];
  readonly changes: boolean;
  start(): void;
}

export class Order {
  readonly #gates = new Map<string, Gate>();
  /** Waiting for one or more gates, in order of arrival. */
  #waiting: Entry[] = [];

  /** Whether a call must go through `run`: something registered touches one of its keys. */
  busy(keys: readonly string[]): boolean {
    return this.#gates.size > 0 && keys.some((key) => this.#gates.has(key));
  }

  get size(): number {
    return this.#gates.size;
  }

  /** Runs when its turn has come at all its keys. */
  async run<T>(keys: readonly string[], changes: boolean, call: () => Promise<T>): Promise<T> {
    const unique = [...new Set(keys)];
    await this.#enter(unique, changes);
    try {
      return await call();
    } finally {
      this.#leave(unique);
    }
  }

  #enter(keys: readonly string[], changes: boolean): Promise<void> | undefined {
    const entry = { keys, changes, start: () => {} };
    for (const key of keys) {
      let gate = this.#gates.get(key);
      if (!gate) {
        gate = { running: 0, changing: false, queue: [] };
        this.#gates.set(key, gate);
      }
      gate.queue.push(entry);
    }
    if (this.#free(entry)) {
      this.#take(entry);
      return undefined;
    }
    this.#waiting.push(entry);
    return new Promise((resolve) => {
      entry.start = resolve;
    });
  }

  /** First in each queue, or behind reads only if it is one. */
  #free(entry: Entry): boolean {
    return entry.keys.every((key) => {
      const gate = this.#gates.get(key)!;
      if (gate.changing || (entry.changes && gate.running > 0)) return false;
      const before = gate.queue.slice(0, gate.queue.indexOf(entry));
      return before.every((other) => !other.changes && !entry.changes);
    });
  }

  #take(entry: Entry): void {
    for (const key of entry.keys) {
      const gate = this.#gates.get(key)!;
      gate.queue.splice(gate.queue.indexOf(entry), 1);
      gate.running++;
      gate.changing = entry.changes;
    }
  }

  #leave(keys: readonly string[]): void {
    for (const key of keys) {
      const gate = this.#gates.get(key)!;
      gate.running--;
      gate.changing = false;
      if (gate.running === 0 && gate.queue.length === 0) this.#gates.delete(key);
    }
    if (this.#waiting.length === 0) return;
    const still: Entry[] = [];
    for (const entry of this.#waiting) {
      if (this.#free(entry)) {
        this.#take(entry);
        entry.start();
      } else still.push(entry);
    }
    this.#waiting = still;
  }
}
