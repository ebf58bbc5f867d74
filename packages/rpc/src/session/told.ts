/**
 * Numbers that the brick is told by notices, which it does not answer: of fds that were closed. A notice is known to have arrived when a request
 * that went behind it is answered. What is not known to have arrived goes again by the session's next connection; the brick does it once.
 */

interface Notice {
  readonly number: number;
  /** The first request behind it. */
  readonly before: number;
}

export class Told {
  /** By the present connection, in order. */
  #told: Notice[] = [];
  /** To be told by the next one. */
  #owed: number[] = [];

  told(number: number, before: number): void {
    this.#told.push({ number, before });
  }

  /** There is no connection. */
  owe(number: number): void {
    this.#owed.push(number);
  }

  /** A request is answered that went by the present connection. */
  answered(sequence: number): void {
    const told = this.#told;
    if (told.length === 0 || told[0]!.before > sequence) return;
    const left = told.findIndex(({ before }) => before > sequence);
    this.#told = left < 0 ? [] : told.slice(left);
  }

  /** The connection is gone, and with it perhaps what it told. */
  disconnected(): void {
    for (const { number } of this.#told) this.#owed.push(number);
    this.#told = [];
  }

  takeOwed(): number[] {
    return this.#owed.splice(0);
  }

  /** The session is over: the brick has forgotten all. */
  clear(): void {
    this.#told = [];
    this.#owed = [];
  }
}
