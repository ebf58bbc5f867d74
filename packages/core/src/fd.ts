import type { Gfid } from './gfid.ts';

/**
 * An open file or directory. Every translator may keep its own state of it in its slot (the client: the brick's
 * number; posix: the descriptor). An fd without state in a translator's slot is served by gfid (anonymous).
 */
export class Fd {
  readonly gfid: Gfid;
  /** open(2) flags, 0 for directories. */
  readonly flags: number;
  readonly slots: unknown[] = [];
  /** Runs when the last user closes it, newest first: each translator frees its own. */
  readonly #onRelease: (() => void)[] = [];
  #released = false;
  /** Requests that were answered and still use it. */
  #holds = 0;
  #isGivenUp = false;

  constructor(gfid: Gfid, flags = 0) {
    this.gfid = gfid;
    this.flags = flags;
  }

  get released(): boolean {
    return this.#released;
  }

  /** It stays open below until `unhold`, though its last user closes it. */
  hold(): void {
    this.#holds++;
  }

  unhold(): void {
    if (--this.#holds === 0 && this.#isGivenUp) this.release();
  }

  onRelease(free: () => void): void {
    if (this.#released) free();
    else this.#onRelease.push(free);
  }

  release(): void {
    if (this.#released) return;
    this.#isGivenUp = true;
    if (this.#holds > 0) return;
    this.#released = true;
    for (let free = this.#onRelease.pop(); free; free = this.#onRelease.pop()) free();
  }
}

/** A name in a directory, a file by gfid, or both. For an operation on a name: `parent` and `name`; `gfid` if known. */
export interface Loc {
  gfid: Gfid | null;
  parent: Gfid | null;
  name: string | null;
}

export function locOf(gfid: Gfid): Loc {
  return { gfid, parent: null, name: null };
}

export function locAt(parent: Gfid, name: string, gfid: Gfid | null = null): Loc {
  return { gfid, parent, name };
}
