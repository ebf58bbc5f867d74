/**
 * Data that stayed on a child under a name that leads elsewhere: the child went away between the switch of the name and the
 * removal of what it replaced, or a rename could not be taken back there. Were it left there, it would come back under that name as soon as the new file goes. So who left
 * it removes it when the child is back. (Of who dies meanwhile a rebalance removes it: replaced.ts.)
 */
import { type Call, Errno, type Gfid, locAt } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { withNames } from './locks.ts';
import { isAbsent } from './lookup.ts';

export interface Leftover {
  readonly child: number;
  readonly parent: Gfid;
  readonly name: string;
  readonly gfid: Gfid;
}

/** More are forgotten, the oldest first. */
const leftoversMax = 1024;

export class Leftovers {
  readonly #d: Distribute;
  #all: Leftover[] = [];
  /** Being removed. */
  readonly #due = new Set<Leftover>();
  #run: Promise<void> = Promise.resolve();

  constructor(d: Distribute) {
    this.#d = d;
  }

  add(leftover: Leftover): void {
    this.#all.push(leftover);
    if (this.#all.length > leftoversMax) this.#all.shift();
  }

  /** A child is back: one that has leftovers, or where their names hash to. `remove`: takes the name off, if the file has it there. */
  retry(remove: (call: Call, leftover: Leftover) => Promise<boolean>): void {
    const due = this.#all.filter(({ child }) => this.#d.isUp(child));
    if (due.length === 0) return;
    this.#all = this.#all.filter((one) => !due.includes(one));
    for (const one of due) this.#due.add(one);
    this.#run = this.#run.then(async () => {
      for (const one of due) {
        const isSettled = await this.#settle(one, remove).catch((error: unknown) => this.#isAmiss(one, error));
        if (!isSettled) this.add(one);
        this.#due.delete(one);
      }
    });
  }

  /** Waits while one of this name is being removed. Whether there still is one: the name is not the file's own. */
  async isUnder(parent: Gfid, name: string): Promise<boolean> {
    const isOfName = (one: Leftover) => one.parent === parent && one.name === name;
    while ([...this.#due].some(isOfName)) await this.#run;
    return this.#all.some(isOfName);
  }

  get isEmpty(): boolean {
    return this.#all.length === 0 && this.#due.size === 0;
  }

  /** Whoever waits for it, and the others that are due, are not to be stopped by one. */
  #isAmiss({ parent, name }: Leftover, error: unknown): false {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#d.warn(`what is left of ${parent}/${name} is not removed: ${text}`);
    return false;
  }

  /** Whether there is nothing left to do. */
  async #settle(leftover: Leftover, remove: (call: Call, leftover: Leftover) => Promise<boolean>): Promise<boolean> {
    const d = this.#d;
    const { parent, name, gfid, child } = leftover;
    const call = d.ownCall();
    const hashed = await d.hashedOf(call, parent, name);
    if (isFailure(hashed)) return isAbsent(hashed);
    // Where the name hashes to now the file is what is shown, by right or not: nobody can tell.
    if (hashed === child) return true;
    const done = await withNames(d, call, [{ child: hashed, parent, name }], async () => {
      const shown = await d.children[hashed]!.lookup(call, { loc: locAt(parent, name) });
      // It has got the name again.
      if (shown.ok && shown.iatt.gfid === gfid) return { ok: true as const, isDone: true };
      if (!shown.ok && shown.errno !== Errno.ENOENT) return { ok: true as const, isDone: false };
      return { ok: true as const, isDone: await remove(call, leftover) };
    });
    return done.ok && done.isDone;
  }
}
