/** What people do to the pool in a run: change documents, probe, detach, join, break locks. */
import { OperationError } from '@mortar/glusterd/errors.ts';
import { UndecidedError } from '@mortar/glusterd/pool/errors.ts';
import type { DocumentChange } from '@mortar/glusterd/pool/types.ts';
import type { SeededRandom } from '../sim/random.ts';
import type { Judge } from './judge.ts';
import type { PoolNode, PoolProcess } from './process.ts';

interface Options {
  readonly version: number;
}

export function peerDocument(id: string) {
  return { uuid: id, state: 3, hostnames: [`host-${id.slice(0, 8)}`] };
}

export class Work {
  readonly #nodes: readonly PoolNode[];
  readonly #judge: Judge;
  readonly #random: SeededRandom;
  readonly #say: (text: string) => void;
  #serial = 0;
  acknowledged = 0;
  /** Operations that have begun and not ended, by the process that runs them. */
  readonly running = new Map<string, PoolProcess>();
  /** Told that nothing was changed. */
  readonly #refused = new Set<string>();

  readonly #isHasty: boolean;
  /** Locks are broken by `Coordinator.breakLock`, not only forgotten by the members. */
  readonly #isThorough: boolean;

  constructor(
    nodes: readonly PoolNode[],
    judge: Judge,
    random: SeededRandom,
    { isHasty, isThorough }: { isHasty: boolean; isThorough: boolean },
    say: (text: string) => void,
  ) {
    this.#isHasty = isHasty;
    this.#isThorough = isThorough;
    this.#nodes = nodes;
    this.#judge = judge;
    this.#random = random;
    this.#say = say;
  }

  /** One step of somebody; the node that runs it, if one does. */
  step(): PoolNode | null {
    const random = this.#random;
    const ready = this.#nodes.filter(({ process }) => process?.acceptor.pool === this.#judge.pool);
    if (ready.length === 0) return null;
    const node = random.pick(ready);
    const members = node.process!.acceptor.members;
    const others = this.#nodes.filter(({ id }) => !members.includes(id));
    const what = random.integer(20);
    if (what < 2 && others.length > 0) void this.run(node, [this.#probe(random.pick(others))]);
    else if (what < 4 && members.length > 2)
      void this.run(node, [{ key: `peer/${random.pick(members.filter((id) => id !== node.id))}`, value: null }]);
    else if (what < 7) this.join(node, random.pick(this.#nodes));
    else if (what < (this.#isHasty ? 13 : 9)) {
      if (this.#isThorough) void this.breakForGood(node);
      else this.breakLocks();
    } else void this.run(node, this.#someDocuments());
    return node;
  }

  breakLocks(): void {
    this.#say('the lock is broken');
    for (const { process } of this.#nodes) process?.acceptor.breakLock();
  }

  /** Somebody breaks the lock as the command line does: afterwards who had it commits nothing. */
  async breakForGood(node: PoolNode): Promise<void> {
    const process = node.process;
    if (process?.acceptor.pool !== this.#judge.pool) return;
    this.#say(`${node.id.slice(0, 8)} breaks the lock`);
    try {
      const { holders, ballot } = await process.coordinator.breakLock();
      this.#judge.broken(ballot);
      this.#say(`the lock of ${holders.map(({ operation }) => operation).join(', ') || 'nobody'} is broken for good`);
    } catch (error) {
      this.#say(`the lock is not broken: ${(error as Error).message}`);
      if (error instanceof TypeError || error instanceof RangeError) this.#judge.problem(`lock break: ${error.stack}`);
    }
  }

  /** A node is told to join the pool of another. */
  join(from: PoolNode, node: PoolNode): void {
    if (node === from) return;
    const joining = node.disk.hasForgotten ? this.#takeBack(from, node) : this.#join(from, node);
    joining.then(
      () => this.#say(`${node.id.slice(0, 8)} has joined`),
      (error: Error) => this.#say(`${node.id.slice(0, 8)} does not join: ${error.message}`),
    );
  }

  async #join(from: PoolNode, node: PoolNode): Promise<void> {
    await node.process?.catchUp.join(from.id, this.#judge.pool);
  }

  /** As the management does it with one that is a member by the documents and has none. */
  async #takeBack(from: PoolNode, node: PoolNode): Promise<void> {
    const process = from.process;
    if (process?.acceptor.pool !== this.#judge.pool) return;
    await process.coordinator.readmit(node.id);
    await this.#join(from, node);
  }

  /** Whether it was told that the change is made. */
  async run(node: PoolNode, changes: readonly DocumentChange[]): Promise<boolean> {
    const id = `op${++this.#serial}`;
    const process = node.process;
    if (!process) return false;
    let isDone = false;
    let isPartly = false;
    const again = this.#random.chance(0.2) ? this.#someDocuments() : null;
    this.#say(`${id} at ${node.id.slice(0, 8)}: ${JSON.stringify(changes)}`);
    this.running.set(id, process);
    try {
      await process.coordinator.transact(id, async (propose) => {
        await process.node.clock.sleep(this.#thinkMs());
        await propose([this.#count(process, id), ...changes]);
        this.#judge.acknowledged(id);
        this.acknowledged++;
        isPartly = true;
        if (!again) return;
        await process.node.clock.sleep(this.#thinkMs());
        await propose([this.#count(process, `${id} again`), ...again]);
        this.#judge.acknowledged(`${id} again`);
      });
      isDone = true;
      this.#say(`${id} is done`);
    } catch (error) {
      this.#say(`${id} fails: ${(error as Error).message}`);
      const isCertain = error instanceof OperationError && !(error instanceof UndecidedError);
      if (isCertain) this.#refused.add(isPartly ? `${id} again` : id);
      if (error instanceof TypeError || error instanceof RangeError) this.#judge.problem(`${id}: ${error.stack}`);
    }
    this.running.delete(id);
    return isDone;
  }

  checkRefused(): void {
    for (const id of this.#refused)
      if (this.#judge.done.has(id)) this.#judge.problem(`${id} was refused but is version ${this.#judge.done.get(id)}`);
  }

  #probe({ id }: PoolNode): DocumentChange {
    return { key: `peer/${id}`, value: peerDocument(id) };
  }

  #thinkMs(): number {
    return this.#random.pick(this.#isHasty ? [0, 5, 50, 200] : [0, 0, 5, 100, 1500]) * this.#random.between(0, 1);
  }

  #count({ acceptor }: PoolProcess, id: string): DocumentChange {
    // None: the node was removed from the pool while it worked.
    const globals = acceptor.documents.get('globals') as Options | null;
    return { key: 'globals', value: { version: (globals?.version ?? 0) + 1, options: { last: id } } };
  }

  #someDocuments(): DocumentChange[] {
    const random = this.#random;
    const names = ['a', 'b', 'c', 'd'].filter(() => random.chance(0.5));
    return names.map((name) => ({
      key: `volume/${name}`,
      value: random.chance(0.3) ? null : { name, content: random.integer(1000) },
    }));
  }
}
