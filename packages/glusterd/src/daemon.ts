/** Management of one node, put together from its ports. */
import { ManagementServer } from '@mortar/rpc';
import type { Listener, Transport } from '@mortar/rpc/stream.ts';
import { type BrickInspector, systemInspector } from './brick-inspector.ts';
import type { Context } from './context.ts';
import { EventSender } from './events/sender.ts';
import { hookEvents } from './folders.ts';
import { Hooks } from './hooks.ts';
import { HostBook } from './hosts.ts';
import type { Directories } from './paths.ts';
import { addPoolMethods } from './pool/methods.ts';
import { PoolService, type PoolSettings } from './pool/service.ts';
import type { Files, MachinePorts } from './ports.ts';
import { ClientDumps } from './server/client-dumps.ts';
import { addMethods } from './server/methods.ts';
import { addRebalanceMethods } from './server/rebalance-methods.ts';
import { VolfileService } from './server/volfiles.ts';
import type { Batches } from './store/database.ts';
import { Store } from './store/store.ts';
import { BrickKeeper } from './supervision/brick-keeper.ts';
import { HealDaemonKeeper } from './supervision/heal-daemon-keeper.ts';
import type { Ports } from './supervision/port-range.ts';
import { RebalanceKeeper } from './supervision/rebalance-keeper.ts';
import { type ServerAddress, Supervisor } from './supervision/supervisor.ts';
import { LockTable } from './transaction/lock.ts';
import { VolgenError } from './volgen/index.ts';
import type { VolumeInfo } from './volume.ts';

export interface DaemonSettings {
  directories: Directories;
  /** Folder of the programs `glusterfsd` and `glusterfs`. */
  binaries: string;
  /** Folder with what a new working directory gets: `groups`, `hooks`; null: nothing. */
  seeds: string | null;
  /** The one address or name at which this node listens; null: all of the machine's. */
  bindAddress?: string | null;
  /** Where daemons of this node find glusterd. */
  server?: ServerAddress;
  /** At which bricks listen. */
  brickPorts?: Ports;
  inspector?: BrickInspector;
  /** How peers are talked to; null: this node stays alone. */
  pool?: PoolSettings;
}

export class Daemon {
  readonly context: Context;
  readonly server: ManagementServer;

  private constructor(context: Context) {
    this.context = context;
    const { clock, log, calls } = context;
    const serverId = context.store.state.node.uuid;
    this.server = new ManagementServer({ clock, log, calls, name: 'management', serverId });
    addMethods(this.server, context);
    addRebalanceMethods(this.server, context);
    context.clientDumps.addMethods(this.server);
    if (context.pool) addPoolMethods(this.server, context, context.pool);
  }

  static async open(settings: DaemonSettings, batches: Batches, ports: MachinePorts): Promise<Daemon> {
    const { directories } = settings;
    const { clock, files, processes, log, hosts } = ports;
    await seed(ports, directories, settings.seeds);
    let store: Store | null = null;
    const state = () => store?.state;
    const volfiles = new VolfileService(
      () => ({ workdir: directories.work, ...(state() && { localUuid: state()!.node.uuid }) }),
      () => [...(state()?.volumes.values() ?? [])],
    );
    const viewOf = (volume: VolumeInfo, node: string) => {
      try {
        return volfiles.filesOf(volume, node);
      } catch (error) {
        // An adopted volume may need a translator that this build lacks: it is shown, but cannot be started.
        if (!(error instanceof VolgenError)) throw error;
        log.write('WARNING', 'management', error.message);
        return new Map<string, string>();
      }
    };
    store = await Store.open(batches, directories, viewOf, ports);
    const supervisor = new Supervisor(
      ports,
      directories,
      settings.binaries,
      settings.server,
      (key) => state()?.globals.options[key],
      settings.brickPorts,
    );
    const context: Context = {
      ...ports,
      directories,
      store,
      volfiles,
      clientDumps: new ClientDumps(clock),
      locks: new LockTable(clock),
      hostBook: new HostBook(hosts, settings.bindAddress),
      inspector: settings.inspector ?? systemInspector,
      supervisor,
      healDaemon: new HealDaemonKeeper(() => context, supervisor.starter),
      rebalances: new RebalanceKeeper(() => context),
      brickKeeper: new BrickKeeper(() => context),
      hooks: new Hooks(files, processes, directories, log),
      pool: null,
      events: null,
    };
    if (ports.post)
      context.events = new EventSender({
        clock: ports.clock,
        log,
        post: ports.post,
        node: () => context.store.state.node.uuid,
        webhooks: () => context.store.state.globals.webhooks ?? [],
      });
    if (settings.pool) context.pool = await PoolService.open(context, settings.pool);
    context.hostBook.addresses = context.pool?.addresses ?? null;
    return new Daemon(context);
  }

  listen(transport: Transport, address: Parameters<Transport['listen']>[0]): Promise<Listener> {
    return this.server.listen(transport, address);
  }

  /** Brings the processes of this node to what the volumes say. Needs listeners: bricks fetch their volfiles here. */
  async resume(): Promise<void> {
    const { store, supervisor, healDaemon, pool } = this.context;
    const names = [...store.state.volumes.keys()];
    const current = (name: string) => store.state.volumes.get(name);
    const mayStart = (volume: VolumeInfo) => pool?.quorum.mayStart(volume) ?? true;
    const resumed = supervisor.resume(names, current, store.state.node.uuid, mayStart);
    // A brick that does not come up must not keep the others from being healed.
    const healed = healDaemon.update();
    pool?.start();
    await Promise.all([resumed, healed]);
    healDaemon.watch();
    // Their bricks run by now, as far as this node can see to it.
    this.context.rebalances.watch();
    this.context.brickKeeper.watch();
  }

  /** Bricks and the heal daemon go on. */
  async close(): Promise<void> {
    this.context.healDaemon.close();
    this.context.rebalances.close();
    this.context.brickKeeper.close();
    this.context.pool?.close();
    this.context.events?.close();
    await this.server.close();
    await this.context.store.close();
  }
}

/** Folders and files that a working directory always has. What the administrator changed stays. */
async function seed({ files }: MachinePorts, { work, run, log }: Directories, seeds: string | null): Promise<void> {
  for (const folder of [run, `${run}/vols`, `${run}/shd`, `${log}/bricks`]) await files.makeDirectory(folder);
  for (const event of hookEvents)
    for (const when of ['pre', 'post']) await seedHooks(files, work, `${event}/${when}`, seeds);
  if (seeds === null) return;
  for (const group of await files.list(`${seeds}/groups`)) {
    const text = await files.read(`${seeds}/groups/${group}`);
    const target = `${work}/groups/${group}`;
    if (text !== null && (await files.read(target)) === null) await files.write(target, text);
  }
}

/** Scripts come with the folder alone: one that was taken away stays away. */
async function seedHooks(files: Files, work: string, folder: string, seeds: string | null): Promise<void> {
  const path = `${work}/hooks/1/${folder}`;
  if (await files.isDirectory(path)) return;
  await files.makeDirectory(path);
  if (seeds === null) return;
  for (const name of await files.list(`${seeds}/hooks/1/${folder}`)) {
    const text = await files.read(`${seeds}/hooks/1/${folder}/${name}`);
    if (name.startsWith('S') && text !== null) await files.write(`${path}/${name}`, text, 0o755);
  }
}
