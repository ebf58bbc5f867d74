/** Agreement of this node, put together from its parts. */
import type { Clock, Random } from '@mortar/core/ports.ts';
import type { Store } from '../store/store.ts';
import { Acceptor } from './acceptor.ts';
import { CatchUp, type Reach } from './catch-up.ts';
import { Coordinator } from './coordinator.ts';
import type { PoolParts, PoolSurroundings } from './parts.ts';
import { storeStorage } from './store-storage.ts';
import { answerFor, memberOver } from './wire.ts';

interface AgreementPorts {
  clock: Clock;
  random: Random;
  store: Store;
}

export async function agreement(
  { self, call, applied, broken }: PoolSurroundings,
  { clock, random, store }: AgreementPorts,
): Promise<PoolParts> {
  const acceptor = await Acceptor.open(self, storeStorage(store), clock, { onApplied: applied, onBroken: broken });
  const reach: Reach = (node, pool) => memberOver((name, params) => call(node, pool, name, params));
  const catchUp = new CatchUp(acceptor, reach, clock);
  const pool = new Coordinator({ acceptor, catchUp, reach, clock, random });
  return {
    pool,
    get poolId() {
      return acceptor.pool;
    },
    answer: (id, name, params) => answerFor(acceptor.forPool(id), name, params),
    found: (id, peer) => acceptor.found(id, peer),
    join: (node, id) => catchUp.join(node, id),
    removed: (id, version) => acceptor.dismissed(id, version),
    hasLeft: (id) => acceptor.hasLeft(id),
    hasRemoved: (node) => acceptor.documents.wasPeer(node),
    async catchUp(node) {
      if (acceptor.pool !== null) await catchUp.from(node, acceptor.pool);
    },
  };
}
