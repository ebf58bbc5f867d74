/** What is done for one thing (a brick, a volume) happens one after the other, also after what failed. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  has(key: string): boolean {
    return this.#last.has(key);
  }

  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const own = before.then(work, work);
    this.#last.set(key, own);
    const done = () => {
      if (this.#last.get(key) === own) this.#last.delete(key);
    };
    own.then(done, done);
    return own;
  }
}
