/** debug/io-stats: counts operations and measures how long they take, at its place in the graph. */
import {
  type Args,
  type ByteString,
  type Counter,
  Errno,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type GraphEvent,
  type Histogram,
  type LogLevel,
  locOf,
  type OptionTable,
  type OptionValues,
  type Reply,
  rootCall,
  runSteps,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { type DumpFiles, dumpFilesPortName } from '../../lib/dump-files.ts';
import { glusterFopName } from '../../lib/fop-names.ts';
import type { LatencyMeter } from '../../lib/latency-meter.ts';
import { dumpName, isCommandStep, withoutCommand } from './dump-command.ts';
import { options } from './options.ts';
import { Profile, type ProfileInfo, type ProfileKind, type UpcallName } from './profile.ts';
import { type TopAnswer, TopFiles, type TopOperation, topKind } from './top-files.ts';

/** GlusterFS's words, as `volume profile` shows them. */
const upcallNames: Record<Extract<GraphEvent, { type: 'upcall' }>['what'], UpcallName> = {
  data: 'CI_STAT',
  metadata: 'CI_XATTR',
  entry: 'CI_RENAME',
  'lock-contended': 'LEASE_RECALL',
  accused: 'CI_FORGET',
  recalled: 'LEASE_RECALL',
};

const defaultLevel: LogLevel = 'INFO';
/** Of files, of directories. */
const pathKeys: readonly ByteString[] = ['glusterfs.gfidtopath', 'glusterfs.ancestry.path'];

interface Meters {
  readonly hits: Counter;
  readonly latency: Histogram;
}

export class IoStats extends Xlator implements LatencyMeter {
  readonly #profile: Profile;
  /** Of a brick only: on a client nobody asks for it. */
  readonly #top: TopFiles | undefined;
  readonly #meters = new Map<FopName, Meters>();
  readonly #bytesRead: Counter;
  readonly #bytesWritten: Counter;
  #counts = false;
  #measures = false;
  /** As the option says. */
  #measuresByOption = false;
  /** Beside the option, from outside of the volfile. */
  #measuresBesides = false;
  #active = false;
  #level: string;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    const { metrics, clock, log } = init.services;
    this.#profile = new Profile(clock.nowMs());
    if (init.texts.has('unique-id')) this.#top = new TopFiles(clock, init.services.inodes);
    this.#bytesRead = metrics.counter('mortar_read_bytes_total', { xlator: init.name });
    this.#bytesWritten = metrics.counter('mortar_written_bytes_total', { xlator: init.name });
    this.#level = init.options['log-level'];
    // The default in a volfile does not take back what the command line asked for.
    if (this.#level !== '' && this.#level !== defaultLevel) log.setLevel(this.#level as LogLevel);
    this.#configure(init.options);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    const given = values as OptionValues<typeof options>;
    const level = given['log-level'];
    if (level !== this.#level) this.services.log.setLevel(level === '' ? defaultLevel : level);
    this.#level = level;
    this.#configure(given);
  }

  #configure(values: OptionValues<typeof options>): void {
    this.#counts = values['count-fop-hits'];
    this.#measuresByOption = values['latency-measurement'];
    this.#activate();
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (this.#active && event.type === 'upcall') this.#profile.upcall(upcallNames[event.what]);
    super.notify(event, from);
  }

  measureLatency(on: boolean): void {
    this.#measuresBesides = on;
    this.#activate();
  }

  #activate(): void {
    this.#measures = this.#measuresByOption || this.#measuresBesides;
    this.#active = this.#counts || this.#measures;
  }

  /** What `volume profile` shows; `info` and `incremental` begin a new interval. */
  profile(kind: ProfileKind): ProfileInfo {
    return this.#profile.report(kind, this.services.clock.nowMs());
  }

  /** What `volume top` shows. */
  async top(operation: TopOperation, count: number): Promise<TopAnswer | undefined> {
    return this.#top?.report(operation, count, (gfid) => this.#pathOf(gfid));
  }

  /** As the disk has it: a client that works by gfid has never told the names. */
  async #pathOf(gfid: Gfid): Promise<string | undefined> {
    for (const name of pathKeys) {
      const reply = await this.child.getxattr(rootCall(this.services.clock), { loc: locOf(gfid), name });
      const value = reply.ok ? reply.xattrs[name] : undefined;
      // Paths of several names are told apart by a colon; one in a name has no slash behind it.
      const paths = value ? Buffer.from(value).toString('latin1') : '';
      const [path] = paths.split(/:(?=\/)|\0/);
      if (path) return path.startsWith('/') ? path : `/${path}`;
    }
    return undefined;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const run = this.#countingFiles(name, this.#takingCommands(name, next as Fop<FopName>));
    // Switched off it costs one branch; switched on or off it is the same graph.
    const counted: Fop<FopName> = (call, args) => (this.#active ? this.#count(name, run, call, args) : run(call, args));
    return counted as unknown as Fops[N];
  }

  #takingCommands(fop: FopName, run: Fop<FopName>): Fop<FopName> {
    if (fop === 'compound')
      return (call, args) => {
        const { steps } = args as Args<'compound'>;
        return steps.some(isCommandStep) ? runSteps(this.ops, call, steps) : run(call, args);
      };
    if (fop !== 'setxattr' && fop !== 'fsetxattr') return run;
    return async (call, args) => {
      const given = args as Args<'setxattr'>;
      const name = dumpName(given.xattrs);
      if (name === undefined) return run(call, args);
      if (call.uid !== 0) return fail(Errno.EPERM);
      this.#dumpTo(`${name}.${this.name.replaceAll('/', '-')}`);
      // A client passes it on to the bricks, where it ends.
      if (!this.#top) return run(call, args);
      const xattrs = withoutCommand(given.xattrs);
      return Object.keys(xattrs).length === 0 ? { ok: true } : run(call, { ...given, xattrs } as typeof args);
    };
  }

  #dumpTo(file: string): void {
    const lines = Object.entries(this.dump()).map(([key, value]) => `${key}=${value}\n`);
    try {
      this.services.port<DumpFiles>(dumpFilesPortName).write(file, `[${this.type}.${this.name}]\n${lines.join('')}`);
    } catch (error) {
      this.services.log.write('WARNING', this.name, `statistics were not written: ${(error as Error).message}`);
    }
  }

  /** Of fops that no file is busy with it is the fop itself. */
  #countingFiles(fop: FopName, run: Fop<FopName>): Fop<FopName> {
    const top = this.#top;
    const kind = topKind(fop);
    if (!top || (!kind && fop !== 'compound')) return run;
    if (fop === 'open' || fop === 'create')
      return async (call, args) => {
        const reply = await run(call, args);
        if (reply.ok) this.#topOpened(args as Args<'open'>);
        return reply;
      };
    if (kind)
      return (call, args) => {
        top.count(kind, args);
        return run(call, args);
      };
    return async (call, args) => {
      const reply = await run(call, args);
      if (reply.ok) this.#topSteps(args as Args<'compound'>, reply as Reply<'compound'>);
      return reply;
    };
  }

  #topOpened(args: Args<'open'> | Args<'create'>): void {
    this.#top?.count('open', args);
    this.#top?.opened(args);
  }

  #topSteps({ steps }: Args<'compound'>, reply: Reply<'compound'>): void {
    if (!reply.ok) return;
    reply.replies.forEach(({ ok }, i) => {
      const step = steps[i];
      const kind = ok && step ? topKind(step.fop as FopName) : undefined;
      if (!step || !kind) return;
      if (kind === 'open') this.#topOpened(step.args as Args<'open'>);
      else this.#top?.count(kind, step.args);
    });
  }

  async #count(fop: FopName, run: Fop<FopName>, ...[call, args]: Parameters<Fop<FopName>>): Promise<Reply<FopName>> {
    const begun = this.#measures ? this.services.clock.nowMs() : 0;
    const reply = await run(call, args);
    const micros = this.#measures ? Math.max(0, (this.services.clock.nowMs() - begun) * 1000) : undefined;
    this.#record(fop, micros);
    if (fop === 'compound') this.#countSteps(args as Args<'compound'>, reply as Reply<'compound'>);
    else if (reply.ok) this.#countBytes(fop, reply, args, micros);
    return reply;
  }

  /** A compound has the latency, its steps have the hits. */
  #countSteps(args: Args<'compound'>, reply: Reply<'compound'>): void {
    if (!reply.ok) return;
    reply.replies.forEach((one, i) => {
      const step = args.steps[i];
      if (!step) return;
      this.#record(step.fop as FopName, undefined);
      if (one.ok) this.#countBytes(step.fop as FopName, one);
    });
  }

  #record(fop: FopName, micros: number | undefined): void {
    const meters = this.#metersOf(fop);
    meters.hits.add();
    if (micros !== undefined) meters.latency.record(micros);
    this.#profile.record(fop, micros);
  }

  #countBytes(fop: FopName, reply: object, args?: object, micros?: number): void {
    if (fop === 'readv') {
      const { length } = (reply as { data: Uint8Array }).data;
      if (args && micros !== undefined) this.#top?.took('read', args, length, micros);
      this.#bytesRead.add(length);
      this.#profile.read(length);
    } else if (fop === 'writev') {
      const { written } = reply as { written: number };
      if (args && micros !== undefined) this.#top?.took('write', args, written, micros);
      this.#bytesWritten.add(written);
      this.#profile.wrote(written);
    }
  }

  #metersOf(fop: FopName): Meters {
    let meters = this.#meters.get(fop);
    if (!meters) {
      const labels = { xlator: this.name, fop: glusterFopName(fop) };
      const { metrics } = this.services;
      meters = {
        hits: metrics.counter('mortar_fops_total', labels),
        latency: metrics.histogram('mortar_fop_latency_micros', labels),
      };
      this.#meters.set(fop, meters);
    }
    return meters;
  }

  override dump(): Record<string, string | number> {
    const { cumulative } = this.#profile.report('cumulative', this.services.clock.nowMs());
    return {
      'data-read': cumulative!.bytesRead,
      'data-written': cumulative!.bytesWritten,
      ...this.latencies(),
    };
  }

  latencies(): Record<string, string> {
    const { cumulative } = this.#profile.report('cumulative', this.services.clock.nowMs());
    const latency = (...micros: number[]) => `latency(${micros.map((one) => one.toFixed(6)).join()})usec`;
    return Object.fromEntries(
      cumulative!.fops.map(({ fop, hits, minMicros, maxMicros, avgMicros }) => [
        glusterFopName(fop),
        `${hits},${latency(minMicros, maxMicros, avgMicros)}`,
      ]),
    );
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'debug/io-stats',
  description: 'Counts operations and measures how long they take.',
  options,
  // The heal daemon's graph has it over all replica sets, which are worked on directly.
  subvolumes: { min: 1, max: Number.POSITIVE_INFINITY },
  keeps: 'nothing',
  create: (init) => new IoStats(init),
};
