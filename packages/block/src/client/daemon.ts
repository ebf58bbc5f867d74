/** rsiod: keeps sessions with the servers of the configuration, and serves what is attached to this machine's programs. */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoName } from '@mortar/core';
import { type Host, runHost } from '@mortar/host/host.ts';
import { serveMetrics } from '@mortar/host/ports/metrics-server.ts';
import { StartError } from '@mortar/host/start-error.ts';
import { ManagementError } from '@mortar/rpc/management/protocol.ts';
import { ManagementServer } from '@mortar/rpc/management/server.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { z } from 'zod';
import { AttachError } from '../attach/attach-error.ts';
import type { Kept } from '../attach/keeper/client.ts';
import { LocalNodes } from '../attach/local-nodes.ts';
import { type ClientConfig, parseClientConfig } from '../config/client-config.ts';
import { AwaitedDevice } from '../device/awaited.ts';
import { plainTraits } from '../device/guarded.ts';
import { NbdServer } from '../nbd/server.ts';
import { administer, administerParams } from './administer.ts';
import type { DaemonArguments } from './arguments.ts';
import { type Attached, AttachedDevices } from './attached.ts';
import { exploreFor, exploreParams } from './explore.ts';
import { NamespaceClient } from './namespace-client.ts';
import type { AttachReply, LocalReply, QueryReply, StatusReply } from './protocol.ts';
import { type Remembered, readRemembered, writeRemembered } from './remembered.ts';

const origin = 'rsiod';
const missingAgainMs = 1000;
/** Beside this program. */
const keeperProgram = 'rsiod-keeper.mjs';
/** The kernel's NBD client gives up only after the daemon has. */
const answerSlackMs = 30_000;

export async function runDaemon(args: DaemonArguments): Promise<void> {
  await runHost('rsiod', args.process, (host) => new Daemon(host, args).start());
}

class Daemon {
  readonly #host: Host;
  readonly #args: DaemonArguments;
  readonly #attached: AttachedDevices;
  #namespaces: readonly NamespaceClient[] = [];
  #nodes: LocalNodes | null = null;
  #nbd: NbdServer | null = null;
  #missing: Remembered = [];
  /** Devices of an earlier run that no server was found for yet. */
  readonly #awaited = new WeakMap<Attached, AwaitedDevice>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(host: Host, args: DaemonArguments) {
    this.#host = host;
    this.#args = args;
    this.#attached = new AttachedDevices(host.services.clock, host.services.metrics);
  }

  async start(): Promise<void> {
    const { clock, random, metrics } = this.#host.services;
    const { log } = this.#host;
    const config = this.#config();
    this.#namespaces = config.namespaces.map(
      (one) => new NamespaceClient(one, config.interfaces, { clock, random, log }),
    );
    this.#host.atEnd('sessions', async () => {
      for (const namespace of this.#namespaces) namespace.close();
    });
    this.#host.atEnd('devices', async () => {
      await Promise.all(this.#attached.all.map((one) => one.remote?.close()));
    });
    const nodes = this.#localNodes(config);
    this.#nodes = nodes;
    const nbd = new NbdServer({ exports: this.#attached, clock, log });
    this.#nbd = nbd;
    mkdirSync(dirname(this.#args.endpoint), { recursive: true });
    await this.#listening(this.#args.endpoint, () => nbd.listen({ kind: 'unix', path: this.#args.endpoint }));
    this.#host.atEnd('NBD', () => nbd.close());
    this.#host.atEnd('local devices', () => nodes.end());
    const control = this.#methods(new ManagementServer({ clock, log, name: origin }), config);
    const listener = await this.#listening(this.#args.socket, () =>
      control.listen(unixTransport(), { kind: 'unix', path: this.#args.socket }),
    );
    chmodSync(this.#args.socket, 0o600);
    this.#host.atEnd('control', () => listener.close());
    metrics.gauge('block_attached', () => this.#attached.all.length);
    if (this.#host.args.metricsPort !== undefined) await serveMetrics(this.#host, this.#host.args.metricsPort);
    // Who starts it may ask at once: what answers has been found by then.
    this.#missing = readRemembered(this.#remembered);
    await this.#inTurn(async () => {
      const explored = Promise.all(this.#namespaces.map((namespace) => namespace.explore()));
      // Who waits since the run before has waited long enough.
      for (const kept of await nodes.start(this.#missing.flatMap(({ nbd }) => nbd ?? []))) await this.#adopt(kept);
      await explored;
      await this.#attachMissing();
      this.#remember();
    });
  }

  #localNodes(config: ClientConfig): LocalNodes {
    const { clock } = this.#host.services;
    const { endpoint, socket, directory } = this.#args;
    const directories = new Map(config.namespaces.map((one) => [one.name, directory ?? one.directory]));
    return new LocalNodes({
      attach: config.attach,
      filesDirectory: `${socket}.files`,
      directoryOf: (namespace) => directories.get(namespace)!,
      directories: [...new Set(directories.values())],
      endpoint,
      keeper: {
        socket: `${socket}.keeper`,
        program: join(dirname(process.argv[1]!), keeperProgram),
        keepSeconds: config.keepSeconds,
      },
      answerMs: Math.max(...config.namespaces.map(({ lossMs, answerMs }) => lossMs + answerMs)) + answerSlackMs,
      clock,
      log: this.#host.log,
    });
  }

  get #remembered(): string {
    return `${this.#args.socket}.attached`;
  }

  /** What was attached before this daemon was started, as far as there is a server for it by now. */
  async #attachMissing(): Promise<void> {
    const { clock } = this.#host.services;
    for (const { namespace, name } of this.#missing) {
      const space = this.#namespaces.find((one) => one.config.name === namespace);
      if (!space || this.#attached.get(namespace, name)?.remote) continue;
      // It was ours: an earlier run of this daemon may still count as its holder.
      this.#tellMissing(namespace, name, await this.#open(space, name, true));
    }
    this.#missing = this.#missing.filter(({ namespace, name }) => !this.#attached.get(namespace, name)?.remote);
    if (this.#missing.length > 0) clock.after(missingAgainMs, () => void this.#inTurn(() => this.#attachMissing()));
  }

  readonly #told = new Map<string, string>();

  #tellMissing(namespace: string, name: string, error: string | null): void {
    const full = `${namespace}:${name}`;
    if (error !== null && this.#told.get(full) !== error)
      this.#host.log.write('WARNING', origin, `${full} is not attached again: ${error}`);
    if (error === null) this.#told.delete(full);
    else this.#told.set(full, error);
  }

  /** A device that users have in their hands since an earlier run: it is served at once, though its server is yet to be found. */
  async #adopt(kept: Kept): Promise<void> {
    const { namespace, name, sizeBytes, readOnly, minimumBytes } = kept.file;
    const space = this.#namespaces.find((one) => one.config.name === namespace);
    if (!space) {
      await this.#nodes!.refuse(kept);
      return;
    }
    const { clock } = this.#host.services;
    const traits = { ...plainTraits, readOnly, minimumBytes };
    const awaited = new AwaitedDevice({ sizeBytes, traits, clock, waitMs: space.config.lossMs });
    const one = this.#attached.add(namespace, name, awaited, null);
    this.#awaited.set(one, awaited);
    if (!this.#missing.some((missing) => missing.namespace === namespace && missing.name === name))
      this.#missing = [...this.#missing, { namespace, name }];
    try {
      one.node = await this.#nodes!.adopt(kept, one.served);
    } catch (error) {
      if (!(error instanceof AttachError)) throw error;
      this.#host.log.write('ERROR', origin, `${namespace}:${name}: ${error.message}`);
    }
    if (!one.node) this.#attached.remove(one);
  }

  #remember(): void {
    const attached = this.#attached.all.map(({ namespace, name, node }) => {
      const nbd = node?.node.kind === 'nbd' ? { nbd: node.node.target } : {};
      return { namespace, name, ...nbd };
    });
    try {
      const missing = this.#missing
        .filter(({ namespace, name }) => !this.#attached.get(namespace, name))
        .map(({ namespace, name }) => ({ namespace, name }));
      writeRemembered(this.#remembered, [...attached, ...missing]);
    } catch (error) {
      this.#host.log.write('ERROR', origin, `what is attached cannot be kept: ${(error as Error).message}`);
    }
  }

  #config(): ClientConfig {
    try {
      return parseClientConfig(readFileSync(this.#args.configFile, 'utf8'), this.#args.configFile);
    } catch (error) {
      throw new StartError((error as Error).message, 1, { cause: error });
    }
  }

  async #listening<T>(where: string, listen: () => Promise<T>): Promise<T> {
    try {
      return await listen();
    } catch (error) {
      throw new StartError(`${where} cannot be listened on: ${(error as Error).message}`, 1, { cause: error });
    }
  }

  #methods(server: ManagementServer, config: ClientConfig): ManagementServer {
    const volume = z.strictObject({ volume: z.string().max(300).optional(), force: z.boolean().default(false) });
    return server
      .method('query', z.strictObject({}), () => this.#query())
      .method('status', z.strictObject({}), () => this.#status())
      .method('local', z.strictObject({}), () => this.#local())
      .method('attach', volume, ({ volume: name, force }) => this.#inTurn(() => this.#attach(name, force)))
      .method('detach', volume, ({ volume: name, force }) => this.#inTurn(() => this.#detach(name, force)))
      .method('resize', z.strictObject({ volume: z.string().max(300), sizeBytes: z.int().positive() }), (asked) =>
        this.#inTurn(() => this.#resize(asked.volume, asked.sizeBytes)),
      )
      .method('explore', exploreParams, (asked) => exploreFor(this.#host, config, asked))
      .method('administer', administerParams, (asked) => administer(this.#namespaces, asked));
  }

  /** What changes volumes goes one after the other. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #query(): Promise<QueryReply> {
    const namespaces = this.#namespaces.map(async (one) => ({
      name: one.config.name,
      client: one.config.nodeName,
      servers: await Promise.all(
        one.servers.map(async (server) => ({
          id: server.id,
          name: server.name,
          isUp: server.session.isUp,
          why: server.session.status.find(({ why }) => why !== '')?.why ?? '',
          devices: [...((await one.list(server)) ?? [])],
        })),
      ),
    }));
    return { namespaces: await Promise.all(namespaces) };
  }

  #status(): StatusReply {
    const paths = this.#namespaces.flatMap(({ config, servers }) =>
      servers.flatMap(({ id, name, session }) =>
        session.status.map((path, index) => ({ ...path, index, namespace: config.name, serverId: id, server: name })),
      ),
    );
    return { paths };
  }

  #local(): LocalReply {
    const volumes = this.#attached.all.map(({ namespace, name, served, remote, users, node }) => ({
      namespace,
      name,
      sizeBytes: served.sizeBytes,
      readOnly: served.traits.readOnly,
      isLost: remote?.isLost ?? false,
      server: remote?.server ?? -1,
      users,
      servers: remote?.servers ?? 0,
      node: node && { kind: node.node.kind, target: node.node.target, ...node.links },
      uri: `nbd+unix:///${namespace}/${name}?socket=${this.#args.endpoint}`,
    }));
    return { volumes };
  }

  /** `NAMESPACE:NAME`, `NAME`; nothing: all that is offered. */
  async #attach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    const results: AttachReply['results'] = [];
    for (const namespace of this.#namespaces) {
      const { name: space } = namespace.config;
      const [first, second] = (wanted ?? '').split(':');
      if (second !== undefined && first !== space) continue;
      const lists = await Promise.all(namespace.servers.map((server) => namespace.list(server)));
      const offered = new Set(lists.flatMap((list) => list?.map(({ name }) => name) ?? []));
      for (const name of [...offered].sort()) {
        if (wanted !== undefined && name !== (second ?? first)) continue;
        if (this.#attached.get(space, name)?.remote) {
          results.push({ namespace: space, name, error: wanted === undefined ? null : 'it is attached already' });
          continue;
        }
        results.push({ namespace: space, name, error: await this.#open(namespace, name, force) });
      }
    }
    if (results.length === 0 && wanted !== undefined)
      throw new ManagementError('ENOENT', `no server offers '${wanted}'`);
    this.#remember();
    return { results };
  }

  /** Opens a volume at its servers and makes a device of it here; null, or why that cannot be: then nothing is left. */
  async #open(space: NamespaceClient, name: string, force: boolean): Promise<string | null> {
    const opened = await space.open(name, force);
    if (!opened.ok) return why(opened.errno);
    const before = this.#attached.get(space.config.name, name);
    if (before) {
      const { sizeBytes } = before.served;
      before.remote = opened.device;
      this.#awaited.get(before)?.come(opened.device);
      // Others may have let it grow meanwhile.
      return before.served.sizeBytes === sizeBytes ? null : this.#grow(before);
    }
    const one = this.#attached.add(space.config.name, name, opened.device, opened.device);
    try {
      one.node = await this.#nodes!.make(space.config.name, name, one.served);
      return null;
    } catch (error) {
      await this.#close(one);
      if (!(error instanceof AttachError)) throw error;
      return error.message;
    }
  }

  async #close(one: Attached): Promise<void> {
    const { namespace, name } = one;
    this.#attached.remove(one);
    for (const connection of this.#nbd!.connections)
      if (connection.exportName === `${namespace}/${name}`) connection.destroy('the device is detached');
    await one.remote?.close();
  }

  async #detach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    const results: AttachReply['results'] = [];
    const isMeant = ({ namespace, name }: Remembered[number]) =>
      wanted === undefined || wanted === name || wanted === `${namespace}:${name}`;
    for (const { namespace, name } of this.#missing.filter(isMeant))
      if (!this.#attached.get(namespace, name)) results.push({ namespace, name, error: null });
    this.#missing = this.#missing.filter((one) => !isMeant(one));
    for (const one of this.#matching(wanted)) {
      const { namespace, name } = one;
      results.push({ namespace, name, error: await this.#letGo(one, force) });
    }
    if (results.length === 0 && wanted !== undefined)
      throw new ManagementError('ENOENT', `'${wanted}' is not attached`);
    this.#remember();
    return { results };
  }

  /** Null, or why it stays. */
  async #letGo(one: Attached, force: boolean): Promise<string | null> {
    // The kernel's NBD client is a user of the endpoint, but not one that counts.
    const users = one.users - (one.node?.node.kind === 'nbd' ? 1 : 0);
    if (users > 0 && !force) return `it is in use by ${users} connections`;
    try {
      if (one.node) await this.#nodes!.remove(one.node, force);
      if (!force && one.remote) await one.remote.flush();
    } catch (error) {
      if (error instanceof AttachError) return error.message;
      throw error;
    }
    await this.#close(one);
    return null;
  }

  #matching(wanted: string | undefined): readonly Attached[] {
    return this.#attached.all.filter(
      ({ namespace, name }) => wanted === undefined || wanted === name || wanted === `${namespace}:${name}`,
    );
  }

  async #resize(wanted: string, sizeBytes: number): Promise<AttachReply> {
    const [one, ...more] = this.#matching(wanted);
    if (!one || more.length > 0)
      throw new ManagementError(
        'ENOENT',
        `'${wanted}' ${one ? 'is attached from several namespaces' : 'is not attached'}`,
      );
    if (!one.remote) throw new ManagementError('ENOTCONN', `no server has '${wanted}' now`);
    const reply = await one.remote.resize(sizeBytes);
    const error = reply.ok ? await this.#grow(one) : why(reply.errno);
    return { results: [{ namespace: one.namespace, name: one.name, error }] };
  }

  async #grow({ node }: Attached): Promise<string | null> {
    try {
      await node?.node.grow();
      return null;
    } catch (error) {
      return `it has grown, but ${(error as Error).message}`;
    }
  }
}

function why(errno: number): string {
  const texts: Record<string, string> = {
    EBUSY: 'another client has it (with --force it is taken from it)',
    ENOENT: 'no server offers it',
    EACCES: 'the server does not let this client in',
    EPERM: 'the server does not allow it',
    EOPNOTSUPP: 'the bricks of its volume do not guard devices',
  };
  const name = errnoName(errno);
  return texts[name] ?? name;
}
