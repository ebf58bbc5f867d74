/** For tests: servers and clients in one process, over streams in memory whose links can be cut or go silent. */
import type { Clock, Log, Random } from '@mortar/core';
import type { Stream } from '@mortar/rpc/stream.ts';
import { type MemoryPolicy, type MemoryStream, MemoryTransport } from '@mortar/rpc/transports/memory.ts';
import type { BlockDevice } from '../device/device.ts';
import type { ExportSource } from '../nbd/exports.ts';
import type { PathTimes } from './client/path.ts';
import { ClientSession, type SessionOptions } from './client/session.ts';
import { RsioServer, type RsioServerOptions } from './server/server.ts';

/** Devices by name, for everybody. */
export function exportsOf(devices: ReadonlyMap<string, BlockDevice>): ExportSource {
  const infoOf = (name: string) => {
    const device = devices.get(name);
    return device ? { name, description: '', device, mayResize: true } : null;
  };
  return {
    list: () => [...devices.keys()].map((name) => infoOf(name)!),
    find: infoOf,
    open: (name) => {
      const info = infoOf(name);
      return info && { ...info, release: () => undefined };
    },
  };
}

export const quietLog: Log = { level: 'INFO', setLevel: () => {}, write: () => {} };

/** A network of numbered addresses whose links can be held. */
export class RigNetwork {
  readonly #held = new Map<string, (() => void)[]>();
  /** How long bytes take. */
  delay: ((from: MemoryStream, deliver: () => void) => void) | null = null;
  /** What clients send arrives in pieces of so much, each of which takes its time. */
  pieceBytes = Number.POSITIVE_INFINITY;
  /** What was sent so far, by all. */
  sentBytes = 0;
  readonly transport: MemoryTransport;
  readonly #links = new Map<string, Set<MemoryStream>>();

  constructor() {
    const policy: MemoryPolicy = {
      transfer: (from, bytes, deliver) => {
        this.sentBytes += bytes;
        const arrive = () => {
          const held = this.#held.get(from.peer.address);
          if (held) held.push(deliver);
          else deliver();
        };
        if (this.delay) this.delay(from, arrive);
        else if (this.#held.has(from.peer.address)) arrive();
        else queueMicrotask(arrive);
      },
    };
    this.transport = new MemoryTransport(policy);
  }

  async dial(name: string): Promise<Stream> {
    const stream = (await this.transport.connect({ kind: 'memory', name })) as MemoryStream;
    const links = this.#links.get(name) ?? new Set();
    this.#links.set(name, links.add(stream));
    const { write, start } = stream;
    // As a socket, which tells when all of it has left.
    stream.start = (sink) =>
      start.call(stream, {
        space: () => sink.space(),
        received: (count) => sink.received(count),
        closed: (error) => sink.closed(error),
        drained: () => {
          if (stream.queuedBytes === 0) sink.drained();
        },
      });
    stream.write = (chunks, done) => {
      const bytes = Buffer.concat(chunks);
      const size = Math.min(this.pieceBytes, bytes.length);
      for (let at = 0; at < bytes.length; at += size)
        write.call(stream, [bytes.subarray(at, at + size)], at + size >= bytes.length ? done : () => undefined);
    };
    return stream;
  }

  /** What is sent there does not arrive, in either direction, and nobody is told. */
  silence(name: string): void {
    this.#held.set(`memory:${name}`, []);
  }

  /** Everything arrives after all. */
  restore(name: string): void {
    const held = this.#held.get(`memory:${name}`) ?? [];
    this.#held.delete(`memory:${name}`);
    for (const deliver of held) deliver();
  }

  cut(name: string): void {
    for (const link of this.#links.get(name) ?? []) link.cut();
    this.#links.delete(name);
  }
}

export const rigTimes: PathTimes = { pingMs: 100, suspectMs: 40, deadMs: 80, lastDeadMs: 400, connectMs: 300 };
export const rigIdentity: RsioServerOptions['identity'] = {
  namespace: { name: 'osl', id: 200 },
  server: { name: 'big-9', id: 1 },
  clients: new Map([
    ['big-2', '0xbig2'],
    ['venus', '0xvenus'],
  ]),
};

export async function rigServer(
  network: RigNetwork,
  names: readonly string[],
  devices: ReadonlyMap<string, BlockDevice>,
  ports: { clock: Clock; random: Random },
  more: Partial<RsioServerOptions> = {},
): Promise<RsioServer> {
  const { transport } = network;
  const server = new RsioServer({
    exports: exportsOf(devices),
    log: quietLog,
    transport,
    identity: rigIdentity,
    leaseMs: 2000,
    ...ports,
    ...more,
  });
  for (const name of names) await server.listen({ kind: 'memory', name });
  return server;
}

export function rigSession(
  network: RigNetwork,
  names: readonly string[],
  ports: { clock: Clock; random: Random },
  more: Partial<SessionOptions> = {},
): ClientSession {
  const paths = names.map((name) => ({ name, dial: () => network.dial(name) }));
  return new ClientSession({
    log: quietLog,
    namespace: 'osl',
    client: 'big-2',
    key: '0xbig2',
    paths,
    times: rigTimes,
    ...ports,
    ...more,
  });
}
