/**
 * The translator's contract. A translator is an object with methods named after the fops it handles, over subvolumes
 * that have all of them. Fops it does not have are bound straight to its child when the graph is built.
 */

import { runSteps } from './compound.ts';
import { Errno } from './errno.ts';
import type { GraphEvent } from './events.ts';
import { travelsUp } from './events.ts';
import type { Fd } from './fd.ts';
import { type Fop, type FopName, type Fops, fail, fopNames } from './fops.ts';
import type { Inode, InodeTable } from './inode-table.ts';
import type { OptionTable, OptionValues } from './options.ts';
import type { Clock, Log, Metrics, Random } from './ports.ts';

/** What a translator does with a fop. `refuses` answers EOPNOTSUPP. */
export type FopStance = 'handles' | 'passes' | 'refuses';
/** Complete by type: whoever adds a fop to the table must decide for each translator that declares one. */
export type FopRecord = Record<FopName, FopStance>;

/** A record from the few exceptions; for translators that pass or handle nearly all. */
export function stances(rest: FopStance, exceptions: Partial<FopRecord>): FopRecord {
  return Object.fromEntries(fopNames.map((name) => [name, exceptions[name] ?? rest])) as FopRecord;
}

/** What the process gives its translators. Hosts extend it with the ports that their translators ask for. */
export interface Services {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly inodes: InodeTable;
  /** A port by name: `transport`, `threads`...; throws when this process has none. */
  port<T>(name: string): T;
}

export interface XlatorInit<T extends OptionTable = OptionTable> {
  readonly name: string;
  readonly type: string;
  readonly options: OptionValues<T>;
  /** Options as the volfile has them, also those that the table does not know. */
  readonly texts: ReadonlyMap<string, string>;
  readonly services: Services;
}

/**
 * What a translator goes on using of file data, after it has answered a write with `ok` or has handed up the data of a read:
 * nothing; the data of writes, saying so of what was lent (`retainBytes`); the data of writes; or all. Copies that it makes before are
 * its own affair.
 */
export type Keeps = 'nothing' | 'retained' | 'writes' | 'all';

const keptMost: readonly Keeps[] = ['all', 'writes', 'retained', 'nothing'];

/** What somebody keeps who stands over others. */
export function keptTogether(keeps: Iterable<Keeps>): Keeps {
  const all = new Set(keeps);
  return keptMost.find((one) => all.has(one)) ?? 'nothing';
}

/** How a type of translator is registered: everything the graph builder and the tools need to know of it. */
export interface XlatorType<T extends OptionTable = OptionTable> {
  /** As in a volfile: `cluster/replicate`. */
  readonly type: string;
  readonly description: string;
  readonly options: T;
  /** How many subvolumes it takes. */
  readonly subvolumes: { readonly min: number; readonly max: number };
  /** Required of every type with more than one subvolume, and of those that must not let an unknown fop slip by. */
  readonly fops?: FopRecord;
  /** Which file data it goes on using after a reply (docs/payloads.md). Absent: all. */
  readonly keeps?: Keeps;
  create(init: XlatorInit<T>): Xlator;
}

/** A child as its parent sees it: all fops, and its name. */
export interface Subvolume extends Fops {
  readonly xlator: Xlator;
}

export abstract class Xlator {
  readonly name: string;
  readonly type: string;
  readonly services: Services;
  /** Options as the volfile in force has them, with the overrides of the command line. */
  texts: ReadonlyMap<string, string>;
  children: readonly Subvolume[] = [];
  parents: readonly Xlator[] = [];
  /** What is kept here or below. */
  keeps: Keeps = 'all';
  /** This translator's state on an inode is `inode.slots[slot]`, on an fd `fd.slots[slot]`. */
  readonly slot: number;
  #bound: Subvolume | undefined;

  constructor(init: XlatorInit) {
    this.name = init.name;
    this.type = init.type;
    this.services = init.services;
    this.texts = init.texts;
    this.slot = init.services.inodes.allocateSlot((inode, state) => this.forget(inode, state));
  }

  /** The only child. */
  get child(): Subvolume {
    return this.children[0]!;
  }

  /** All fops of this translator, as its parents call them. */
  get ops(): Subvolume {
    if (!this.#bound) throw new Error(`${this.name} is used before its graph is built`);
    return this.#bound;
  }

  /** Called by the graph builder when the children are bound. */
  bind(children: readonly Subvolume[], record: FopRecord | undefined): void {
    this.children = children;
    const bound: Record<string, unknown> = { xlator: this };
    const bindOne = <N extends FopName>(name: N) => this.bindFop(name, this.#nextOf(name, record));
    for (const name of fopNames) bound[name] = bindOne(name);
    this.#bound = bound as unknown as Subvolume;
  }

  /**
   * The function that parents will call for a fop; `next` is the child's, or a refusal. Translators that treat all
   * fops alike (trace, statistics, delay) override this instead of writing fifty methods.
   */
  protected bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const own = (this as unknown as Record<string, unknown>)[name];
    if (typeof own === 'function') return own.bind(this) as Fops[N];
    if (name !== 'compound' || !this.#handlesAny()) return next;
    // A compound must not slip past the fops that this translator handles.
    const unroll: Fop<'compound'> = (call, args) => runSteps(this.ops, call, args.steps);
    return unroll as Fops[N];
  }

  #handlesAny(): boolean {
    return fopNames.some((name) => typeof (this as unknown as Record<string, unknown>)[name] === 'function');
  }

  #nextOf<N extends FopName>(name: N, record: FopRecord | undefined): Fops[N] {
    const stance = record?.[name] ?? 'passes';
    if (stance === 'passes' && this.children.length === 1) return this.child[name] as Fops[N];
    const refusal = fail(Errno.EOPNOTSUPP);
    return (async () => refusal) as Fops[N];
  }

  /** Before the first fop, children first. */
  async init(): Promise<void> {}

  /** New option values that are all live. `texts` are the volfile's. */
  reconfigure(_values: OptionValues<OptionTable>, _texts: ReadonlyMap<string, string>): void {}

  /** An event from a child or from a parent (`from`). By default it goes on. */
  notify(event: GraphEvent, _from: Xlator | null): void {
    this.propagate(event);
  }

  propagate(event: GraphEvent): void {
    if (travelsUp(event)) for (const parent of this.parents) parent.notify(event, this);
    else for (const child of this.children) child.xlator.notify(event, this);
  }

  /**
   * Another graph is about to serve: from now on nothing is answered before it is done, and the promise is for all that was. Null: there
   * is nothing to wait for. Requests go on coming.
   */
  settle(): Promise<void> | null {
    return null;
  }

  /** The errno of something that was answered for an open file and has failed since, if its user was not told. Who asks tells him. */
  untold(_fd: Fd): Errno | null {
    return null;
  }

  /** Finishes what is delayed or cached and not yet on the children. */
  async drain(): Promise<void> {}

  /** After the last fop, parents first. */
  async fini(): Promise<void> {}

  /** An inode leaves the table. */
  protected forget(_inode: Inode, _state: unknown): void {}

  /** For the state dump and `.meta`: `key=value` pairs of this translator. */
  dump(): Record<string, string | number | boolean> {
    return {};
  }
}
