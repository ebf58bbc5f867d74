/** One connection to each peer, kept up; and single calls to nodes that are no peers yet. */
import type { Clock, Log, Random } from '@mortar/core/ports.ts';
import type { CallMeter } from '@mortar/rpc/management/call-meter.ts';
import { ManagementClient } from '@mortar/rpc/management/client.ts';
import { ManagementCode, ManagementError } from '@mortar/rpc/management/protocol.ts';
import { ReconnectingManagementClient } from '@mortar/rpc/management/reconnecting.ts';
import type { Address, Transport } from '@mortar/rpc/stream.ts';
import { helloReplySchema } from './messages.ts';

/** A peer that says nothing for so long is shown as offline. */
export const peerTimeoutMs = 10_000;
/** Silent peers are given up so soon; a question waits no longer than for a connected one. */
const pingTimeoutMs = 10_000;
const connectTimeoutMs = 3000;

export interface ConnectionPorts {
  clock: Clock;
  random: Random;
  log: Log;
  calls?: CallMeter;
}

/** Where a peer may be found. */
export interface PeerPlace {
  readonly uuid: string;
  readonly hosts: readonly string[];
}

export interface ConnectionEvents {
  /** A peer can be reached, for the first time or again. */
  connected(uuid: string): void;
  /** It cannot any more, or still cannot. */
  lost(uuid: string): void;
}

interface Entry {
  hosts: readonly string[];
  readonly client: ReconnectingManagementClient;
}

export class PeerConnections {
  readonly #transport: Transport;
  readonly #port: number;
  readonly #ports: ConnectionPorts;
  readonly #events: ConnectionEvents;
  readonly #entries = new Map<string, Entry>();
  #isClosed = false;

  constructor(transport: Transport, port: number, ports: ConnectionPorts, events: ConnectionEvents) {
    this.#transport = transport;
    this.#port = port;
    this.#ports = ports;
    this.#events = events;
  }

  /** Connects to those that are new, parts from those that are gone; who has other names is looked for by these the next time. */
  update(peers: readonly PeerPlace[]): void {
    if (this.#isClosed) return;
    const wanted = new Set(peers.map(({ uuid }) => uuid));
    for (const [uuid, { client }] of this.#entries) {
      if (wanted.has(uuid)) continue;
      client.close();
      this.#entries.delete(uuid);
    }
    for (const peer of peers) this.#place(peer);
  }

  #place({ uuid, hosts }: PeerPlace): void {
    const entry = this.#entries.get(uuid) ?? this.#connect(uuid, hosts);
    entry.hosts = hosts;
    entry.client.useAddresses(this.#addresses(hosts));
  }

  #connect(uuid: string, hosts: readonly string[]): Entry {
    const { clock, random, log, calls } = this.#ports;
    const client = new ReconnectingManagementClient(this.#transport, {
      clock,
      random,
      calls,
      program: 'glusterd',
      timeoutMs: peerTimeoutMs,
      pingTimeoutMs,
      addresses: this.#addresses(hosts),
      onConnect: async (connected) => {
        // A name may lead to another machine by now; nobody but the peer itself is asked or told anything.
        const { uuid: found } = helloReplySchema.parse(await connected.call('pool.hello', {}));
        if (found !== uuid) throw new Error(`${entry.hosts.join(', ')} is node ${found}, not ${uuid}`);
        log.write('INFO', 'management', `peer ${entry.hosts[0]} (${uuid}) is connected`);
        // After this turn the connection counts as one.
        clock.after(0, () => this.#events.connected(uuid));
      },
      onDisconnect: (reason) => {
        log.write('DEBUG', 'management', `peer ${entry.hosts[0]} (${uuid}): ${reason}`);
        this.#events.lost(uuid);
      },
    });
    const entry: Entry = { hosts, client };
    this.#entries.set(uuid, entry);
    client.start();
    return entry;
  }

  #addresses(hosts: readonly string[]): Address[] {
    return hosts.map((host) => this.#address(host));
  }

  #address(host: string): Address {
    return { kind: 'tcp', host, port: this.#port };
  }

  isConnected(uuid: string): boolean {
    return this.#entries.get(uuid)?.client.isConnected ?? false;
  }

  /** Rejects at once with DISCONNECTED while there is no connection. */
  async call(uuid: string, method: string, params: unknown, timeoutMs = peerTimeoutMs): Promise<unknown> {
    const entry = this.#entries.get(uuid);
    if (!entry) throw new ManagementError(ManagementCode.disconnected, `${method}: node ${uuid} is no peer`);
    return entry.client.call(method, params, { timeoutMs });
  }

  /** One call to a node by name; rejects when it does not answer in time. */
  async callOnce(host: string, method: string, params: unknown, timeoutMs = peerTimeoutMs): Promise<unknown> {
    const { clock, calls } = this.#ports;
    const connecting = ManagementClient.connect(this.#transport, this.#address(host), {
      clock,
      calls,
      program: 'glusterd',
      timeoutMs,
      pingTimeoutMs,
    });
    const client = await withinTime(clock, connecting, connectTimeoutMs, `connecting to ${host}`, (late) =>
      late.close(),
    );
    try {
      return await client.call(method, params, { timeoutMs });
    } finally {
      client.close();
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { client } of this.#entries.values()) client.close();
    this.#entries.clear();
  }
}

/** Rejects after a time; what comes later is given to `drop`. */
export function withinTime<T>(
  clock: Clock,
  work: Promise<T>,
  ms: number,
  what: string,
  drop: (late: T) => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const timer = clock.after(ms, () => {
      isLate = true;
      reject(new ManagementError(ManagementCode.timeout, `${what}: no answer within ${ms} ms`));
    });
    work.then(
      (value) => {
        timer.cancel();
        if (isLate) drop(value);
        else resolve(value);
      },
      (error: Error) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
