/** Keeps the number of nodes in bounds: the kernel is asked to forget names, of the oldest nodes first. */
import type { Timer } from '@mortar/core';
import { invalidateEntry } from '../protocol/index.ts';
import type { Node } from './nodes.ts';
import type { Session } from './session.ts';

/** Names asked for at a time: notifications travel one by one. */
const atATime = 1024;
/** Until what was asked for is forgotten. */
const againMs = 100;

export class NodeLimit {
  readonly #session: Session;
  readonly #limit: number;
  /** Goes round through all nodes, so that those which the kernel cannot let go are not asked for again and again. */
  #hand: Iterator<Node>;
  #next: Timer | undefined;

  /** `limit` 0: none. */
  constructor(session: Session, limit: number) {
    this.#session = session;
    this.#limit = limit;
    this.#hand = session.nodes.all();
  }

  /** Called now and then; goes on by itself as long as that helps. */
  check(): void {
    const { nodes, services } = this.#session;
    if (this.#limit === 0 || nodes.size <= this.#limit || this.#next) return;
    this.#ask();
    const before = nodes.size;
    this.#next = services.clock.after(againMs, () => {
      this.#next = undefined;
      if (nodes.size < before) this.check();
    });
  }

  end(): void {
    this.#next?.cancel();
  }

  #ask(): void {
    const { nodes } = this.#session;
    let asked = 0;
    for (let left = nodes.size; left > 0 && asked < Math.min(atATime, nodes.size - this.#limit); left--) {
      const next = this.#hand.next();
      if (next.done) {
        this.#hand = nodes.all();
        continue;
      }
      if (this.#letGo(next.value)) asked++;
    }
  }

  #letGo(node: Node): boolean {
    const { nodes, channel } = this.#session;
    const { parent, name } = node.inode;
    const directory = parent === null || node.handles.size > 0 ? undefined : nodes.byGfid(parent);
    if (!directory || name === null || node === nodes.root) return false;
    channel.notify(invalidateEntry(directory.id, name));
    return true;
  }
}
