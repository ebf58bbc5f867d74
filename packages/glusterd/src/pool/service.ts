/** This node in a pool of several: who the others are, how they are asked, how documents are changed (docs/pool.md). */
import type { Timer } from '@mortar/core/ports.ts';
import type { Transport } from '@mortar/rpc/stream.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { type Change, maxOpVersion, type PeerDocument } from '../store/documents.ts';
import { endStrays } from '../supervision/strays.ts';
import { PeerConnections } from './connections.ts';
import { type HelloReply, helloReplySchema, standingSchema } from './messages.ts';
import type { MemberCallName, PoolParts, PoolSurroundings } from './parts.ts';
import { PeerLog } from './peer-log.ts';
import { Reconciler } from './reconcile.ts';
import { ServerQuorum } from './server-quorum.ts';
import { AddressBook } from './trust.ts';
import type { DocumentChange, Holding } from './types.ts';
import { UnagreedProcesses } from './unagreed.ts';

export interface PoolSettings {
  transport: Transport;
  /** Where the glusterd of every peer listens. */
  port: number;
  /** Puts agreement together for this node. */
  parts(surroundings: PoolSurroundings, context: Context): PoolParts | Promise<PoolParts>;
}

const lookAgainMs = 30_000;

interface Inviter {
  uuid: string;
  host: string;
}

/** How an operation commits while it holds the cluster lock. */
export type Propose = (change: Change) => Promise<void>;

export class PoolService {
  readonly connections: PeerConnections;
  readonly addresses: AddressBook;
  readonly quorum: ServerQuorum;
  readonly log: PeerLog;
  readonly unagreed: UnagreedProcesses;
  readonly #context: Context;
  readonly #reconciler: Reconciler;
  readonly #settings: PoolSettings;
  #parts!: PoolParts;
  /** Volumes that this node changes at the moment: its operation sees to their processes. */
  readonly #ownVolumes = new Set<string>();
  /** Members by the documents that were none when they were asked. */
  readonly #seenOutside = new Set<string>();
  /** While this node joins: whom it takes the documents from. */
  #inviter: Inviter | null = null;
  #joining: Promise<void> | null = null;
  #timer: Timer | null = null;
  #isClosed = false;

  private constructor(context: Context, settings: PoolSettings) {
    this.#context = context;
    this.#settings = settings;
    this.addresses = new AddressBook(context.clock, context.hosts);
    this.#reconciler = new Reconciler(context);
    this.quorum = new ServerQuorum(context, () => ({
      members: this.others().length + 1,
      reached: this.others().filter(({ uuid }) => this.connections.isConnected(uuid)).length + 1,
    }));
    this.log = new PeerLog(context.clock);
    this.unagreed = new UnagreedProcesses(context);
    const tell = (event: 'PEER_CONNECT' | 'PEER_DISCONNECT', uuid: string) =>
      context.events?.emit(event, { host: this.nameOf(uuid), uuid });
    const lost = (uuid: string) => {
      tell('PEER_DISCONNECT', uuid);
      this.log.connection(uuid, false);
      this.quorum.look();
    };
    const connected = (uuid: string) => {
      tell('PEER_CONNECT', uuid);
      this.log.connection(uuid, true);
      this.quorum.look();
      this.#meet(uuid);
      // GlusterFS's scripts count on it that a node which meets another has all its daemons.
      void context.healDaemon.update();
    };
    this.connections = new PeerConnections(settings.transport, settings.port, context, { connected, lost });
  }

  static async open(context: Context, settings: PoolSettings): Promise<PoolService> {
    const service = new PoolService(context, settings);
    await service.reopen();
    return service;
  }

  /** Agreement begins anew: this node has another uuid. */
  async reopen(): Promise<void> {
    const context = this.#context;
    const surroundings: PoolSurroundings = {
      self: context.store.state.node.uuid,
      call: (node, pool, name, params) => this.#callMember(node, pool, name, params),
      applied: () =>
        void this.learned().catch((error: Error) =>
          context.log.write('ERROR', 'management', `after a change of the pool: ${error.stack ?? error.message}`),
        ),
      broken: () => context.locks.break(),
    };
    this.#parts = await this.#settings.parts(surroundings, context);
  }

  /** Begins to talk to the peers. */
  start(): void {
    this.log.members(this.others());
    this.connections.update(this.others().map(placeOf));
    this.quorum.look();
    this.#lookNowAndThen();
  }

  /** For who waits for a change: takes what the others that can be reached have beyond this. */
  async takeChanges(): Promise<void> {
    const connected = this.others().filter(({ uuid }) => this.connections.isConnected(uuid));
    const take = ({ uuid }: { uuid: string }) =>
      this.#parts.catchUp(uuid).catch((error: Error) => {
        this.#context.log.write('DEBUG', 'management', `peer ${this.nameOf(uuid)}: ${error.message}`);
      });
    await Promise.all(connected.map(take));
  }

  /** Somebody may have been told of a change over a connection that broke at that moment, and came up again. */
  #lookNowAndThen(): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#context.clock.after(lookAgainMs, () => {
      const connected = this.others().filter(({ uuid }) => this.connections.isConnected(uuid));
      for (const { uuid } of connected) this.#meet(uuid, lookAgainMs);
      this.#lookNowAndThen();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.quorum.close();
    this.unagreed.close();
    this.connections.close();
  }

  get id(): string | null {
    return this.#parts.poolId;
  }

  get version(): number {
    return this.#parts.pool.version;
  }

  /** The other members. Peers that were adopted from a GlusterFS pool are none. */
  others(): PeerDocument[] {
    const { node, peers } = this.#context.store.state;
    if (this.id === null || !peers.has(node.uuid)) return [];
    return [...peers.values()].filter((peer) => peer.uuid !== node.uuid);
  }

  get isShared(): boolean {
    return this.others().length > 0;
  }

  isConnected(uuid: string): boolean {
    return uuid === this.#context.store.state.node.uuid || this.connections.isConnected(uuid);
  }

  nameOf(uuid: string): string {
    return this.#context.store.state.peers.get(uuid)?.hostnames[0] ?? uuid;
  }

  /** A call that says who asks. */
  ask(uuid: string, method: string, params: Record<string, unknown>, timeoutMs?: number): Promise<unknown> {
    const from = this.#context.store.state.node.uuid;
    return this.connections.call(uuid, method, { ...params, pool: this.id, from }, timeoutMs);
  }

  #callMember(node: string, pool: string, name: MemberCallName, params: unknown): Promise<unknown> {
    const said = { params, pool, from: this.#context.store.state.node.uuid };
    if (this.#inviter?.uuid === node && !this.connections.isConnected(node))
      return this.connections.callOnce(this.#inviter.host, `pool.${name}`, said);
    return this.connections.call(node, `pool.${name}`, said);
  }

  hasLeft(pool: string): boolean {
    return this.#parts.hasLeft(pool);
  }

  /** Whether that node was a member of this pool and is none any more. */
  hasRemoved(uuid: string): boolean {
    return this.#parts.hasRemoved(uuid);
  }

  /** Tells a node that it was removed, over a connection of its own: the one to a member ends with its membership. */
  async dismiss(host: string, pool: string | null = this.id): Promise<void> {
    const said = { pool, from: this.#context.store.state.node.uuid, version: this.version };
    await this.connections.callOnce(host, 'pool.leave', said);
  }

  /** Serves agreement. */
  answer(pool: string, name: MemberCallName, params: unknown): Promise<unknown> {
    return this.#parts.answer(pool, name, params);
  }

  /** What a node says of itself. Rejects when it does not answer. */
  async hello(host: string): Promise<HelloReply> {
    return helloReplySchema.parse(await this.connections.callOnce(host, 'pool.hello', {}));
  }

  /** What a member says of itself. */
  async helloOf(uuid: string): Promise<HelloReply> {
    return helloReplySchema.parse(await this.connections.call(uuid, 'pool.hello', {}));
  }

  /** The highest op-version that a member can have. OperationError when it cannot be asked. */
  async maxOpVersionOf(uuid: string): Promise<number> {
    try {
      return helloReplySchema.parse(await this.connections.call(uuid, 'pool.hello', {})).maxOpVersion;
    } catch (error) {
      this.#context.log.write('WARNING', 'management', `peer ${this.nameOf(uuid)}: ${(error as Error).message}`);
      throw new OperationError(`Host ${this.nameOf(uuid)} not connected`);
    }
  }

  found(pool: string, peer: PeerDocument): Promise<void> {
    return this.#parts.found(pool, peer);
  }

  /** Runs an operation under the cluster lock. */
  transact<T>(operation: string, work: (propose: Propose) => Promise<T>): Promise<T> {
    return this.#parts.pool.transact(operation, (propose) =>
      work(async ({ node, ...shared }) => {
        const names = [...(shared.volumes?.keys() ?? [])];
        for (const name of names) this.#ownVolumes.add(name);
        try {
          const changes = documentsOf(shared);
          if (changes.length > 0) await propose(changes);
        } finally {
          for (const name of names) this.#ownVolumes.delete(name);
        }
        if (node) await this.#context.store.commit({ node });
      }),
    );
  }

  /** Who holds the cluster lock. */
  holders(): Promise<Holding[]> {
    return this.#parts.pool.holders();
  }

  async breakLock(): Promise<Holding[]> {
    return (await this.#parts.pool.breakLock()).holders;
  }

  /** Documents of this node are others now. */
  async learned(): Promise<void> {
    this.log.members(this.others());
    this.connections.update(this.others().map(placeOf));
    this.quorum.look();
    await this.#reconciler.run(new Set(this.#ownVolumes));
    await this.#followOpVersion();
  }

  /** Raised for all: this node's own document follows. */
  async #followOpVersion(): Promise<void> {
    const { store, log } = this.#context;
    const { node, globals } = store.state;
    const wanted = Math.min(globals.opVersion ?? 1, maxOpVersion);
    if (this.#isClosed || wanted <= node.opVersion) return;
    log.write('INFO', 'management', `the op-version of the pool is ${wanted}`);
    await store.commit({ node: { ...node, opVersion: wanted } });
  }

  /** A node that is a member in the documents is told so. */
  async invite(uuid: string, host?: string): Promise<void> {
    const { node } = this.#context.store.state;
    const params = { pool: this.id, from: node.uuid, opVersion: node.opVersion };
    if (host === undefined) await this.connections.call(uuid, 'pool.join', params);
    else await this.connections.callOnce(host, 'pool.join', params);
  }

  /** A member that has nothing: it was installed anew under its old uuid, or went away before it was told to join. */
  async takeBack(uuid: string, host?: string): Promise<void> {
    await this.#parts.pool.readmit(uuid);
    await this.invite(uuid, host);
    // What only this one of two has kept is on both disks when the lock was taken once.
    if (this.others().length === 1) await this.transact(`return of ${this.nameOf(uuid)}`, async () => undefined);
  }

  /** Invited: takes the documents of the pool from the node at that address. */
  async join(pool: string, inviter: Inviter, opVersion: number): Promise<void> {
    // Several members may find this node missing at once.
    while (this.#joining) await this.#joining.catch(() => undefined);
    if (this.id === pool && this.isShared) return;
    this.#joining = this.#join(pool, inviter, opVersion).finally(() => {
      this.#joining = null;
    });
    await this.#joining;
  }

  async #join(pool: string, inviter: Inviter, opVersion: number): Promise<void> {
    const { store } = this.#context;
    if (this.isShared || store.state.volumes.size > 0)
      throw new OperationError('this node is either already part of another cluster or having volumes configured');
    this.#inviter = inviter;
    try {
      // A pool of this node alone has nothing to keep.
      if (this.id !== pool) await this.forget();
      await this.#parts.join(inviter.uuid, pool);
    } finally {
      this.#inviter = null;
    }
    await store.commit({ node: { ...store.state.node, opVersion: Math.min(opVersion, maxOpVersion) } });
    await this.learned();
    for (const pidFile of await endStrays(this.#context))
      this.#context.log.write('WARNING', 'management', `ended a process that no volume wants (${pidFile})`);
  }

  /** Of a pool of this node alone nothing is left. */
  async forget(): Promise<void> {
    if (this.id !== null && !this.isShared) await this.#parts.removed(this.id, this.version + 1);
  }

  /** A member says that this node is none any more, by a version that this node does not know. */
  async dismissed(pool: string, version: number, by: string): Promise<void> {
    if (this.id !== pool || version < this.version) return;
    this.#context.log.write('WARNING', 'management', `this node was detached from its pool (told by ${by})`);
    await this.#parts.removed(pool, version);
    await this.learned();
  }

  /** What fails, for want of a majority or of the lock, may be possible a moment later. */
  #meet(uuid: string, retryMs = 1000): void {
    this.#connected(uuid).catch((error: Error) => {
      const { log, clock } = this.#context;
      if (this.#isClosed || !this.connections.isConnected(uuid)) return;
      log.write('WARNING', 'management', `peer ${this.nameOf(uuid)}: ${error.message}`);
      if (retryMs < lookAgainMs) clock.after(retryMs, () => this.#meet(uuid, 2 * retryMs));
    });
  }

  /** Either side may have missed something: that it was taken in, that it was sent away, changes. */
  async #connected(uuid: string): Promise<void> {
    if (this.#isClosed || !this.connections.isConnected(uuid)) return;
    if (!this.others().some((peer) => peer.uuid === uuid)) return;
    const hello = helloReplySchema.parse(await this.connections.call(uuid, 'pool.hello', {}));
    // It may have left by a change that nobody else has heard of.
    const missed = await this.#parts.catchUp(uuid).catch((error: Error) => error);
    if (!this.others().some((peer) => peer.uuid === uuid)) return;
    if (!hello.isMember && !hello.hasVolumes) {
      // One that was probed a moment ago is about to be told to join, and needs no change of its own.
      if (!this.#seenOutside.has(uuid)) {
        this.#seenOutside.add(uuid);
        throw new OperationError('it is no member yet');
      }
      return this.takeBack(uuid);
    }
    this.#seenOutside.delete(uuid);
    const pool = this.id;
    const standing = standingSchema.parse(await this.ask(uuid, 'pool.standing', {}));
    if (pool === null) return;
    if (!standing.isMember) await this.dismissed(pool, standing.version, this.nameOf(uuid));
    else if (missed) throw missed;
  }
}

function placeOf({ uuid, hostnames, addresses }: PeerDocument) {
  return { uuid, hosts: [...new Set([...hostnames, ...(addresses ?? [])])] };
}

function documentsOf(change: Omit<Change, 'node'>): DocumentChange[] {
  return [
    ...(change.globals ? [{ key: 'globals', value: change.globals }] : []),
    ...[...(change.volumes ?? [])].map(([name, value]) => ({ key: `volume/${name}`, value })),
    ...[...(change.peers ?? [])].map(([name, value]) => ({ key: `peer/${name}`, value })),
  ];
}
