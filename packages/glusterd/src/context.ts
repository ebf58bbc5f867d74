import type { BrickInspector } from './brick-inspector.ts';
import type { EventSender } from './events/sender.ts';
import type { Hooks } from './hooks.ts';
import type { HostBook } from './hosts.ts';
import type { Directories } from './paths.ts';
import type { PoolService, Propose } from './pool/service.ts';
import type { MachinePorts } from './ports.ts';
import type { ClientDumps } from './server/client-dumps.ts';
import type { VolfileService } from './server/volfiles.ts';
import type { Store } from './store/store.ts';
import type { BrickKeeper } from './supervision/brick-keeper.ts';
import type { HealDaemonKeeper } from './supervision/heal-daemon-keeper.ts';
import type { RebalanceKeeper } from './supervision/rebalance-keeper.ts';
import type { Supervisor } from './supervision/supervisor.ts';
import type { LockTable } from './transaction/lock.ts';

/** Everything that operations work with. */
export interface Context extends MachinePorts {
  directories: Directories;
  store: Store;
  locks: LockTable;
  hostBook: HostBook;
  inspector: BrickInspector;
  supervisor: Supervisor;
  healDaemon: HealDaemonKeeper;
  /** This node's processes that move files. */
  rebalances: RebalanceKeeper;
  brickKeeper: BrickKeeper;
  volfiles: VolfileService;
  clientDumps: ClientDumps;
  hooks: Hooks;
  /** Null: this node is alone and stays so. */
  pool: PoolService | null;
  /** Null: nobody is told of events. */
  events: EventSender | null;
  /** How what runs under the cluster lock changes documents. */
  propose?: Propose;
}
