/** The service of rssrv: its devices, NBD in front of them, and what signals do to them. */
import { readFileSync } from 'node:fs';
import type { Clock, Log } from '@mortar/core';
import { type Host, runHost } from '@mortar/host/host.ts';
import { serveMetrics } from '@mortar/host/ports/metrics-server.ts';
import { StartError } from '@mortar/host/start-error.ts';
import { threadWaits } from '@mortar/libc';
import { printableAddress, type Transport } from '@mortar/rpc/stream.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { parseServerConfig, type ServerConfig, type TlsMode } from '../config/server-config.ts';
import { TokenBucket } from '../device/token-bucket.ts';
import { type NbdAddress, NbdServer } from '../nbd/server.ts';
import { type TlsFiles, TlsServer } from '../nbd/tls.ts';
import { type DiscoveryPlace, DiscoveryServer } from '../rsio/server/discovery.ts';
import { RsioServer } from '../rsio/server/server.ts';
import { tlsTransport } from '../rsio/tls/server-transport.ts';
import { Administration } from './administration/administration.ts';
import { Ledger } from './administration/ledger.ts';
import type { ServerArguments } from './arguments.ts';
import { DeviceStore } from './device-store.ts';

const origin = 'rssrv';

/** Throws ConfigError; or the error of a file that cannot be read. */
export function readConfig(file: string): ServerConfig {
  return parseServerConfig(readFileSync(file, 'utf8'), file);
}

export async function serve(args: ServerArguments): Promise<void> {
  await runHost('rssrv', args.process, (host) => serveDevices(host, args.configFile));
}

async function serveDevices(host: Host, file: string): Promise<void> {
  const { log } = host;
  const { clock, metrics, random } = host.services;
  // The disk's slowness is told from that of a machine whose processors are busy.
  clock.waits = threadWaits;
  const config = configAtStart(file);
  const store = new DeviceStore({ clock, log, metrics, random });
  host.atEnd('devices', () => store.close());
  const { nbd } = config;
  const server = new NbdServer({
    exports: store,
    clock,
    log,
    tlsMode: nbd.tls,
    connectionsMax: nbd.connectionsMax,
    ...(nbd.tls === 'off' ? {} : { tls: tlsAtStart(nbd.tlsFiles) }),
  });
  const rsio = new RsioServer({
    exports: store,
    clock,
    random,
    log,
    transport: tcpTransport(),
    identity: config,
    administer: (client, asked) => administration.run(client, asked),
  });
  const release = async (device: string) => {
    rsio.release(device);
    await endConnections(server, device, clock);
  };
  const administration = new Administration({ store, ledger: ledgerAtStart(`${file}.made`), log, release });
  const failures = await administration.configure(config);
  for (const { message } of failures) log.write('ERROR', origin, message);
  if (failures.length > 0 && store.devices.length === 0) throw new StartError(failures[0]!.message);
  for (const address of addressesOf(config)) await listen(host, server, address);
  host.atEnd('NBD', () => server.close());
  const places: DiscoveryPlace[] = [];
  const speaksTls = config.interfaces.some(({ tls }) => tls !== 'off');
  const certificates = { now: speaksTls ? tlsAtStart(config.tlsFiles) : null };
  const secure = (mode: TlsMode) => (mode === 'off' ? undefined : rsioTls(mode, certificates, log, clock));
  for (const { name, address, port, discovery, tls } of config.interfaces)
    places.push({ name, address, discovery, port: await listenRsio(host, rsio, secure(tls), name, address, port) });
  host.atEnd('RSIO', () => rsio.close());
  const discovery = new DiscoveryServer({ clock, log, introduce: () => rsio.introduction });
  host.atEnd('discovery', () => discovery.close());
  await discover(discovery, places);
  const reload = new Reload(host, file, administration, { nbd: server, rsio, certificates });
  host.onReopen(() => void reload.run());
  host.dumper.add(() => [...sections(store, server), ...rsioSections(rsio)]);
  metrics.gauge('block_connections', () => server.connections.size + rsio.connections.size);
  metrics.gauge('block_sessions', () => rsio.sessions.length);
  metrics.total('block_discovery_answered', () => discovery.answered);
  metrics.total('block_discovery_dropped', () => discovery.dropped);
  metrics.total('block_connections_refused', () => server.refused + rsio.refused);
  if (host.args.metricsPort !== undefined) await serveMetrics(host, host.args.metricsPort);
}

function configAtStart(file: string): ServerConfig {
  try {
    return readConfig(file);
  } catch (error) {
    throw new StartError(`${(error as Error).message}`, 1, { cause: error });
  }
}

function tlsAtStart(files: TlsFiles): TlsServer {
  try {
    return new TlsServer(files);
  } catch (error) {
    throw new StartError(`TLS cannot be used: ${(error as Error).message}`, 1, { cause: error });
  }
}

function ledgerAtStart(path: string): Ledger {
  try {
    return Ledger.read(path);
  } catch (error) {
    throw new StartError((error as Error).message, 1, { cause: error });
  }
}

function addressesOf({ nbd }: ServerConfig): NbdAddress[] {
  if (!nbd.listen) return [];
  const tcp: NbdAddress = { kind: 'tcp', host: nbd.address, port: nbd.port };
  return nbd.socket === undefined ? [tcp] : [tcp, { kind: 'unix', path: nbd.socket }];
}

async function listen(host: Host, server: NbdServer, address: NbdAddress): Promise<void> {
  const where = (one: NbdAddress) => (one.kind === 'tcp' ? `${one.host}:${one.port}` : one.path);
  try {
    const bound = await server.listen(address);
    host.log.write('INFO', origin, `NBD clients are served on ${where(bound)}`);
  } catch (error) {
    throw new StartError(`${where(address)} cannot be listened on: ${(error as Error).message}`, 1, { cause: error });
  }
}

/** One line a second at most says who was refused. */
function rsioTls(
  mode: 'allowed' | 'required',
  certificates: { now: TlsServer | null },
  log: Log,
  clock: Clock,
): Transport {
  const lines = new TokenBucket(clock, 1, 20);
  const refused = (address: string, why: string) => {
    if (lines.waitMs(1) > 0) return;
    lines.take(1);
    log.write('INFO', origin, `the connection of ${address} is refused: ${why}`);
  };
  return tlsTransport({ clock, mode, tls: () => certificates.now!, refused });
}

async function discover(discovery: DiscoveryServer, places: readonly DiscoveryPlace[]): Promise<void> {
  try {
    await discovery.listen(places);
  } catch (error) {
    throw new StartError(`discovery: UDP cannot be listened on: ${(error as Error).message}`, 1, { cause: error });
  }
}

/** The port that it got. */
async function listenRsio(
  host: Host,
  rsio: RsioServer,
  tls: Transport | undefined,
  name: string,
  address: string,
  port: number,
): Promise<number> {
  try {
    const bound = await rsio.listen({ kind: 'tcp', host: address, port }, tls);
    host.log.write('INFO', origin, `RSIO clients are served on ${name}: ${printableAddress(bound)}`);
    return bound.kind === 'tcp' ? bound.port : port;
  } catch (error) {
    const why = (error as Error).message;
    throw new StartError(`[interface ${name}] ${address}:${port} cannot be listened on: ${why}`, 1, { cause: error });
  }
}

async function endConnections(server: NbdServer, device: string, clock: Host['services']['clock']): Promise<void> {
  const users = () => [...server.connections].filter((one) => one.exportName === device);
  for (const connection of users()) connection.finish();
  while (users().length > 0) await clock.sleep(10);
}

interface Doors {
  readonly nbd: NbdServer;
  readonly rsio: RsioServer;
  /** Of RSIO's interfaces that speak TLS; null: none does. */
  readonly certificates: { now: TlsServer | null };
}

/** SIGHUP: one at a time; a file that is wrong changes nothing. */
class Reload {
  readonly #host: Host;
  readonly #file: string;
  readonly #administration: Administration;
  readonly #doors: Doors;
  #last: Promise<void> = Promise.resolve();

  constructor(host: Host, file: string, administration: Administration, doors: Doors) {
    this.#host = host;
    this.#file = file;
    this.#administration = administration;
    this.#doors = doors;
  }

  run(): Promise<void> {
    this.#last = this.#last.then(() => this.#once());
    return this.#last;
  }

  async #once(): Promise<void> {
    const { log } = this.#host;
    try {
      const config = readConfig(this.#file);
      if (config.nbd.tls !== 'off') this.#doors.nbd.useTls(new TlsServer(config.nbd.tlsFiles));
      const { certificates } = this.#doors;
      if (certificates.now) certificates.now = new TlsServer(config.tlsFiles);
      this.#doors.rsio.identify(config);
      const failures = await this.#administration.configure(config);
      for (const { message } of failures) log.write('ERROR', origin, message);
      log.write('INFO', origin, `${this.#file} was read again: ${this.#administration.devices} devices`);
    } catch (error) {
      log.write('ERROR', origin, `the configuration stays as it was: ${(error as Error).message}`);
    }
  }
}

function sections(store: DeviceStore, server: NbdServer) {
  const devices = store.devices.map((served) => {
    const { config, device, users, waiting } = served;
    return {
      name: `block.device.${served.name}`,
      values: {
        type: config.source.type,
        size_bytes: device.sizeBytes,
        read_only: device.traits.readOnly,
        paused: device.isPaused,
        users,
        requests_under_way: device.underWay,
        requests_waiting_for_limits: waiting,
      },
    };
  });
  const connections = [...server.connections].map((connection, i) => {
    const { requests, bytes } = connection.underWay;
    return {
      name: `block.nbd.connection.${i}`,
      values: {
        address: connection.client.address,
        identity: connection.client.identity ?? '',
        phase: connection.phase,
        export: connection.exportName ?? '',
        requests_under_way: requests,
        bytes_held: bytes,
      },
    };
  });
  return [...devices, ...connections];
}

function rsioSections(rsio: RsioServer) {
  const sessions = rsio.sessions.map((session) => ({
    name: `block.rsio.session.${session.id.slice(0, 8)}`,
    values: {
      client: session.client.identity ?? '',
      address: session.client.address,
      devices: session.openNames.join(' '),
      paths: session.paths.size,
    },
  }));
  const connections = [...rsio.connections].map((connection, i) => ({
    name: `block.rsio.connection.${i}`,
    values: {
      address: connection.address,
      session: connection.session?.id.slice(0, 8) ?? '',
      path: connection.path,
      requests_under_way: connection.underWay.requests,
      bytes_held: connection.underWay.bytes,
    },
  }));
  return [...sessions, ...connections];
}
