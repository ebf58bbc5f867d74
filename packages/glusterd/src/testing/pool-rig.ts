/** Several nodes in one process, each with a disk of its own, over a network whose links can be cut. */
import type { Address, Listener, Stream, Transport } from '@mortar/rpc/stream.ts';
import { MemoryStream } from '@mortar/rpc/transports/memory.ts';
import { agreement } from '../pool/agreement.ts';
import type { HostNames } from '../ports.ts';
import { Rig } from './rig.ts';

const port = 24007;

/** Nodes by address; a stream tells the server where it came from, as TCP does. */
export class Network {
  readonly #listeners = new Map<string, (stream: Stream) => void>();
  readonly #cut = new Set<string>();
  readonly #streams = new Set<{ ends: readonly string[]; stream: MemoryStream }>();

  transport(own: string, resolve: (host: string) => string | undefined): Transport {
    return {
      connect: async (address: Address) => {
        const host = address.kind === 'tcp' ? resolve(address.host) : undefined;
        const accept = host === undefined ? undefined : this.#listeners.get(host);
        if (host === undefined || !accept || this.#cut.has(host) || this.#cut.has(own))
          throw Object.assign(new Error('nobody listens'), { code: 'ECONNREFUSED' });
        const [near, far] = MemoryStream.pair(host);
        const peer = { kind: 'tcp', address: own, port: 1, isLocal: false, isLocalRoot: false };
        Object.defineProperty(far, 'peer', { value: peer });
        this.#streams.add({ ends: [own, host], stream: near });
        accept(far);
        return near;
      },
      listen: async (address: Address, onStream): Promise<Listener> => {
        this.#listeners.set(own, onStream);
        return {
          address,
          close: async () => {
            this.#listeners.delete(own);
          },
        };
      },
    };
  }

  /** The node is there, and nobody reaches it. */
  cut(address: string): void {
    this.#cut.add(address);
    for (const { ends, stream } of this.#streams) if (ends.includes(address)) stream.destroy();
  }

  mend(address: string): void {
    this.#cut.delete(address);
  }
}

export class PoolNode extends Rig {
  readonly address: string;
  readonly #network: Network;
  readonly #transport: Transport;

  constructor(network: Network, index: number, nodes: number) {
    super();
    this.address = addressOf(index);
    this.#network = network;
    const names = new Map(Array.from({ length: nodes }, (_, i) => [`node${i + 1}`, addressOf(i + 1)]));
    for (const address of [...names.values()]) names.set(address, address);
    this.hosts = hostsOf(index, names);
    this.#transport = network.transport(this.address, (host) => names.get(host));
    this.pool = { transport: this.#transport, port, parts: agreement };
  }

  async up(): Promise<void> {
    await this.start();
    await this.daemon.listen(this.#transport, { kind: 'tcp', host: this.address, port });
    await this.daemon.resume();
  }

  /** As if it was killed: nothing is said, processes go on. */
  async down(): Promise<void> {
    this.#network.cut(this.address);
    await this.daemon.close();
    this.#network.mend(this.address);
  }

  get uuid(): string {
    return this.daemon.context.store.state.node.uuid;
  }

  /** All that nodes of a pool must have in common, for comparison. */
  documents(): string {
    const { globals, volumes, peers } = this.daemon.context.store.state;
    return JSON.stringify([globals, [...volumes], [...peers]]);
  }

  at(name: string): string {
    return `${this.address}:${this.root}/${name}`;
  }
}

function addressOf(index: number): string {
  return `10.9.0.${index}`;
}

function hostsOf(index: number, names: ReadonlyMap<string, string>): HostNames {
  return {
    hostname: () => `node${index}`,
    addresses: () => ['127.0.0.1', addressOf(index)],
    resolve: async (host) => (names.has(host) ? [names.get(host)!] : []),
    reverse: async (address) =>
      [...names].filter(([name, own]) => own === address && name !== own).map(([name]) => name),
  };
}

/** Waits for what happens by itself, for at most ten seconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`this did not happen: ${what}`);
}
