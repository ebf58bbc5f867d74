/** A bounded map that gives up the entry used longest ago. */
export class Lru<K, V> {
  readonly #limit: number;
  readonly #evicted: (key: K, value: V) => void;
  readonly #map = new Map<K, V>();
  /** Not used since the last `dropIdle`. */
  #idle = new Set<K>();

  constructor(limit: number, evicted: (key: K, value: V) => void = () => {}) {
    this.#limit = limit;
    this.#evicted = evicted;
  }

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    const value = this.#map.get(key);
    if (value === undefined) return undefined;
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#idle.size > 0) this.#idle.delete(key);
    return value;
  }

  set(key: K, value: V): void {
    this.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.#limit) return;
    const [oldest] = this.#map.keys();
    this.delete(oldest!);
  }

  delete(key: K): void {
    const value = this.#map.get(key);
    if (value === undefined) return;
    this.#map.delete(key);
    this.#idle.delete(key);
    this.#evicted(key, value);
  }

  /** Gives up what was not used since the last time. */
  dropIdle(): void {
    for (const key of [...this.#idle]) this.delete(key);
    this.#idle = new Set(this.#map.keys());
  }

  clear(): void {
    for (const key of [...this.#map.keys()]) this.delete(key);
  }
}
