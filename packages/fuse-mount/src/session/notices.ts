/**
 * What the kernel is told of files that others change. A notice makes it drop attributes that it is being told at that
 * moment (their version is an older one), and the size with them: who reads a file that changes all the time could be
 * given less of it than was there when he opened it. So a notice waits until nobody is being told any more.
 */
import type { Timer } from '@mortar/core';
import { invalidateInode } from '../protocol/index.ts';
import type { Node } from './nodes.ts';
import type { Session } from './session.ts';

export type Stale = 'attributes' | 'data';

interface Owed {
  what: Stale;
  readonly timer: Timer;
}

/** A volume that does not answer keeps no notice longer: what is seen by who asks nothing must not grow old. */
const longestMs = 500;

export class Notices {
  readonly #session: Session;
  readonly #owed = new Map<Node, Owed>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Others changed this. */
  stale(node: Node, what: Stale): void {
    if (node.asking === 0) {
      this.#send(node, what);
      return;
    }
    const owed = this.#owed.get(node);
    if (owed) {
      if (what === 'data') owed.what = what;
      return;
    }
    const timer = this.#session.services.clock.after(longestMs, () => this.flush(node));
    this.#owed.set(node, { what, timer });
  }

  /** A request for attributes was answered, or failed. */
  answered(node: Node): void {
    if (--node.asking === 0) this.flush(node);
  }

  /** At once: who is answered next may rely on it (a lock was granted). */
  flush(node: Node): void {
    const owed = this.#owed.get(node);
    if (!owed) return;
    this.#owed.delete(node);
    owed.timer.cancel();
    this.#send(node, owed.what);
  }

  end(): void {
    for (const { timer } of this.#owed.values()) timer.cancel();
    this.#owed.clear();
  }

  #send(node: Node, what: Stale): void {
    this.#session.channel.notify(invalidateInode(node.id, what === 'data' ? 0 : -1, 0));
  }
}
