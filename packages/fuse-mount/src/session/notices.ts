/**
 * What the kernel is told of files that others change (docs/caching.md, Notices). A notice makes it drop attributes that it is being told at that
 * moment (their version is an older one), and the size with them: who reads a file that changes all the time would be
 * given less of it than was there when he opened it. So none is written while somebody asks for attributes: he is told them for no time at all. Nor right after
 * he was told: he may not have been woken yet.
 */
import { FileType, type Timer } from '@mortar/core';
import { invalidateInode, shortened, type Validity } from '../protocol/index.ts';
import { type Node, wakingMs } from './nodes.ts';
import type { Session } from './session.ts';

export type Stale = 'attributes' | 'data';

/** A notice that is not written yet. */
interface Owed {
  what: Stale;
  /** Somebody was asking when it came up: what he is told is of before. Else it only waits for who was told to wake up. */
  readonly isDoubt: boolean;
  timer: Timer;
}

/** A volume that does not answer keeps no notice longer: what is seen by who asks nothing must not grow old. */
const longestMs = 500;
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
    if (node.asking > 0) this.#owe(node, what, true);
    else if (this.#nowMs - node.toldMs < wakingMs) this.#owe(node, what, false);
    else this.#send(node, what);
  }

  /** What the kernel believes of its attributes, and is being told, is to be asked for again by who is answered next. */
  forget(node: Node): void {
    if (node.asking > 0) this.#owe(node, 'attributes', true);
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
    if (!isTold) this.#flushOwed(node);
    else {
      this.#settled(node);
      if (owed.what === 'data') this.#dropPages(node);
    }
  }

  /** At once: who is answered next may rely on it (a lock was granted). */
  flush(node: Node): void {
    const owed = this.#owed.get(node);
    this.#settled(node);
    if (owed) this.#send(node, owed.what);
    if (this.#pages.has(node)) this.#dropNow(node);
  }

  /** They may be of before a change by others which the kernel has not noticed, nor will. */
  dropUnnoticed({ id, inode }: Node): void {
    if (inode.type === FileType.regular) this.#session.channel.notify(invalidateInode(id, 0, 0));
  }

  end(): void {
    for (const node of [...this.#owed.keys()]) this.#settled(node);
    for (const node of [...this.#pages.keys()]) this.#keepPages(node);
  }

  get #nowMs(): number {
    return Math.trunc(this.#session.services.clock.nowMs());
  }

  /** A doubt stays one, and the time that it may take runs from the first. */
  #owe(node: Node, what: Stale, isDoubt: boolean): void {
    const before = this.#owed.get(node);
    if (before && what === 'data') before.what = what;
    if (before && (before.isDoubt || !isDoubt)) return;
    this.#settled(node);
    const { clock } = this.#session.services;
    const flush = () => this.#flushOwed(node);
    const owed: Owed = {
      what: before?.what ?? what,
      isDoubt,
      timer: clock.after(isDoubt ? longestMs : wakingMs, () => {
        // Who asks now asked after it had come up: what he is told settles it, unless that takes too long.
        if (isDoubt || node.asking === 0) flush();
        else owed.timer = clock.after(longestMs, flush);
      }),
    };
    this.#owed.set(node, owed);
  }

  #flushOwed(node: Node): void {
    const { what } = this.#owed.get(node)!;
    this.#settled(node);
    this.#send(node, what);
  }

  #settled(node: Node): void {
    this.#owed.get(node)?.timer.cancel();
    this.#owed.delete(node);
  }

  #send(node: Node, what: Stale): void {
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

  #dropPages(node: Node): void {
    const { options, services } = this.#session;
    this.#keepPages(node);
    if (options.autoInvalidation)
      this.#pages.set(
        node,
        services.clock.after(pagesMs, () => this.#dropNow(node)),
      );
    else this.#dropNow(node);
  }

  /** The kernel may wait for pages that are being read, by requests which are yet to be answered: another thread writes that notice, some time later. */
  #dropNow(node: Node): void {
    this.#keepPages(node);
    this.#session.channel.notify(invalidateInode(node.id, 0, 0));
  }

  #keepPages(node: Node): void {
    this.#pages.get(node)?.cancel();
    this.#pages.delete(node);
  }
}
