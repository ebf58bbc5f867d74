/** So many at a time; the others wait in turn. */
export class Gate {
  readonly #limit: number;
  #inside = 0;
  /** A queue whose first place is `#first`: taking from the front of an array moves all others. */
  #waiting: ((() => void) | undefined)[] = [];
  #first = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#waiting.length - this.#first;
  }

  /** True: in. False: `enter` has to be waited for. */
  tryEnter(): boolean {
    if (this.#inside >= this.#limit) return false;
    this.#inside++;
    return true;
  }

  enter(): Promise<void> {
    if (this.tryEnter()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting[this.#first];
    if (!next) {
      this.#inside--;
      return;
    }
    this.#waiting[this.#first++] = undefined;
    if (this.#first > 1024 || this.#first === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    next();
  }
}
