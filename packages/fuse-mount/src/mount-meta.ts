/** What `.meta` shows of a mount: its command line, its options, and every graph that it has had. */
import { hostname } from 'node:os';
import type { Graph, Volfile } from '@mortar/core';
import type { GraphKeeper, Host } from '@mortar/host';
import { compatibleVersion } from '@mortar/host/arguments/information.ts';
import type { MetaFacts, MetaGraph, MetaRoot } from '@mortar/xlators/meta/index.ts';
import type { FuseMount } from './index.ts';
import { mountSettings } from './mount-settings.ts';
import { defaultSessionOptions } from './session/options.ts';
import { SharedVolfiles } from './shared-volfiles.ts';

interface Past {
  readonly id: number;
  readonly name: string;
  readonly top: string;
  /** Of an ended graph the last that was in force. */
  volfile: Volfile;
}

/** Beyond it the oldest are forgotten; each costs what is new in its volfile. */
const graphsMax = 100;

export class GraphHistory {
  readonly #host: Host;
  readonly #past: Past[] = [];
  readonly #shared = new SharedVolfiles();

  constructor(host: Host) {
    this.#host = host;
  }

  /** A graph took over, from `previous` if there was one. */
  took(graph: Graph, previous?: Graph): void {
    const ended = previous && this.#note(previous);
    if (ended) ended.volfile = this.#shared.share(previous.volfile);
    this.#note(graph);
    if (this.#past.length <= graphsMax) return;
    this.#past.shift();
    this.#shared.keepOnly(this.#past.map(({ volfile }) => volfile));
  }

  /** `current`: the graph that serves, as it is now. */
  graphs(current: Graph | undefined): MetaGraph[] {
    return this.#past.map(({ id, name, top, volfile }) => {
      const running = id === current?.id ? current : undefined;
      return { name, top, volfile: running?.volfile ?? volfile, running };
    });
  }

  #note(graph: Graph): Past {
    const known = this.#past.find(({ id }) => id === graph.id);
    if (known) return known;
    const { id, volfile, top } = graph;
    const past = { id, volfile, top: top.name, name: this.#nameOf(id) };
    this.#past.push(past);
    return past;
  }

  #nameOf(id: number): string {
    const date = new Date(this.#host.services.clock.wall().sec * 1000).toISOString();
    return `${hostname()}-${process.pid}-${date.slice(0, 10)}-${date.slice(11, 19)}-${id}`;
  }
}

export interface MountFacts {
  readonly host: Host;
  readonly history: GraphHistory;
  readonly keeper: () => GraphKeeper;
  readonly mount: () => FuseMount | undefined;
}

export function mountFacts({ host, history, keeper, mount }: MountFacts): MetaFacts {
  const { args } = host;
  return {
    version: compatibleVersion,
    commandLine: [host.name, ...process.argv.slice(2)].join(' '),
    logFile: args.console ? undefined : args.logFile,
    graphs: () => {
      const kept = keeper();
      return history.graphs(kept.isStarted ? kept.current.graph : undefined);
    },
    root: () => fuseRoot(host, mount()),
    memory: () => {
      const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage();
      return {
        resident_bytes: rss,
        heap_total_bytes: heapTotal,
        heap_used_bytes: heapUsed,
        external_bytes: external,
        array_buffer_bytes: arrayBuffers,
      };
    },
    callCount: () => mount()?.stats.inFlight ?? 0,
  };
}

/** GlusterFS's mount is a translator of its own; its options and keys are looked for by these names. */
function fuseRoot({ args }: Host, mount: FuseMount | undefined): MetaRoot {
  const settings = { ...defaultSessionOptions, ...mountSettings(args).session };
  const mountPoint = args.mountPoint ?? '';
  const given = [...args.given].filter(([name]) => mountOptionNames.has(name));
  return {
    name: 'fuse',
    type: 'mount/fuse',
    options: new Map([['mountpoint', mountPoint], ...given.map(([name, value]) => [name, value ?? 'on'] as const)]),
    values: {
      mount_point: mountPoint,
      volfile: args.volfile ?? 'None',
      entry_timeout: settings.entryTimeout.toFixed(6),
      attribute_timeout: settings.attributeTimeout.toFixed(6),
      negative_timeout: settings.negativeTimeout.toFixed(6),
      direct_io_mode: settings.directIo,
      use_readdirp: settings.readdirplus,
      acl: settings.acl,
      selinux: settings.selinux,
      nodes: mount?.stats.nodes ?? 0,
      handles: mount?.stats.handles ?? 0,
      in_flight: mount?.stats.inFlight ?? 0,
    },
  };
}

/** What of the command line is about the mount. */
const mountOptionNames: ReadonlySet<string> = new Set([
  'acl',
  'attribute-timeout',
  'auto-invalidation',
  'background-qlen',
  'congestion-threshold',
  'direct-io-mode',
  'entry-timeout',
  'fopen-keep-cache',
  'gid-timeout',
  'kernel-writeback-cache',
  'lru-limit',
  'negative-timeout',
  'read-only',
  'selinux',
  'subdir-mount',
  'use-readdirp',
  'volfile-id',
]);
