/**
 * What became of the changing requests of a session, by tag. A client has no tag under way that is `windowTags` or more below
 * its newest one: so whatever is that far below is a late copy of something that was answered, and is not looked at.
 */
import type { Errno } from '@mortar/core';

export const windowTags = 4096;

export type Met = 'new' | 'running' | 'done' | 'late';

const running = 1;
const done = 2;

export class TagWindow {
  readonly #tags = new Uint32Array(windowTags);
  readonly #states = new Uint8Array(windowTags);
  readonly #errnos = new Uint16Array(windowTags);
  #newest = 0;

  /** A request came: whether it is to be done. Tags begin at 1 and wrap. */
  meet(tag: number): Met {
    const ahead = (tag - this.#newest) | 0;
    if (ahead <= -windowTags) return 'late';
    if (ahead > 0) this.#newest = tag;
    const slot = tag % windowTags;
    if (this.#states[slot] !== 0 && this.#tags[slot] === tag)
      return this.#states[slot] === running ? 'running' : 'done';
    this.#tags[slot] = tag;
    this.#states[slot] = running;
    return 'new';
  }

  finish(tag: number, errno: Errno | 0): void {
    const slot = tag % windowTags;
    if (this.#tags[slot] !== tag) return;
    this.#states[slot] = done;
    this.#errnos[slot] = errno;
  }

  errnoOf(tag: number): number {
    return this.#errnos[tag % windowTags]!;
  }
}
