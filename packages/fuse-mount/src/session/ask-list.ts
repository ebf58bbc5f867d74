import type { Ask } from './ask.ts';

/** The requests under way, oldest first. Looking for one is rare (an interrupt), coming and going is not. */
export class AskList {
  #first: Ask | null = null;
  #last: Ask | null = null;

  add(ask: Ask): void {
    ask.before = this.#last;
    if (this.#last) this.#last.after = ask;
    else this.#first = ask;
    this.#last = ask;
  }

  remove(ask: Ask): void {
    const { before, after } = ask;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    ask.before = null;
    ask.after = null;
  }

  find(uniqueLow: number, uniqueHigh: number): Ask | undefined {
    for (let ask = this.#first; ask; ask = ask.after)
      if (ask.uniqueLow === uniqueLow && ask.uniqueHigh === uniqueHigh) return ask;
    return undefined;
  }

  list(): Ask[] {
    const all: Ask[] = [];
    for (let ask = this.#first; ask; ask = ask.after) all.push(ask);
    return all;
  }
}
