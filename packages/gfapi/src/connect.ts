/** From the name of a volume to a volume. */
import {
  byteString,
  type Clock,
  Errno,
  FileType,
  type Gfid,
  type GraphEvent,
  type LogLevel,
  locAt,
  type Random,
  rootCall,
  rootGfid,
  type Volfile,
} from '@mortar/core';
import {
  Admission,
  dumpWhenAsked,
  FileVolfileSource,
  type GraphKeeper,
  HostServices,
  handOverMs,
  keepGraphOn,
  LazyRegistry,
  LineLog,
  ManagementLink,
  ManagementVolfileSource,
  managementPort,
  processId,
  processSection,
  SocketTransportPort,
  StateDumper,
  SystemClock,
  sectionsOf,
  silentTarget,
  socketTransport,
  type VolfileSource,
  withSubdirectory,
} from '@mortar/host';
import { xlatorLoaders } from '@mortar/host/registry/loaders.ts';
import type { XlatorLoader } from '@mortar/host/registry/types.ts';
import type { Address } from '@mortar/rpc';
import { Client } from './client.ts';
import { argumentError, fsError } from './errors.ts';
import { Volume } from './volume.ts';

/** A server that gives volfiles: glusterd, by host and port (24007), or by its socket on this machine. */
export type Server = { host: string; port?: number } | { socket: string };

/** A translator over the graph that was fetched. */
export interface TopTranslator {
  type: string;
  /** In logs and statistics; by default the type's last word. */
  name?: string;
  options?: Readonly<Record<string, string>>;
}

export interface ConnectOptions {
  /** By name. Not needed with a volfile. */
  volume?: string;
  servers?: readonly Server[];
  /** A file's path, a text, or what fetches and watches one; instead of servers. */
  volfile?: { path: string } | { text: string } | VolfileSource;
  /** A directory of the volume, which is then the root of all paths. */
  subdirectory?: string;
  uid?: number;
  gid?: number;
  groups?: readonly number[];
  /** Taken off the modes of what is made; 0o022. */
  umask?: number;
  /** How long the bricks are given; then `connect` fails. 0: it does not wait for them. */
  connectTimeoutMs?: number;
  /** How long `close` waits for what is under way. */
  closeTimeoutMs?: number;
  /** Of every request that says nothing else. */
  timeoutMs?: number;
  maxInFlight?: number;
  entryTimeoutMs?: number;
  nameCacheLimit?: number;
  /** Inodes that are kept in memory though nobody has them open. */
  inodeLimit?: number;
  onTop?: readonly TopTranslator[];
  /** Changes each graph that was fetched before it is made, and before `onTop`. An error refuses the graph. */
  prepare?: (volfile: Volfile) => Volfile;
  /** Types of translators beside those that there are. */
  loaders?: Readonly<Record<string, XlatorLoader>>;
  /** Each line of the log; nothing is written else. */
  log?: (line: string) => void;
  logLevel?: LogLevel;
  clock?: Clock;
  random?: Random;
  network?: SocketTransportPort;
}

const defaults = {
  umask: 0o022,
  connectTimeoutMs: 10_000,
  closeTimeoutMs: 10_000,
  maxInFlight: 256,
  entryTimeoutMs: 1000,
  nameCacheLimit: 8192,
  inodeLimit: 65536,
  logLevel: 'INFO' as LogLevel,
};

/** Resolves when the volume can be used. Throws an error with a `code`, with nothing left behind. */
export async function connect(given: ConnectOptions): Promise<Volume> {
  const options = { ...defaults, ...withoutUndefined(given) };
  const clock = options.clock ?? new SystemClock();
  const { log: line } = options;
  const target = line ? { ...silentTarget, write: (text: string) => line(text.trimEnd()) } : silentTarget;
  const services = new HostServices(
    new LineLog(target, clock, options.logLevel),
    clock,
    options.inodeLimit,
    options.random,
  );
  const { source, link } = sourceOf(options, services);
  const client = new Client(services, { maxInFlight: options.maxInFlight, timeoutMs: options.timeoutMs });
  const admission = new Admission();
  const keeper = keepGraphOn(options.network ?? new SocketTransportPort(managementPort), {
    services,
    registry: new LazyRegistry({ ...xlatorLoaders, ...options.loaders }),
    source,
    prepare: async (volfile) => {
      const prepared = options.prepare?.(volfile) ?? volfile;
      const { subdirectory, onTop = [] } = options;
      const whole = subdirectory === undefined ? prepared : withSubdirectory(prepared, subdirectory);
      return putOnTop(whole, [...onTop, ...overCaches(whole)]);
    },
    onEvent: (event: GraphEvent) => {
      admission.hear(event);
      if (event.type === 'upcall') client.upcall(event);
    },
    drainTimeoutMs: handOverMs,
    handOver: (next) => client.setGraph(next.ops),
  });
  if (link) dumpStateOf(keeper, services, link);
  const end = onlyOnce(async () => {
    await client.close(options.closeTimeoutMs);
    await keeper.stop();
    link?.close();
  });
  try {
    const root = await serve(keeper, client, admission, options);
    const who = {
      uid: options.uid ?? ownId('getuid'),
      gid: options.gid ?? ownId('getgid'),
      groups: options.groups ?? [],
    };
    const { umask, entryTimeoutMs, nameCacheLimit } = options;
    return new Volume({ client, who, umask, root, entryTimeoutMs, nameCacheLimit, end });
  } catch (error) {
    await end();
    throw error;
  }
}

/** When glusterd is asked for it, as of GlusterFS's library. */
function dumpStateOf(keeper: GraphKeeper, services: HostServices, link: ManagementLink): void {
  const dumper = new StateDumper(services.clock);
  dumper.add(() => [processSection(), ...sectionsOf(keeper, services)]);
  dumpWhenAsked(link, services.log, () => dumper.write());
}

type Options = ConnectOptions & typeof defaults;

async function serve(keeper: GraphKeeper, client: Client, admission: Admission, options: Options): Promise<Gfid> {
  const { clock } = client.services;
  const running = await keeper.start();
  await client.setGraph(running.ops);
  const { connectTimeoutMs, subdirectory } = options;
  if (connectTimeoutMs > 0 && !(await admission.untilUp(running.top, clock, connectTimeoutMs))) {
    const refused = await Promise.race([admission.whenRefused, Promise.resolve(null)]);
    const what = options.volume ?? 'the volume';
    const error = fsError(refused === null ? Errno.ENOTCONN : Errno.EACCES, 'connect', { path: what });
    error.message +=
      refused === null
        ? `: no brick could be reached within ${connectTimeoutMs} ms`
        : `: the server refused: ${refused}`;
    throw error;
  }
  return subdirectory === undefined ? rootGfid : findDirectory(client, subdirectory);
}

async function findDirectory(client: Client, path: string): Promise<Gfid> {
  const { clock } = client.services;
  let gfid = rootGfid;
  for (const name of byteString(path)
    .split('/')
    .filter((part) => part !== '')) {
    const reply = await client.run({ uid: 0, gid: 0, groups: [] }, undefined, (top) =>
      top.lookup(rootCall(clock), { loc: locAt(gfid, name) }),
    );
    if (!reply.ok) throw fsError(reply.errno, 'connect', { path });
    if (reply.iatt.type !== FileType.directory) throw fsError(Errno.ENOTDIR, 'connect', { path });
    gfid = reply.iatt.gfid;
  }
  return gfid;
}

function sourceOf(options: Options, services: HostServices): { source: VolfileSource; link?: ManagementLink } {
  const { volfile, volume, servers } = options;
  if (volfile && 'path' in volfile) return { source: new FileVolfileSource(volfile.path) };
  if (volfile && 'text' in volfile) return { source: fixed(volfile.text) };
  if (volfile) return { source: volfile };
  if (volume === undefined || !/^[\w.-]+$/.test(volume)) throw argumentError('volume', 'the name of a volume', volume);
  if (!servers || servers.length === 0) throw argumentError('servers', 'a list of servers, or give a volfile', servers);
  const { clock, random, log } = services;
  const link = new ManagementLink({
    transport: socketTransport(),
    servers: servers.map(addressOf),
    program: 'gfapi',
    clientId: processId(clock.wall().sec),
    clock,
    random,
    log,
  });
  return { source: new ManagementVolfileSource(link, volume, (host) => addressOf({ host })), link };
}

function addressOf(server: Server): Address {
  if ('socket' in server) return { kind: 'unix', path: server.socket };
  return { kind: 'tcp', host: server.host, port: server.port ?? managementPort };
}

function fixed(text: string): VolfileSource {
  return { fetch: async () => ({ text, name: 'volfile' }), watch: () => () => undefined };
}

/** Bricks check permissions, but see nothing of what a cache answers. */
function overCaches({ volumes }: Volfile): readonly TopTranslator[] {
  return volumes.some(({ type }) => type === 'protocol/client') ? [{ type: 'features/cache-access' }] : [];
}

/** The volfile with further translators over its last volume. */
function putOnTop(volfile: Volfile, onTop: readonly TopTranslator[]): Volfile {
  const volumes = [...volfile.volumes];
  for (const { type, name, options = {} } of onTop) {
    const below = volumes.at(-1);
    if (!below) break;
    const base = name ?? type.slice(type.lastIndexOf('/') + 1);
    const taken = (text: string) => volumes.some((node) => node.name === text);
    let own = base;
    for (let i = 2; taken(own); i++) own = `${base}-${i}`;
    const at = { file: 'onTop', line: 1, column: 1 };
    volumes.push({
      ...below,
      name: own,
      type,
      options: new Map(Object.entries(options)),
      subvolumes: [below.name],
      at,
    });
  }
  return { ...volfile, volumes };
}

function ownId(name: 'getuid' | 'getgid'): number {
  return process[name]?.() ?? 0;
}

function onlyOnce(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}

function withoutUndefined(options: ConnectOptions): ConnectOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as ConnectOptions;
}
