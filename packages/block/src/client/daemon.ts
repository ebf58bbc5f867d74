/** rsiod: keeps sessions with the servers of the configuration, and serves what is attached to this machine's programs. */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Host, runHost } from '@mortar/host/host.ts';
import { serveMetrics } from '@mortar/host/ports/metrics-server.ts';
import { StartError } from '@mortar/host/start-error.ts';
import { ManagementServer } from '@mortar/rpc/management/server.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { z } from 'zod';
import { LocalNodes } from '../attach/local-nodes.ts';
import { type ClientConfig, parseClientConfig } from '../config/client-config.ts';
import { NbdServer } from '../nbd/server.ts';
import { administer, administerParams } from './administer.ts';
import type { DaemonArguments } from './arguments.ts';
import { AttachedDevices } from './attached.ts';
import { exploreFor, exploreParams } from './explore.ts';
import { NamespaceClient } from './namespace-client.ts';
import type { LocalReply, QueryReply, StatusReply } from './protocol.ts';
import { Volumes } from './volumes.ts';

const origin = 'rsiod';
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
    const nbd = new NbdServer({ exports: this.#attached, clock, log });
    mkdirSync(dirname(this.#args.endpoint), { recursive: true });
    await this.#listening(this.#args.endpoint, () => nbd.listen({ kind: 'unix', path: this.#args.endpoint }));
    this.#host.atEnd('NBD', () => nbd.close());
    this.#host.atEnd('local devices', () => nodes.end());
    const remembered = `${this.#args.socket}.attached`;
    const attached = this.#attached;
    const volumes = new Volumes({ namespaces: this.#namespaces, attached, nodes, nbd, remembered, clock, log });
    const control = this.#methods(new ManagementServer({ clock, log, name: origin }), config, volumes);
    const listener = await this.#listening(this.#args.socket, () =>
      control.listen(unixTransport(), { kind: 'unix', path: this.#args.socket }),
    );
    chmodSync(this.#args.socket, 0o600);
    this.#host.atEnd('control', () => listener.close());
    metrics.gauge('block_attached', () => this.#attached.all.length);
    if (this.#host.args.metricsPort !== undefined) await serveMetrics(this.#host, this.#host.args.metricsPort);
    // Who starts it may ask at once: what answers has been found by then.
    await volumes.resume();
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

  #methods(server: ManagementServer, config: ClientConfig, volumes: Volumes): ManagementServer {
    const volume = z.strictObject({ volume: z.string().max(300).optional(), force: z.boolean().default(false) });
    return server
      .method('query', z.strictObject({}), () => this.#query())
      .method('status', z.strictObject({}), () => this.#status())
      .method('local', z.strictObject({}), () => this.#local())
      .method('attach', volume, ({ volume: name, force }) => volumes.attach(name, force))
      .method('detach', volume, ({ volume: name, force }) => volumes.detach(name, force))
      .method('resize', z.strictObject({ volume: z.string().max(300), sizeBytes: z.int().positive() }), (asked) =>
        volumes.resize(asked.volume, asked.sizeBytes),
      )
      .method('explore', exploreParams, (asked) => exploreFor(this.#host, config, asked))
      .method('administer', administerParams, (asked) => administer(this.#namespaces, asked));
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
}
