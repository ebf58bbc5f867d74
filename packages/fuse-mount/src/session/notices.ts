/**
 * What the kernel is told of files that others change (docs/caching.md, Notices). A notice makes it drop attributes that it is being told at that
 * moment (their version is an older one), and the size with them: who reads a file that changes all the time would be
 * given less of it than was there when he opened it. So none is written while somebody asks for attributes: he is told them for no time at all. Nor right after
 * he was told: he may not have been woken yet.
 */
import type { Timer } from '@mortar/core';
import { invalidateInode, shortened, type Validity } from '../protocol/index.ts';
import type { Node } from './nodes.ts';
import type { Session } from './session.ts';

export type Stale = 'attributes' | 'data';

/** A notice that is not written yet. */
interface Owed {
  what: Stale;
  /** Somebody was asking when it came up: what he is told is of before. */
  readonly isDoubt: boolean;
  readonly timer: Timer;
}

/** A volume that does not answer keeps no notice longer: what is seen by who asks nothing must not grow old. */
const longestMs = 500;
/** Until who was told attributes has surely been woken. */
const wakingMs = 50;
/** Until pages are dropped of a file that nobody asks about: who has it mapped does not. */
const pagesMs = 200;

const notAtAll: Validity = { seconds: 0, nanoseconds: 0 };

export class Notices {
  readonly #session: Session;
  readonly #owed = new Map<Node, Owed>();
  /** Files whose pages the kernel would drop by itself, as soon as it asks for their attributes. */
  readonly #pages = new Map<Node, Timer>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Others changed this. */
  stale(node: Node, what: Stale): void {
    const owed = this.#owed.get(node);
    const isData = what === 'data' || owed?.what === 'data';
    if (node.asking > 0) this.#owe(node, isData, true);
    else if (this.#nowMs - node.toldMs < wakingMs) this.#owe(node, isData, owed?.isDoubt === true);
    else this.#send(node, what);
  }

  /** What the kernel believes of its attributes, and is being told, is to be asked for again by who is answered next. */
  forget(node: Node): void {
    if (node.asking > 0) this.#owe(node, this.#owed.get(node)?.what === 'data', true);
    this.#forgetAttributes(node);
  }

  /** How long the kernel may believe what it is told now; the volume told it `ageMs` ago. */
  validity(node: Node, ageMs: number): Validity {
    node.believed = this.#owed.size === 0 || this.#owed.get(node)?.isDoubt !== true;
    return node.believed ? shortened(this.#session.attrValid, ageMs) : notAtAll;
  }

  /** A request for attributes was answered; `isTold`: with them. */
  answered(node: Node, isTold: boolean): void {
    node.asking--;
    if (isTold) node.toldMs = this.#nowMs;
    if (this.#owed.size + this.#pages.size === 0) return;
    const owed = this.#owed.get(node);
    if (isTold && !owed?.isDoubt) {
      // He asked after all that came up: with what he was told the kernel knows it.
      this.#settled(node);
      this.#keepPages(node);
    }
    if (node.asking > 0 || !owed?.isDoubt) return;
    if (!isTold) this.flush(node);
    else {
      this.#settled(node);
      if (owed.what === 'data') this.#dropPages(node);
    }
  }

  /** At once: who is answered next may rely on it (a lock was granted). */
  flush(node: Node): void {
    const owed = this.#owed.get(node);
    if (!owed) return;
    this.#settled(node);
    this.#send(node, owed.what);
  }

  end(): void {
    for (const node of [...this.#owed.keys()]) this.#settled(node);
    for (const node of [...this.#pages.keys()]) this.#keepPages(node);
  }

  get #nowMs(): number {
    return Math.trunc(this.#session.services.clock.nowMs());
  }

  #owe(node: Node, isData: boolean, isDoubt: boolean): void {
    this.#settled(node);
    const due = () => {
      // Who asks now asked after it had come up.
      if (isDoubt || node.asking === 0) this.flush(node);
      else this.#owe(node, isData, false);
    };
    const timer = this.#session.services.clock.after(isDoubt ? longestMs : wakingMs, due);
    this.#owed.set(node, { what: isData ? 'data' : 'attributes', isDoubt, timer });
  }

  #settled(node: Node): void {
    this.#owed.get(node)?.timer.cancel();
    this.#owed.delete(node);
  }

  #send(node: Node, what: Stale): void {
    const { channel, options } = this.#session;
    if (what === 'data' && !options.autoInvalidation) {
      node.believed = false;
      channel.notify(invalidateInode(node.id, 0, 0));
      return;
    }
    this.#forgetAttributes(node);
    if (what === 'data') this.#dropPages(node);
  }

  /** Written at once: attributes alone make the kernel wait for nobody. */
  #forgetAttributes(node: Node): void {
    if (!node.believed) return;
    node.believed = false;
    const message = invalidateInode(node.id, -1, 0);
    this.#session.channel.write(message, message.length);
  }

  /** The kernel may wait for pages that are being read, by requests which are yet to be answered: another thread writes that notice, some time later. */
  #dropPages(node: Node): void {
    const { channel, options, services } = this.#session;
    this.#keepPages(node);
    const drop = () => {
      this.#pages.delete(node);
      channel.notify(invalidateInode(node.id, 0, 0));
    };
    if (options.autoInvalidation) this.#pages.set(node, services.clock.after(pagesMs, drop));
    else drop();
  }

  #keepPages(node: Node): void {
    this.#pages.get(node)?.cancel();
    this.#pages.delete(node);
  }
}
