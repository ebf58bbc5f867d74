/** A brick process: sessions of clients over the real locks and index, over a simulated disk that outlives it. */
import {
  type Args,
  buildGraph,
  Fd,
  type Fop,
  type FopName,
  type Graph,
  type GraphEvent,
  InodeTable,
  type Log,
  locOf,
  type OptionTable,
  parseVolfile,
  type Reply,
  rootCall,
  rootGfid,
  type Services,
  startGraph,
  type Xattrs,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { xlator as arbiter } from '@mortar/xlators/features/arbiter/index.ts';
import { xlator as block } from '@mortar/xlators/features/block/index.ts';
import { options as indexOptions } from '@mortar/xlators/features/index/options.ts';
import { xlator as locks } from '@mortar/xlators/features/locks/index.ts';
import { xlator as upcall } from '@mortar/xlators/features/upcall/index.ts';
import { type ClientName, PlacementFence } from '@mortar/xlators/protocol/server/placement.ts';
import { options as memoryOptions } from '@mortar/xlators/storage/memory/options.ts';
import { SimDisk } from './disk.ts';
import { MemoryIndexXlator } from './memory-index.ts';
import type { Connection } from './network.ts';
import type { SeededRandom } from './random.ts';
import { type Scheduler, SimNode } from './scheduler.ts';
import { type DiskFaults, SimStorage } from './storage.ts';
import type { Trace } from './trace.ts';

export interface World {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly random: SeededRandom;
  readonly graceMs: number;
  readonly pingMs: number;
  /** Bricks guard block devices. */
  readonly guard?: boolean;
  /** Bricks ask who has opened a file before another client changes it. */
  readonly delegates?: boolean;
  /** Bricks take holders of contended leases for silent. */
  readonly silence?: boolean;
  /** By how much the clock of each process may be fast or slow. */
  readonly skewMs?: number;
}

/** By how much the clock of a process that starts is fast: of a brick that is started again, by another amount than before. */
export function aheadMs({ skewMs, random }: World): number {
  return skewMs ? random.between(-skewMs, skewMs) : 0;
}

export function servicesOf(node: SimNode, world: World): Services {
  const log: Log = {
    level: 'INFO',
    setLevel: () => {},
    write: (level, origin, text) => world.trace.add(node.name, `${level} ${origin}: ${text}`),
  };
  return {
    clock: node.clock,
    random: world.random.fork(),
    log,
    metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
    inodes: new InodeTable(4096),
    port: (name) => {
      throw new Error(`no port '${name}' in a simulation`);
    },
  };
}

/** Where a client takes files to be, and by which version of the volume (docs/distribute.md, Waiting for clients). */
export interface Told {
  readonly placement: string;
  readonly placementVersion: number;
}

export const toldNothing: Told = { placement: '', placementVersion: 0 };

interface Session {
  readonly id: string;
  readonly clientId: string;
  readonly hello: Told;
  connection: Connection | null;
  /** Their fds, ours. */
  readonly fds: Map<Fd, Fd>;
  readonly outcomes: Map<number, Reply<FopName>>;
  readonly running: Set<number>;
  reply: (sequence: number, reply: Reply<FopName>) => void;
  upcall: (event: GraphEvent) => void;
  /** Tells the client that the brick closed its connection. */
  closed: () => void;
  isEnded: boolean;
}

type Hooks = Pick<Session, 'reply' | 'upcall' | 'closed'>;

/** The slot of the storage translator, the first of its graph. */
const storageSlot = 0;

export class SimBrick {
  readonly name: string;
  readonly disk: SimDisk;
  readonly faults: DiskFaults;
  readonly #world: World;
  /** It has no data. */
  readonly isArbiter: boolean;
  node: SimNode;
  #graph: Graph | undefined;
  #top: BrickTop | undefined;
  #sessions = new Map<string, Session>();
  #fence = new PlacementFence();

  constructor(name: string, world: World, faults: DiskFaults, isArbiter = false) {
    this.name = name;
    this.#world = world;
    this.faults = faults;
    this.isArbiter = isArbiter;
    const { scheduler } = world;
    this.disk = new SimDisk(storageSlot, scheduler.wall(), () => scheduler.nowMs);
    this.node = new SimNode(name, scheduler);
    this.node.isAlive = false;
  }

  get isUp(): boolean {
    return this.node.isAlive && this.#top !== undefined;
  }

  get graph(): Graph {
    return this.#graph!;
  }

  async start(): Promise<void> {
    this.node = new SimNode(this.name, this.#world.scheduler, aheadMs(this.#world));
    const services = servicesOf(this.node, this.#world);
    const types = new Map<string, XlatorType>();
    const storage: XlatorType = {
      type: 'storage/simulated',
      description: 'a disk of a simulation',
      options: memoryOptions as OptionTable,
      subvolumes: { min: 0, max: 0 },
      create: (init) => new SimStorage(init, this.disk, this.faults),
    };
    const index: XlatorType = {
      type: 'features/index',
      description: 'an index in memory',
      options: indexOptions as OptionTable,
      subvolumes: { min: 1, max: 1 },
      create: (init: XlatorInit) => new MemoryIndexXlator(init, this.disk.index),
    };
    for (const type of [storage, index, locks, upcall, arbiter, block] as unknown as XlatorType[])
      types.set(type.type, type);
    const text = volfileOf(this.isArbiter, this.#world);
    const graph = buildGraph(parseVolfile(text, `${this.name}.vol`), types, services);
    const top = new BrickTop(this, services);
    top.bind([graph.top.ops], undefined);
    graph.top.parents = [top];
    await startGraph(graph);
    this.#graph = graph;
    this.#top = top;
    this.#sessions = new Map();
    this.#fence = new PlacementFence();
    this.#world.trace.add(this.name, 'started');
  }

  /** `power`: the machine died, not only the process. */
  crash(power: boolean): void {
    this.node.isAlive = false;
    this.#top = undefined;
    const lost = this.disk.crash(power, this.#world.random);
    this.#world.trace.add(
      this.name,
      `crashed${power ? ` with its machine: ${lost.metadata} changes and ${lost.data} writes lost` : ''}`,
    );
  }

  /** Marks at the root, as they are once `added` is added; undefined: it cannot be done. */
  async markRoot(added: Xattrs): Promise<Xattrs | undefined> {
    const args: Args<'xattrop'> = { loc: locOf(rootGfid), operation: 'add32', values: added };
    const reply = await this.#top?.ops.xattrop(rootCall(this.node.clock, 'self-heal'), args);
    return reply?.ok ? reply.xattrs : undefined;
  }

  /** Its disk is replaced while it is down. */
  replaceDisk(marks: Xattrs): void {
    this.disk.replace(rootCall(this.node.clock, 'self-heal'), marks);
    this.#world.trace.add(this.name, 'has a new disk');
  }

  /** Clients that take files to be elsewhere. */
  late(placement: string): ClientName[] {
    return [...this.#sessions.values()]
      .filter(({ hello }) => hello.placement !== '' && hello.placement !== placement)
      .map(({ clientId }) => ({ program: clientId, host: 'sim', processId: 1 }));
  }

  fence({ placement, placementVersion }: Told): boolean {
    return this.#fence.set([...this.#sessions.values()], placement, placementVersion);
  }

  /** A handshake; the session is the old one if it lives on here. Null: not let in. */
  hello(connection: Connection, clientId: string, sessionId: string, hooks: Hooks, hello: Told = toldNothing) {
    if (this.#fence.refusalOf(hello)) {
      this.#world.trace.add(this.name, `refuses ${clientId}`);
      return null;
    }
    const known = this.#sessions.get(clientId);
    if (known && known.id === sessionId) {
      this.#close(known);
      Object.assign(known, { connection, ...hooks });
      return { sessionId, resumed: true };
    }
    if (known) this.#end(known);
    const session: Session = {
      id: Buffer.from(this.#world.random.bytes(8)).toString('hex'),
      clientId,
      hello,
      connection,
      fds: new Map(),
      outcomes: new Map(),
      running: new Set(),
      ...hooks,
      isEnded: false,
    };
    this.#sessions.set(clientId, session);
    return { sessionId: session.id, resumed: false };
  }

  /** A request over a connection; the reply goes by whatever connection the session has then. */
  request(
    connection: Connection,
    clientId: string,
    sequence: number,
    retry: boolean,
    fop: FopName,
    call: Parameters<Fop<FopName>>[0],
    args: object,
  ): void {
    const session = this.#sessions.get(clientId);
    if (!session || session.connection !== connection) return;
    if (retry) {
      const outcome = session.outcomes.get(sequence);
      if (outcome) session.reply(sequence, outcome);
      if (outcome || session.running.has(sequence)) return;
    }
    session.running.add(sequence);
    void this.#run(session, sequence, fop, call, args);
  }

  async #run(session: Session, sequence: number, fop: FopName, call: Parameters<Fop<FopName>>[0], args: object) {
    const { node } = this;
    const wind = this.#top!.ops[fop] as unknown as Fop<FopName>;
    const reply = await wind({ ...call, clientId: session.clientId, session }, this.#translate(session, args));
    if (!node.isAlive || session.isEnded) return;
    session.running.delete(sequence);
    session.outcomes.set(sequence, reply);
    if (session.connection) session.reply(sequence, reply);
  }

  /** Their fds become ours, also those inside the steps of a compound. */
  #translate<N extends FopName>(session: Session, args: object): Args<N> {
    const copy = { ...args } as Record<string, unknown>;
    for (const [key, value] of Object.entries(copy)) {
      if (value instanceof Fd) copy[key] = this.#fdOf(session, value);
      else if (key === 'steps')
        copy[key] = (value as { fop: string; args: object }[]).map((step) => ({
          ...step,
          args: this.#translate(session, step.args),
        }));
    }
    return copy as Args<N>;
  }

  #fdOf(session: Session, fd: Fd): Fd {
    let mine = session.fds.get(fd);
    if (!mine) {
      mine = new Fd(fd.gfid, fd.flags);
      session.fds.set(fd, mine);
      fd.onRelease(() => {
        session.fds.get(fd)?.release();
        session.fds.delete(fd);
      });
    }
    return mine;
  }

  /** The connection is gone as the brick sees it; the session lives on for the grace time. */
  lost(connection: Connection): void {
    connection.open.up = false;
    for (const session of this.#sessions.values()) {
      if (session.connection !== connection) continue;
      this.#close(session);
      this.node.after(this.#world.graceMs, () => {
        if (session.connection === null && !session.isEnded) this.#end(session);
      });
    }
  }

  /** Whoever is silent is one that may be: what is right then is right for a client that never knew. */
  #doubt(clientId: string): void {
    const { random, silence } = this.#world;
    if (!silence || !random.chance(0.3)) return;
    this.node.after(random.pick([0, 1, 50]), () => {
      this.#world.trace.add(this.name, `takes ${clientId} for silent`);
      this.#top?.propagate({ type: 'session-silent', clientId });
    });
  }

  #close(session: Session): void {
    if (!session.connection) return;
    session.connection.open.up = false;
    session.connection = null;
    session.closed();
  }

  #end(session: Session): void {
    this.#world.trace.add(this.name, `session of ${session.clientId} ended`);
    session.isEnded = true;
    this.#close(session);
    for (const fd of session.fds.values()) fd.release();
    session.fds.clear();
    this.#sessions.delete(session.clientId);
    this.#top!.propagate({ type: 'session-ended', clientId: session.clientId });
  }

  fromGraph(event: GraphEvent): void {
    if (event.type !== 'upcall') return;
    const { clientId, except, ...told } = event;
    if (event.what === 'lock-contended' && clientId !== undefined) this.#doubt(clientId);
    for (const session of this.#sessions.values())
      if (session.connection && (clientId === undefined ? session.clientId !== except : session.clientId === clientId))
        session.upcall(told);
  }
}

/** Where the brick's graph ends: events from below go to the sessions. */
class BrickTop extends Xlator {
  readonly #brick: SimBrick;

  constructor(brick: SimBrick, services: Services) {
    super({ name: `${brick.name}-top`, type: 'sim/top', options: {}, texts: new Map(), services });
    this.#brick = brick;
  }

  override notify(event: GraphEvent): void {
    this.#brick.fromGraph(event);
  }
}

function volfileOf(isArbiter: boolean, { guard, delegates }: World): string {
  const pending = [
    'option xattrop-pending-watchlist trusted.afr.vol-',
    'option xattrop-dirty-watchlist trusted.afr.dirty',
  ];
  const layers: [string, ...string[]][] = [
    ['storage/simulated', 'option size 1GB'],
    ...(isArbiter ? [['features/arbiter'] as [string]] : []),
    ['features/locks'],
    ...(delegates
      ? [['features/upcall', 'option delegation-timeout 1', 'option delegation-rest 0'] as [string, string, string]]
      : []),
    ['features/index', 'option index-base /indices', ...pending],
    ...(guard ? [['features/block'] as [string]] : []),
  ];
  return layers
    .map(([type, ...lines], i) => {
      const below = i > 0 ? [`subvolumes ${layers[i - 1]![0]}`] : [];
      return [`volume ${type}`, `type ${type}`, ...lines, ...below, 'end-volume', ''].join('\n');
    })
    .join('');
}
