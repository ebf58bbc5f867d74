/** Nodes of a pool in one process, without network or time: for tests of single steps. The simulation has the rest. */
import { Acceptor, type AcceptorOptions } from './acceptor.ts';
import { CatchUp, type Reach } from './catch-up.ts';
import { Coordinator } from './coordinator.ts';
import { newMemberState, type PoolBatch, type PoolStorage, type StoredDocument } from './storage.ts';
import { answerFor, memberOver } from './wire.ts';

export function uuidOf(number: number): string {
  return `${String(number).repeat(8)}-0000-4000-8000-000000000000`;
}

export const poolId = uuidOf(9);

export function peerOf(number: number) {
  return { uuid: uuidOf(number), state: 3, hostnames: [`host${number}`] };
}

export class MemoryStorage implements PoolStorage {
  state = newMemberState;
  documents: StoredDocument[] = [];
  batches = 0;
  /** Called in the middle of a batch. */
  whileSaving: () => void = () => {};

  async load() {
    return { state: this.state, documents: this.documents };
  }

  async save({ state, documents, isWhole }: PoolBatch): Promise<void> {
    this.whileSaving();
    this.batches++;
    this.state = state;
    const kept = isWhole ? [] : this.documents.filter(({ key }) => !documents.some((one) => one.key === key));
    this.documents = [...kept, ...documents];
  }
}

/** Time that tests move; waits for an answer end at once when nobody answers. */
export class ManualClock {
  now = 0;
  nowMs = () => this.now;
  wall = () => ({ sec: 0, nsec: 0 });
  sleep = async (ms: number) => {
    this.now += ms;
  };
  after = (_ms: number, callback: () => void) => {
    const timer = setTimeout(callback, 200);
    return { cancel: () => clearTimeout(timer) };
  };
}

export interface RigNode {
  readonly storage: MemoryStorage;
  readonly acceptor: Acceptor;
  readonly catchUp: CatchUp;
  readonly coordinator: Coordinator;
}

export class PoolRig {
  readonly clock = new ManualClock();
  readonly nodes = new Map<string, RigNode>();
  readonly away = new Set<string>();

  async add(number: number, storage = new MemoryStorage(), options: AcceptorOptions = {}): Promise<RigNode> {
    const { clock } = this;
    const acceptor = await Acceptor.open(uuidOf(number), storage, clock, options);
    const reach: Reach = (to, pool) =>
      memberOver(async (name, params) => {
        const node = this.nodes.get(to);
        if (!node || this.away.has(to) || this.away.has(acceptor.self)) throw new Error('cannot be reached');
        const text = JSON.stringify(
          await answerFor(node.acceptor.forPool(pool), name, JSON.parse(JSON.stringify(params))),
        );
        return text && JSON.parse(text);
      });
    const catchUp = new CatchUp(acceptor, reach, clock);
    const random = { bytes: (count: number) => new Uint8Array(count), integer: () => 0 };
    const node = {
      storage,
      acceptor,
      catchUp,
      coordinator: new Coordinator({ acceptor, catchUp, reach, clock, random }),
    };
    this.nodes.set(acceptor.self, node);
    return node;
  }

  /** A pool of so many; node 1 made it. */
  async pool(count: number): Promise<RigNode[]> {
    const first = await this.add(1);
    await first.acceptor.found(poolId, peerOf(1));
    const nodes = [first];
    for (let number = 2; number <= count; number++) {
      const node = await this.add(number);
      await first.coordinator.transact('peer probe', (propose) =>
        propose([{ key: `peer/${uuidOf(number)}`, value: peerOf(number) }]),
      );
      await node.catchUp.join(uuidOf(1), poolId);
      nodes.push(node);
    }
    return nodes;
  }
}

export function globals(version: number) {
  return { key: 'globals', value: { version, options: {} } };
}
