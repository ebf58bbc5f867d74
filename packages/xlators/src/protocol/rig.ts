/** For tests: a brick's graph (protocol/server over a child that does as told) and a client's graph that reaches it. */
import {
  type Args,
  buildGraph,
  type Call,
  type Clock,
  type Fop,
  type FopName,
  type Fops,
  type Graph,
  type GraphEvent,
  InodeTable,
  type Log,
  type OptionTable,
  type Random,
  type Reply,
  type Services,
  type Subvolume,
  startGraph,
  stopGraph,
  type Volfile,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { MemoryTransport, nullLog, nullMetrics, type TransportPort } from '@mortar/rpc';
import { xlator as clientType } from './client/index.ts';
import { type ProtocolServer, xlator as serverType } from './server/index.ts';

export type Answer = (fop: FopName, call: Call, args: Args<FopName>) => Promise<Reply<FopName>>;

/** Answers all fops by one function and remembers events from above. */
export class ToldChild extends Xlator {
  answer: Answer = async () => ({ ok: false, errno: 38 });
  readonly events: GraphEvent[] = [];

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    if (name === 'compound') return super.bindFop(name, next);
    const run: Fop<N> = (call, args) => this.answer(name, call, args as Args<FopName>) as Promise<Reply<N>>;
    return run as unknown as Fops[N];
  }

  /** Makes the base class unroll compounds. */
  stat(): Promise<Reply<'stat'>> {
    throw new Error('bound otherwise');
  }

  override notify(event: GraphEvent): void {
    this.events.push(event);
  }

  /** Tells the translators above. */
  tell(event: GraphEvent): void {
    this.propagate(event);
  }
}

class TopProbe extends Xlator {
  readonly events: GraphEvent[] = [];

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (from) this.events.push(event);
    else this.propagate(event);
  }
}

const childType: XlatorType<OptionTable> = {
  type: 'test/told',
  description: 'Answers as told.',
  options: {},
  subvolumes: { min: 0, max: 0 },
  create: (init: XlatorInit) => new ToldChild(init),
};

const probeType: XlatorType<OptionTable> = {
  type: 'test/probe',
  description: 'Remembers events.',
  options: {},
  subvolumes: { min: 1, max: 1 },
  create: (init: XlatorInit) => new TopProbe(init),
};

const registry = new Map<string, XlatorType>(
  [clientType, serverType, childType, probeType].map((type) => [type.type, type as unknown as XlatorType]),
);

export function volfile(
  ...volumes: { name: string; type: string; options?: Record<string, string>; subvolumes?: string[] }[]
): Volfile {
  return {
    volumes: volumes.map(({ name, type, options = {}, subvolumes = [] }, i) => ({
      name,
      type,
      options: new Map(Object.entries(options)),
      subvolumes,
      at: { file: 'test.vol', line: i + 1, column: 1 },
    })),
  };
}

export interface RigOptions {
  clock: Clock;
  random: Random;
  transport?: Partial<TransportPort>;
  log?: Log;
  server?: Record<string, string>;
  /** Of what is below the server. */
  child?: Record<string, string>;
  client?: Record<string, string>;
}

export function services(options: RigOptions): Services {
  const transport: TransportPort = {
    transport: new MemoryTransport(),
    hostName: 'node1',
    processId: 4711,
    isLocalHost: (host) => host === 'localhost',
    socketExists: () => false,
    addressesOf: async () => [],
    ...options.transport,
  };
  return {
    clock: options.clock,
    random: options.random,
    log: options.log ?? nullLog,
    metrics: nullMetrics,
    inodes: new InodeTable(),
    port: <T>(name: string): T => {
      if (name === 'transport') return transport as T;
      throw new Error(`no port ${name}`);
    },
  };
}

const brickPath = '/bricks/b1';

export interface Brick {
  graph: Graph;
  child: ToldChild;
  server: ProtocolServer;
  stop(): Promise<void>;
}

export async function startBrick(options: RigOptions): Promise<Brick> {
  const graph = buildGraph(
    volfile(
      { name: brickPath, type: 'test/told', options: options.child ?? {} },
      {
        name: 'vol1-server',
        type: 'protocol/server',
        options: {
          'auth-path': brickPath,
          [`auth.addr.${brickPath}.allow`]: '*',
          'transport.socket.bind-address': '127.0.0.1',
          'listen-port': '0',
          ...options.server,
        },
        subvolumes: [brickPath],
      },
    ),
    registry,
    services(options),
  );
  await startGraph(graph);
  const child = graph.xlators.get(brickPath) as ToldChild;
  return { graph, child, server: graph.top as ProtocolServer, stop: () => stopGraph(graph) };
}

export interface Client {
  graph: Graph;
  ops: Subvolume;
  events: GraphEvent[];
  /** Resolves when an event of this type has come `count` times. */
  saw(type: GraphEvent['type'], count?: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startClient(options: RigOptions): Promise<Client> {
  const graph = buildGraph(
    volfile(
      {
        name: 'vol1-client-0',
        type: 'protocol/client',
        options: { 'remote-host': '127.0.0.1', 'remote-subvolume': brickPath, ...options.client },
      },
      { name: 'vol1', type: 'test/probe', subvolumes: ['vol1-client-0'] },
    ),
    registry,
    services(options),
  );
  const { events } = graph.top as TopProbe;
  await startGraph(graph);
  const saw = async (type: GraphEvent['type'], count = 1) => {
    while (events.filter((event) => event.type === type).length < count)
      await new Promise((resolve) => setImmediate(resolve));
  };
  return { graph, ops: graph.top.ops, events, saw, stop: () => stopGraph(graph) };
}
