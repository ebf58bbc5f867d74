/** A bounded map that gives up the entry used longest ago. */
export class Lru<K, V> {
  readonly #limit: number;
  readonly #evicted: (key: K, value: V) => void;
  readonly #map = new Map<K, V>();

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
    this.#evicted(key, value);
  }

  clear(): void {
    for (const key of [...this.#map.keys()]) this.delete(key);
  }
}
