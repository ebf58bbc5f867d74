/** This node in a pool of several: who the others are, how they are asked, how documents are changed (docs/pool.md). */
import type { Transport } from '@mortar/rpc/stream.ts';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { type Change, maxOpVersion, type PeerDocument } from '../store/documents.ts';
import { PeerConnections } from './connections.ts';
import { type HelloReply, helloReplySchema } from './messages.ts';
import type { PoolParts, PoolSurroundings } from './parts.ts';
import { Reconciler } from './reconcile.ts';
import { RemoteMember } from './remote-member.ts';
import { AddressBook } from './trust.ts';
import type { DocumentChange, Member } from './types.ts';

export interface PoolSettings {
  transport: Transport;
  /** Where the glusterd of every peer listens. */
  port: number;
  /** Puts agreement together for this node. */
  parts(surroundings: PoolSurroundings, context: Context): PoolParts | Promise<PoolParts>;
}

/** How an operation commits while it holds the cluster lock. */
export type Propose = (change: Change) => Promise<void>;

const standingSchema = z.object({ isMember: z.boolean(), version: z.int().min(0) });

export class PoolService {
  readonly connections: PeerConnections;
  readonly addresses: AddressBook;
  readonly #context: Context;
  readonly #reconciler: Reconciler;
  #parts!: PoolParts;

  private constructor(context: Context, settings: PoolSettings) {
    this.#context = context;
    this.addresses = new AddressBook(context.clock, context.hosts);
    this.#reconciler = new Reconciler(context);
    this.connections = new PeerConnections(settings.transport, settings.port, context, (uuid) => {
      void this.#connected(uuid).catch((error: Error) =>
        context.log.write('WARNING', 'management', `peer ${this.nameOf(uuid)}: ${error.message}`),
      );
    });
  }

  static async open(context: Context, settings: PoolSettings): Promise<PoolService> {
    const service = new PoolService(context, settings);
    const others = () => service.others().map(({ uuid }) => ({ uuid, member: service.member(uuid) }));
    service.#parts = await settings.parts({ others }, context);
    return service;
  }

  /** Begins to talk to the peers. */
  start(): void {
    this.connections.update(this.others().map(placeOf));
  }

  close(): void {
    this.connections.close();
  }

  get ownMember(): Member {
    return this.#parts.member;
  }

  get version(): number {
    return this.#parts.pool.version;
  }

  /** The other members. Peers that were adopted from a GlusterFS pool are none. */
  others(): PeerDocument[] {
    const { node, peers } = this.#context.store.state;
    if (node.pool === undefined || !peers.has(node.uuid)) return [];
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
    const { node } = this.#context.store.state;
    return this.connections.call(uuid, method, { ...params, pool: node.pool, from: node.uuid }, timeoutMs);
  }

  member(uuid: string): Member {
    return new RemoteMember((method, params) => this.ask(uuid, method, params));
  }

  /** What a node says of itself. Rejects when it does not answer. */
  async hello(host: string): Promise<HelloReply> {
    return helloReplySchema.parse(await this.connections.callOnce(host, 'pool.hello', {}));
  }

  /** Runs an operation under the cluster lock. */
  transact<T>(operation: string, work: (propose: Propose) => Promise<T>): Promise<T> {
    return this.#parts.pool.transact(operation, (propose) =>
      work(async (change) => {
        const { node, ...shared } = change;
        const changes = documentsOf(shared);
        if (changes.length > 0) await propose(changes);
        if (node) await this.#context.store.commit({ node });
        this.#reconciler.done();
        this.start();
      }),
    );
  }

  /** Documents of this node were changed by others. */
  async learned(): Promise<void> {
    const { node, peers } = this.#context.store.state;
    if (node.pool !== undefined && peers.size > 0 && !peers.has(node.uuid)) return this.leave('a change');
    this.start();
    await this.#reconciler.run();
  }

  /** Takes a node into the pool: it gets every document. It is a member in ours already. */
  async invite(uuid: string, host?: string): Promise<void> {
    const { node } = this.#context.store.state;
    const changes = await this.#parts.member.changes(0);
    const params = { pool: node.pool, from: node.uuid, opVersion: node.opVersion, changes };
    if (host === undefined) await this.connections.call(uuid, 'pool.join', params);
    else await this.connections.callOnce(host, 'pool.join', params);
  }

  async join(pool: string, opVersion: number, changes: Parameters<PoolParts['join']>[0]): Promise<void> {
    const { store } = this.#context;
    if (this.isShared || store.state.volumes.size > 0)
      throw new OperationError('this node is either already part of another cluster or having volumes configured');
    await this.#parts.join(changes);
    await store.commit({ node: { ...store.state.node, pool, opVersion: Math.min(opVersion, maxOpVersion) } });
    await this.learned();
  }

  /** This node is alone from now on. */
  async leave(why: string): Promise<void> {
    const { store, log } = this.#context;
    log.write('WARNING', 'management', `this node was detached from its pool (told by ${why})`);
    const { pool: _, ...node } = store.state.node;
    await this.#parts.leave();
    await store.commit({ node });
    this.connections.update([]);
    await this.#reconciler.run();
  }

  /** Either side may have missed something: that it was taken in, that it was sent away, changes. */
  async #connected(uuid: string): Promise<void> {
    if (!this.others().some((peer) => peer.uuid === uuid)) return;
    const hello = helloReplySchema.parse(await this.connections.call(uuid, 'pool.hello', {}));
    // A member that was installed anew under its old uuid, or that went away before it was told to join.
    if (!hello.isMember && !hello.hasVolumes) return this.invite(uuid);
    const standing = standingSchema.parse(await this.ask(uuid, 'pool.standing', {}));
    if (!standing.isMember) {
      if (standing.version >= this.version) await this.leave(this.nameOf(uuid));
      return;
    }
    await this.#parts.catchUp(this.member(uuid));
    await this.learned();
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

/** The other way round, for who applies what was decided. */
export function changeOf(documents: readonly DocumentChange[]): Change {
  const volumes = new Map();
  const peers = new Map();
  let globals: Change['globals'];
  for (const { key, value } of documents) {
    if (key === 'globals') globals = value as NonNullable<Change['globals']>;
    else if (key.startsWith('volume/')) volumes.set(key.slice(7), value);
    else peers.set(key.slice(5), value);
  }
  return { ...(globals && { globals }), volumes, peers };
}
