/**
 * What became of the changing requests for a device, by tag. A client has no tag of a device under way that is `windowTags` or more below
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
  /** Null: none has come yet. The first one may be any: a session that begins anew goes on counting. */
  #newest: number | null = null;

  /** A request came: whether it is to be done. Tags begin at 1 and wrap. */
  meet(tag: number): Met {
    if (this.see(tag) <= -windowTags) return 'late';
    const slot = tag % windowTags;
    if (this.#states[slot] !== 0 && this.#tags[slot] === tag)
      return this.#states[slot] === running ? 'running' : 'done';
    this.#tags[slot] = tag;
    this.#states[slot] = running;
    return 'new';
  }

  /** One that changes nothing: the tags have got that far. How far it is ahead of those before. */
  see(tag: number): number {
    const ahead = this.#newest === null ? 1 : (tag - this.#newest) | 0;
    if (ahead > 0) this.#newest = tag;
    return ahead;
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
