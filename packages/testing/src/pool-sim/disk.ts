/** A member's disk: batches whole or not at all, some time after they are asked for, and an answer some time after that. */
import {
  type MemberState,
  newMemberState,
  type PoolBatch,
  type PoolStorage,
  type StoredDocument,
} from '@mortar/glusterd/pool/storage.ts';
import type { SeededRandom } from '../sim/random.ts';
import type { SimNode } from '../sim/scheduler.ts';

export interface Durable {
  readonly state: MemberState;
  readonly documents: ReadonlyMap<string, StoredDocument>;
}

export class PoolDisk {
  durable: Durable = { state: newMemberState, documents: new Map() };
  /** Milliseconds a batch takes at most. */
  slowMs = 4;
  /** How often a batch fails; half of those are on the disk all the same. */
  failing = 0;
  readonly #random: SeededRandom;
  readonly #onChange: (before: Durable, after: Durable) => void;

  constructor(random: SeededRandom, onChange: (before: Durable, after: Durable) => void) {
    this.#random = random;
    this.#onChange = onChange;
  }

  /** A new disk: what was promised and accepted is forgotten. */
  wipe(): void {
    this.durable = { state: newMemberState, documents: new Map() };
    this.hasForgotten = true;
  }

  /** Since the last wipe it has not joined again. */
  hasForgotten = false;

  /** The disk as a running process has it: what was asked for by one that died in the meantime never happens. */
  attachedTo(node: SimNode): PoolStorage {
    return {
      load: async () => {
        await node.clock.sleep(this.#random.between(0, this.slowMs));
        const { state, documents } = this.durable;
        return { state: this.remembered(state), documents: [...documents.values()] };
      },
      save: async (batch) => {
        const text = JSON.stringify(batch);
        const fails = this.#random.chance(this.failing);
        await node.clock.sleep(this.#random.between(0, this.slowMs));
        if (!fails || this.#random.chance(0.5)) this.put(JSON.parse(text) as PoolBatch);
        await node.clock.sleep(this.#random.between(0, this.slowMs));
        if (fails) throw new Error('input/output error');
      },
    };
  }

  /** What a start finds; a planted bug forgets some of it. */
  remembered(state: MemberState): MemberState {
    return state;
  }

  put({ state, documents, isWhole }: PoolBatch): void {
    const before = this.durable;
    const after = new Map(isWhole ? [] : before.documents);
    for (const document of documents) after.set(document.key, document);
    this.durable = { state, documents: after };
    if (state.pool !== null) this.hasForgotten = false;
    this.#onChange(before, this.durable);
  }
}
