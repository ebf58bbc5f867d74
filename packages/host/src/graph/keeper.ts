/**
 * Keeps a process's graph in step with its volfile. A changed volfile is taken live when every changed option is; else a
 * second graph is built beside the running one, brought up, handed over, and the old one is drained and freed. A volfile
 * that cannot be had, parsed or built changes nothing but the log.
 */
import {
  alterGraph,
  buildGraph,
  canReconfigure,
  type Graph,
  type GraphEvent,
  placementOf,
  type Registry,
  reconfigureGraph,
  type Subvolume,
  startGraph,
  stopGraph,
  type Volfile,
  withPlacement,
  type XlatorOverride,
} from '@mortar/core';
import { parseVolfile } from '@mortar/core/volfile/parse.ts';
import type { LazyRegistry } from '../registry/registry.ts';
import type { HostServices } from '../services.ts';
import type { VolfileSource, VolfileText } from '../volfile/source.ts';
import { Departed } from './departed.ts';
import { Fetching } from './fetching.ts';
import { GraphTop } from './top.ts';

export interface KeeperOptions {
  services: HostServices;
  registry: LazyRegistry;
  source: VolfileSource;
  volumeName?: string;
  overrides?: readonly XlatorOverride[];
  /** What this process does with every volfile, or changes in it, before it becomes a graph. */
  prepare?: (volfile: Volfile) => Promise<Volfile>;
  /** How long a new graph is given to come up before it takes over all the same. */
  upTimeoutMs?: number;
  /** How long after it could not be had the volfile is asked for again; then ever later. */
  retryMs?: number;
  /** How long requests may stay in a graph that was replaced; then it is ended under them. */
  drainTimeoutMs?: number;
  /**
   * The graph cannot stand twice beside each other: instead of another one beside it, the one in service gets and loses translators. Options
   * that only a new graph could take wait for the process to start anew.
   */
  isOnlyOne?: boolean;
  /** Says in the log whose graph it is, where a process has several. */
  origin?: string;
  /** Events of the graph in service. */
  onEvent?: (event: GraphEvent) => void;
  /** Moves the service (open files) to the next graph; the previous one is drained when it resolves. */
  handOver?: (next: RunningGraph, previous: RunningGraph) => Promise<void>;
}

export interface RunningGraph {
  readonly graph: Graph;
  readonly top: GraphTop;
  /** What requests enter by. */
  readonly ops: Subvolume;
  /** Of the volfile. */
  readonly text: string;
  /** Of the volume that the volfile was made of; undefined: not known. */
  readonly volumeVersion: number | undefined;
  readonly builtAtMs: number;
}

const defaultUpTimeoutMs = 30_000;
const defaultDrainTimeoutMs = 30_000;
const defaultRetryMs = 1000;

export class GraphKeeper {
  readonly #options: KeeperOptions;
  readonly #overrides: readonly XlatorOverride[];
  readonly #origin: string;
  #current: RunningGraph | undefined;
  /** Comes up beside the one in service. */
  #coming: RunningGraph | undefined;
  readonly #ending = new Set<RunningGraph>();
  readonly #fetching: Fetching;
  /** Have left the graph, and may have requests under way. */
  readonly #left = new Departed();
  /** Options that wait for a new process. */
  #waiting = '';
  #nextId = 0;
  /** Changes run one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #unwatch: () => void = () => undefined;
  #unhear: () => void = () => undefined;
  #stopped = false;
  #stopNow: () => void = () => undefined;
  readonly #stopping = new Promise<void>((resolve) => {
    this.#stopNow = resolve;
  });

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#overrides = options.overrides ?? [];
    this.#origin = options.origin ?? 'graph';
    this.#fetching = new Fetching({
      source: options.source,
      clock: options.services.clock,
      pauseMs: options.retryMs ?? defaultRetryMs,
      again: () => void this.refresh(),
      failed: (message) => this.#refused(message),
    });
  }

  get current(): RunningGraph {
    if (!this.#current) throw new Error('the graph is not started');
    return this.#current;
  }

  get isStarted(): boolean {
    return this.#current !== undefined;
  }

  /** How many graphs this process has had. */
  get generations(): number {
    return this.#nextId;
  }

  /** Gets the volfile, builds and starts the first graph. Throws what a person has to read. */
  async start(): Promise<RunningGraph> {
    const { source } = this.#options;
    this.#current = await this.#build(await source.fetch());
    this.#unwatch = source.watch(() => void this.refresh());
    this.#unhear = source.onBrickStarted?.(() => this.#reconnect()) ?? this.#unhear;
    return this.#current;
  }

  /** Fetches the volfile again and takes what is new. Never throws: a refusal is logged and the old graph goes on. */
  refresh(): Promise<void> {
    const run = this.#queue.then(() => this.#refresh());
    this.#queue = run;
    return run;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopNow();
    this.#fetching.stop();
    this.#unwatch();
    this.#unhear();
    await this.#queue;
    const running = this.#current;
    this.#current = undefined;
    await this.#left.endAll();
    if (running) await this.#end(running);
  }

  /** Ends what is under way in the graphs, the stopped ones included, by giving up their connections: it fails. */
  giveUp(): void {
    for (const running of [this.#current, this.#coming, ...this.#ending])
      running?.graph.top.notify({ type: 'parent-down' }, null);
  }

  /** What is not connected is tried now. */
  #reconnect(): void {
    for (const running of [this.#current, this.#coming]) running?.graph.top.notify(childWanted(), null);
  }

  async #refresh(): Promise<void> {
    if (this.#stopped || !this.#current) return;
    const { log } = this.#options.services;
    const file = await this.#fetching.fetch();
    if (!file) return;
    try {
      if (isSame(file, this.#current)) log.write('INFO', this.#origin, 'No change in volfile, continuing');
      else await this.#take(file, this.#current);
    } catch (error) {
      this.#refused((error as Error).message);
    }
  }

  #refused(message: string): void {
    this.#options.services.log.write('ERROR', this.#origin, `the new volfile is not taken: ${message}`);
  }

  async #take(file: VolfileText, before: RunningGraph): Promise<void> {
    const { services, registry } = this.#options;
    const volfile = await this.#parse(file);
    const types = await registry.loadTypes(volfile);
    if (this.#options.isOnlyOne) return this.#alter(file, volfile, types, before);
    if (canReconfigure(before.graph.volfile, volfile, types)) {
      const graph = reconfigureGraph(before.graph, volfile, types, this.#overrides);
      this.#current = { ...before, graph, text: file.text, volumeVersion: file.volumeVersion };
      services.log.write('INFO', this.#origin, `options reconfigured in graph ${graph.id}`);
      return;
    }
    const next = await this.#build(file);
    this.#coming = next;
    if (before.top.state === 'up') await this.#untilUp(next);
    this.#coming = undefined;
    if (this.#stopped) return this.#end(next);
    const handedOver = this.#options.handOver?.(next, before);
    this.#current = next;
    services.log.write('INFO', this.#origin, `switched to graph ${next.graph.id}`);
    await this.#drained(before, handedOver);
    await this.#end(before);
  }

  async #alter(file: VolfileText, volfile: Volfile, types: Registry, before: RunningGraph): Promise<void> {
    const { services, drainTimeoutMs = defaultDrainTimeoutMs } = this.#options;
    const altered = await alterGraph(before.graph, volfile, types, services, this.#overrides);
    const { graph, added, removed } = altered;
    const { text, volumeVersion } = file;
    this.#current = { ...before, graph, ops: graph.top.ops, text, volumeVersion };
    this.#left.end(removed, services, drainTimeoutMs);
    const names = [...added.map(({ name }) => `+${name}`), ...removed.map(({ name }) => `-${name}`)];
    const what = names.length === 0 ? '' : `, translators changed: ${names.join(' ')}`;
    services.log.write('INFO', this.#origin, `options reconfigured in graph ${graph.id}${what}`);
    this.#tellWaiting(altered.waiting.join(', '));
  }

  #tellWaiting(waiting: string): void {
    if (waiting !== '' && waiting !== this.#waiting)
      this.#options.services.log.write('WARNING', this.#origin, `is taken when this process starts anew: ${waiting}`);
    this.#waiting = waiting;
  }

  async #untilUp({ top, graph }: RunningGraph): Promise<void> {
    const { services, upTimeoutMs = defaultUpTimeoutMs } = this.#options;
    const up = await Promise.race([top.untilUp(services.clock, upTimeoutMs), this.#stopping]);
    if (up === false)
      services.log.write('WARNING', this.#origin, `graph ${graph.id} takes over although it is not up yet`);
  }

  /** A request that is stuck in the old graph must not keep later changes from being taken. */
  async #drained({ graph }: RunningGraph, handedOver: Promise<void> | undefined): Promise<void> {
    const { services, drainTimeoutMs = defaultDrainTimeoutMs } = this.#options;
    let isDone = false;
    await new Promise<void>((resolve) => {
      const timer = services.clock.after(drainTimeoutMs, resolve);
      const done = () => {
        isDone = true;
        timer.cancel();
        resolve();
      };
      (handedOver ?? Promise.resolve()).then(done, (error: unknown) => {
        services.log.write('ERROR', this.#origin, `handing over from graph ${graph.id}: ${(error as Error).stack}`);
        done();
      });
      void this.#stopping.then(resolve);
    });
    if (!isDone)
      services.log.write('WARNING', this.#origin, `graph ${graph.id} is ended with requests under way in it`);
  }

  async #parse(file: VolfileText): Promise<Volfile> {
    const { log } = this.#options.services;
    const volfile = parseVolfile(file.text, file.name, {
      warn: (at, text) => log.write('WARNING', 'volfile', `${at.file}:${at.line}:${at.column}: ${text}`),
    });
    const own = withPlacement(ofVolume(volfile, file.volumeId), file.volumeVersion ?? 0);
    return this.#options.prepare ? this.#options.prepare(own) : own;
  }

  async #build(file: VolfileText): Promise<RunningGraph> {
    const { services, registry, volumeName } = this.#options;
    const volfile = await this.#parse(file);
    const types = await registry.loadTypes(volfile);
    const id = this.#nextId;
    const graph = buildGraph(volfile, types, services, {
      overrides: this.#overrides,
      id,
      ...(volumeName === undefined ? {} : { volumeName }),
    });
    const top: GraphTop = new GraphTop(services, graph.top, (event) => {
      if (this.#current?.top === top) this.#options.onEvent?.(event);
    });
    const { text, volumeVersion } = file;
    const running = { graph, top, ops: graph.top.ops, text, volumeVersion, builtAtMs: services.clock.nowMs() };
    try {
      await startGraph(graph);
    } catch (error) {
      await top.fini();
      throw error;
    }
    this.#nextId++;
    return running;
  }

  async #end(running: RunningGraph): Promise<void> {
    this.#ending.add(running);
    try {
      await stopGraph(running.graph);
    } catch (error) {
      const { log } = this.#options.services;
      log.write('ERROR', this.#origin, `while ending graph ${running.graph.id}: ${(error as Error).stack}`);
    }
    await running.top.fini();
    this.#ending.delete(running);
  }
}

/** With nobody who waits for the attempts. */
function childWanted(): GraphEvent {
  return { type: 'child-wanted', attempts: [] };
}

/** Bricks hear of the volume's version from those who distribute files (docs/distribute.md, Waiting for clients). */
function isSame(file: VolfileText, { text, volumeVersion, graph }: RunningGraph): boolean {
  if (file.text !== text) return false;
  return file.volumeVersion === volumeVersion || placementOf(graph.volfile) === undefined;
}

/** Clients of bricks tell which volume they mean. */
function ofVolume(volfile: Volfile, volumeId: string | undefined): Volfile {
  if (volumeId === undefined) return volfile;
  return {
    ...volfile,
    volumes: volfile.volumes.map((node) =>
      node.type === 'protocol/client' && !node.options.has('volume-id')
        ? { ...node, options: new Map([...node.options, ['volume-id', volumeId]]) }
        : node,
    ),
  };
}
