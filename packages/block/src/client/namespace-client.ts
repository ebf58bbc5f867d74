/** A namespace as a client sees it: its servers are found at the addresses of the configuration, and a session is kept with each. */
import { type Clock, Errno, type Log, type Random } from '@mortar/core';
import type { ClientConfig, ClientNamespace, ServerPlace } from '../config/client-config.ts';
import { type Administered, type Administration, administrationReply } from '../rsio/administration.ts';
import { dial, type Way } from '../rsio/client/dial.ts';
import type { PathPlace } from '../rsio/client/path.ts';
import { probe } from '../rsio/client/probe.ts';
import { RemoteDevice } from '../rsio/client/remote-device.ts';
import { ClientSession } from '../rsio/client/session.ts';
import { FrameType } from '../rsio/frame.ts';
import { decodeMessage, encodeMessage, type ListReply, listMaxBytes, listReply } from '../rsio/messages.ts';

export interface ClientPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface KnownServer {
  readonly id: number;
  readonly name: string;
  readonly session: ClientSession;
}

/** A device that is open, or being opened. */
interface Opened {
  readonly name: string;
  /** With servers that have it: those that come later join them. */
  readonly sessions: ClientSession[];
  /** Null: it is being opened. */
  device: RemoteDevice | null;
}

const isOpen = ({ device }: Opened) => !device?.isClosed;

const probeMs = 3000;
const againMs = 5000;
const connectedPollMs = 10;
const openMs = 10_000;
/** Without a path for so long nobody waits any more for what a server was asked to do. */
const administerLossMs = 15_000;

/** Ways to an address: from the interface in the same network (of 24 bits), else from one after the other. */
export function wayTo(
  place: ServerPlace,
  index: number,
  interfaces: ClientConfig['interfaces'],
  tls: ClientNamespace['tls'] = null,
): Way & { face: string } {
  const network = (address: string) => address.slice(0, address.lastIndexOf('.') + 1);
  const near = interfaces.find(({ address }) => address.includes('.') && network(address) === network(place.address));
  const face = near ?? interfaces[index % Math.max(1, interfaces.length)];
  const way = { host: place.address, port: place.port, ...(tls ? { tls } : {}) };
  return face ? { ...way, from: face.address, face: face.name } : { ...way, face: 'any' };
}

export class NamespaceClient {
  readonly config: ClientNamespace;
  readonly #interfaces: ClientConfig['interfaces'];
  readonly #ports: ClientPorts;
  readonly #servers = new Map<string, KnownServer>();
  /** Addresses whose server is known. */
  readonly #found = new Set<string>();
  #opened: Opened[] = [];
  #isClosed = false;

  constructor(config: ClientNamespace, interfaces: ClientConfig['interfaces'], ports: ClientPorts) {
    this.config = config;
    this.#interfaces = interfaces;
    this.#ports = ports;
  }

  get servers(): readonly KnownServer[] {
    return [...this.#servers.values()].sort((a, b) => a.id - b.id);
  }

  /** Looks for servers; those that do not answer now are looked for again later. */
  async explore(): Promise<void> {
    await Promise.all(this.config.servers.map((place, index) => this.#look(place, index)));
    await this.#untilConnected();
    if (!this.#isClosed && this.#found.size < this.config.servers.length)
      this.#ports.clock.after(againMs, () => void this.explore());
  }

  /** Those that were found are connected a moment later, unless they do not let us in. */
  async #untilConnected(): Promise<void> {
    const { clock } = this.#ports;
    const untilMs = clock.nowMs() + probeMs;
    const isSettled = ({ session }: KnownServer) => session.isUp || session.status.every(({ why }) => why !== '');
    while (!this.#isClosed && clock.nowMs() < untilMs && !this.servers.every(isSettled))
      await clock.sleep(connectedPollMs);
  }

  async #look(place: ServerPlace, index: number): Promise<void> {
    if (this.#found.has(place.name) || this.#isClosed) return;
    const { clock, random, log } = this.#ports;
    const { tls } = this.config;
    const wantsTls = tls !== null;
    const way = wayTo(place, index, this.#interfaces, tls);
    const { name: namespace, nodeName: client } = this.config;
    try {
      const told = await probe(() => dial(way), { clock, random, namespace, client, timeoutMs: probeMs, wantsTls });
      if (this.#found.has(place.name) || this.#isClosed) return;
      this.#found.add(place.name);
      const label = `${way.face} IP(TCP) ${place.address}/${place.port}`;
      this.#add(told, { name: label, dial: () => dial(way), wantsTls });
    } catch (error) {
      log.write('DEBUG', 'explorer', `${place.name} at ${place.address}/${place.port}: ${(error as Error).message}`);
    }
  }

  #add(told: { server: string; serverId: number }, place: PathPlace): void {
    const key = `${told.serverId} ${told.server}`;
    const known = this.#servers.get(key);
    if (known) {
      known.session.addPath(place);
      return;
    }
    const { clock, random, log } = this.#ports;
    const { name: namespace, nodeName: client, nodeKey, checked } = this.config;
    const session = new ClientSession({ clock, random, log, namespace, client, key: nodeKey, checked, paths: [place] });
    const server = { id: told.serverId, name: told.server, session };
    this.#servers.set(key, server);
    log.write('INFO', 'explorer', `server ${told.server} (${told.serverId}) of ${namespace} is at ${place.name}`);
    let wasUp = false;
    session.onChange(() => {
      if (session.isUp && !wasUp) void this.#came(server);
      wasUp = session.isUp;
    });
    session.start();
  }

  /** One that was away when a device was opened may have it as well: it is where the device goes when the others are lost. */
  async #came(server: KnownServer): Promise<void> {
    const missing = () => this.#opened.filter((one) => isOpen(one) && !one.sessions.includes(server.session));
    if (missing().length === 0) return;
    const offered = await this.list(server);
    for (const { name, sessions } of missing()) {
      if (!offered?.some((one) => one.name === name)) continue;
      sessions.push(server.session);
      this.#ports.log.write('INFO', 'explorer', `device ${name} is at server ${server.name}, too`);
    }
  }

  /** What a server offers; null: it does not answer now. */
  async list({ session }: KnownServer): Promise<ListReply['devices'] | null> {
    if (!session.isUp) return null;
    const reply = await session.request(FrameType.LIST, 0, 0, 0, 0, null);
    if (reply === 'lost' || reply.errno !== 0) return null;
    return decodeMessage(listReply, reply.payload, listMaxBytes)?.devices ?? null;
  }

  /**
   * Has a server do something with its devices, over a session of its own: it may take long, and would hold up what the usual one
   * has under way (its tags). Null: nobody knows what became of it.
   */
  async administer({ session: usual }: KnownServer, asked: Administration): Promise<Administered | null> {
    const { clock, random, log } = this.#ports;
    const { name: namespace, nodeName: client, nodeKey, checked } = this.config;
    const paths = usual.paths.map(({ place }) => place);
    const session = new ClientSession({ clock, random, log, namespace, client, key: nodeKey, checked, paths });
    const watch = () => {
      if (session.downMs >= administerLossMs) session.close();
      timer = clock.after(administerLossMs / 10, watch);
    };
    let timer = clock.after(administerLossMs / 10, watch);
    try {
      session.start();
      const payload = encodeMessage(asked);
      const outcome = await session.request(FrameType.ADMINISTER, 0, 0, 0, payload.length, payload);
      if (outcome === 'lost') return null;
      const reply = decodeMessage(administrationReply, outcome.payload) ?? { text: '', pools: [] };
      return { errno: outcome.errno, reply };
    } finally {
      timer.cancel();
      session.close();
    }
  }

  /** Those that offer a device, and at each its session. */
  async sessionsOf(device: string): Promise<ClientSession[]> {
    const lists = await Promise.all(this.servers.map(async (server) => ({ server, devices: await this.list(server) })));
    return lists
      .filter(({ devices }) => devices?.some(({ name }) => name === device))
      .map(({ server }) => server.session);
  }

  async open(
    device: string,
    force: boolean,
  ): Promise<{ ok: true; device: RemoteDevice } | { ok: false; errno: Errno }> {
    const own: Opened = { name: device, sessions: [], device: null };
    this.#opened = [...this.#opened.filter(isOpen), own];
    const { sessions } = own;
    for (const one of await this.sessionsOf(device)) if (!sessions.includes(one)) sessions.push(one);
    const { clock, log } = this.#ports;
    const { lossMs, takeOverMs, answerMs } = this.config;
    const opened =
      sessions.length === 0
        ? ({ ok: false, errno: Errno.ENOENT } as const)
        : await RemoteDevice.open(
            { name: device, sessions, mode: 'exclusive', force, clock, log, lossMs, takeOverMs, answerMs },
            openMs,
          );
    if (opened.ok) own.device = opened.device;
    else this.#opened = this.#opened.filter((one) => one !== own);
    return opened;
  }

  close(): void {
    this.#isClosed = true;
    for (const { session } of this.#servers.values()) session.close();
  }
}
