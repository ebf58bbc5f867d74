/**
 * Finds namespaces, their servers and the ways to them: at addresses that are given, and, where that is allowed, by asking whole
 * networks. What answers by UDP is believed only after it said the same over TCP.
 */
import type { Way } from '../client/dial.ts';
import { closedText } from '../client/probe.ts';
import type { HelloReply } from '../messages.ts';
import { broadcastOf, localAddresses, mtuOf } from '../networks.ts';
import { ask, type Target } from './ask.ts';
import { type Bandwidth, type Identity, look, type MeasurePorts, measureBandwidth, measureWay } from './measure.ts';

export type Discovery = 'off' | 'unicast' | 'broadcast';

export interface ExploreOptions {
  readonly ports: MeasurePorts;
  /** Of this machine, by name; none: whichever the routes say. */
  readonly interfaces: readonly { readonly name: string; readonly address: string }[];
  /** Where servers may be. */
  readonly seeds: readonly Target[];
  /** Whether servers are asked by UDP, too, and whether all of the interfaces' networks are. */
  readonly discovery: Discovery;
  /** Ports that are asked in networks. */
  readonly networkPorts: readonly number[];
  /** Empty: all namespaces. */
  readonly namespace: string;
  /** 0: nothing; 1: round trip and packets of each way; 2: also bandwidth, where we are let in. */
  readonly measure: 0 | 1 | 2;
  /** Who we are in namespaces that we know. */
  readonly identities: readonly Identity[];
  readonly timeoutMs?: number;
  readonly bandwidthMs?: number;
}

export interface FoundWay {
  /** Of ours; `any`: by the routes. */
  readonly interface: string;
  readonly from: string | null;
  readonly address: string;
  readonly port: number;
  /** Why it cannot be used; null: it can. */
  readonly problem: string | null;
  readonly rttMs: number | null;
  /** Bytes of the largest packet: of the way as far as the kernel knows. */
  readonly mtu: number | null;
  readonly bandwidth: Bandwidth | null;
}

export interface FoundServer {
  readonly namespace: string;
  readonly namespaceId: number;
  readonly server: string;
  readonly serverId: number;
  readonly addresses: readonly Target[];
  readonly ways: readonly FoundWay[];
}

export interface Explored {
  readonly servers: readonly FoundServer[];
  readonly interfaces: readonly { readonly name: string; readonly address: string; readonly mtu: number | null }[];
  /** What could not be asked. */
  readonly problems: readonly string[];
}

const usualTimeoutMs = 1500;
const usualBandwidthMs = 300;
const serversMax = 256;
const addressesMax = 8;
const lookingMax = 32;
const anonymous = 'explorer';

export async function explore(options: ExploreOptions): Promise<Explored> {
  const { interfaces, namespace } = options;
  const problems: string[] = [];
  const own = localAddresses();
  const deviceOf = (address: string) => own.find((one) => one.address === address)?.device;
  for (const { name, address } of interfaces)
    if (deviceOf(address) === undefined) problems.push(`interface ${name}: this machine has no address ${address}`);
  const hints = await heard(options, problems);
  const targets = [...new Map([...options.seeds, ...hints].map((one) => [`${one.address} ${one.port}`, one])).values()];
  const found = new Map<string, { -readonly [K in keyof FoundServer]: FoundServer[K] } & { addresses: Target[] }>();
  await eachOf(targets, lookingMax, async (target) => {
    const told = await toldBy(target, options).catch((error: Error) => {
      problems.push(`${target.address}/${target.port}: ${error.message}`);
      return null;
    });
    if (!told || (namespace !== '' && told.namespace !== namespace)) return;
    const { namespace: space, namespaceId, server, serverId } = told;
    const key = JSON.stringify([space, server, serverId]);
    const known = found.get(key) ?? { namespace: space, namespaceId, server, serverId, addresses: [], ways: [] };
    if (known.addresses.length < addressesMax) known.addresses.push(target);
    if (found.has(key) || found.size < serversMax) found.set(key, known);
  });
  const servers = [...found.values()].sort(
    (a, b) => a.namespace.localeCompare(b.namespace) || a.serverId - b.serverId || a.server.localeCompare(b.server),
  );
  const order = (target: Target) => targets.indexOf(target);
  for (const server of servers) {
    server.addresses.sort((a, b) => order(a) - order(b));
    if (options.measure > 0) server.ways = await waysOf(server, options);
  }
  const faces = interfaces.map(({ name, address }) => ({ name, address, mtu: mtuOf(deviceOf(address) ?? '') }));
  return { servers, interfaces: faces, problems: problems.sort() };
}

/** Who is there: in TLS as any whom we can speak it as, else in the clear, which is not believed where we want TLS. */
async function toldBy({ address, port }: Target, options: ExploreOptions): Promise<HelloReply> {
  const { identities, ports, timeoutMs = usualTimeoutMs } = options;
  const way = { host: address, port };
  let failure: unknown = null;
  for (const { client, tls } of identities) {
    if (!tls) continue;
    try {
      return await inTime(look({ ...way, tls }, client, ports, timeoutMs), timeoutMs, ports);
    } catch (error) {
      failure ??= error;
    }
  }
  const told = await inTime(look(way, anonymous, ports, timeoutMs), timeoutMs, ports).catch((error: Error) => {
    throw new Error(explained(error.message, failure as Error | null), { cause: error });
  });
  const isSecret = identities.some(({ namespace, tls }) => namespace === told.namespace && tls?.mode === 'required');
  if (isSecret) throw failure;
  return told;
}

/** A server that requires TLS closes what begins without. */
function explained(clear: string, secret: Error | null): string {
  if (clear !== closedText) return clear;
  return secret ? secret.message : `${clear}; if it requires TLS: tls, tls-authority.. in [defaults] or [namespace]`;
}

/** Addresses that servers tell by UDP. */
async function heard(options: ExploreOptions, problems: string[]): Promise<readonly Target[]> {
  const { discovery, interfaces, ports, networkPorts, seeds, namespace, timeoutMs = usualTimeoutMs } = options;
  if (discovery === 'off') return [];
  const own = localAddresses();
  const networks = interfaces.flatMap(({ address }) => {
    const local = own.find((one) => one.address === address);
    const to = local ? broadcastOf(local) : null;
    return to === null ? [] : networkPorts.map((port) => ({ from: address, to, port }));
  });
  const broadcasts = discovery === 'broadcast' ? networks : [];
  const asked = await ask({ ...ports, seeds, broadcasts, namespace, timeoutMs });
  problems.push(...asked.problems);
  return asked.answers.flatMap(({ addresses }) => addresses);
}

/** One after the other: they would disturb each other. */
async function waysOf(server: FoundServer, options: ExploreOptions): Promise<FoundWay[]> {
  const { interfaces, ports, measure, bandwidthMs = usualBandwidthMs, timeoutMs = usualTimeoutMs } = options;
  const faces = interfaces.length > 0 ? interfaces : [{ name: 'any', address: null }];
  const identity = options.identities.find(({ namespace }) => namespace === server.namespace);
  const ways: FoundWay[] = [];
  for (const face of faces)
    for (const { address, port } of server.addresses) {
      const from = face.address === null ? {} : { from: face.address };
      const way: Way = { host: address, port, ...from, ...(identity?.tls ? { tls: identity.tls } : {}) };
      const told = { interface: face.name, from: face.address, address, port };
      try {
        const isSame = await inTime(look(way, identity?.client ?? anonymous, ports, timeoutMs), timeoutMs, ports);
        if (isSame.server !== server.server || isSame.serverId !== server.serverId)
          throw new Error(`server ${isSame.server} answers from here`);
        const { rttMs, mtu } = await measureWay(way, ports);
        const bandwidth = measure > 1 && identity ? await measureBandwidth(way, identity, ports, bandwidthMs) : null;
        ways.push({ ...told, problem: null, rttMs, mtu, bandwidth });
      } catch (error) {
        ways.push({ ...told, problem: (error as Error).message, rttMs: null, mtu: null, bandwidth: null });
      }
    }
  return ways;
}

/** A connection that gets no answer at all takes the kernel minutes. */
async function inTime<T>(work: Promise<T>, timeoutMs: number, { clock }: MeasurePorts): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => reject(new Error('no answer')));
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}

async function eachOf<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
