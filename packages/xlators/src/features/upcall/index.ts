import {
  type Args,
  type Call,
  Errno,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type Gfid,
  type GraphEvent,
  type Inode,
  locAt,
  type OptionTable,
  type OptionValues,
  type Reply,
  rootCall,
  runSteps,
  withXdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { decodeLetGo, letGoOperation } from '../../lib/delegation.ts';
import { type Changed, Changing } from './changing.ts';
import { Delegations } from './delegations.ts';
import { options } from './options.ts';
import { type Change, changesOf, looksAt } from './touches.ts';

type Values = OptionValues<typeof options>;
/** Until when each client wants to know about the file, on the monotonic clock. */
type Watchers = Map<string, number>;

/** Sessions remembered of one file; the oldest is told to forget the file when there are more. */
const maxWatchers = 4096;

/**
 * Remembers who looked at a file lately, and tells them when another client changes it; asks those first who were promised
 * that nobody would.
 */
export class Upcall extends Xlator {
  #on: boolean;
  #timeoutMs: number;
  #told = 0;
  readonly #delegations: Delegations;
  readonly #changing = new Changing();

  constructor(init: XlatorInit) {
    super(init);
    const values = init.options as Values;
    this.#on = values['cache-invalidation'];
    this.#timeoutMs = values['cache-invalidation-timeout'] * 1000;
    const host = {
      clock: this.services.clock,
      ask: (gfid: Gfid, clientId: string, serial: number) =>
        this.propagate({ type: 'upcall', clientId, gfid, what: 'recalled', domain: `${serial}` }),
      isChanging: (gfid: Gfid) => this.#changing.has(gfid),
    };
    this.#delegations = new Delegations(host, values['delegation-timeout'] * 1000, values['delegation-rest'] * 1000);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#on = (values as Values)['cache-invalidation'];
    this.#timeoutMs = (values as Values)['cache-invalidation-timeout'] * 1000;
    this.#delegations.lifetimeMs = (values as Values)['delegation-timeout'] * 1000;
    this.#delegations.restMs = (values as Values)['delegation-rest'] * 1000;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = this.#careful(name, super.bindFop(name, next) as Fop<FopName>);
    const { class: touches } = fops[name];
    if (touches === 'lock' || touches === 'control') return bound as Fops[N];
    const watching: Fop<FopName> = (call, args) =>
      this.#on ? this.#watch(name, call, args, bound) : bound(call, args);
    return watching as Fops[N];
  }

  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    return this.#on ? runSteps(this.ops, call, args.steps) : this.child.compound(call, args);
  }

  // --- delegations ---

  #careful(name: FopName, down: Fop<FopName>): Fop<FopName> {
    const { class: touches } = fops[name];
    if (name !== 'compound' && touches !== 'data' && touches !== 'metadata' && touches !== 'entry' && name !== 'open')
      return down;
    const promises = (): boolean => this.#delegations.lifetimeMs > 0 || this.#delegations.size > 0;
    return (call, args) => {
      if (!promises()) return down(call, args);
      if (name === 'open' && args.xdata?.delegate) return this.#delegated(call, args as Args<'open'>, down);
      return this.#alone(name, call, args, down);
    };
  }

  /** Who opens a file may be promised to be asked before others change it. */
  async #delegated(call: Call, args: Args<'open'>, down: Fop<FopName>): Promise<Reply<FopName>> {
    const { gfid } = args.fd;
    const { clientId } = call;
    const delegatedMs = this.#delegations.grant(gfid, clientId);
    const reply = await down(call, args as Args<FopName>);
    // Where it failed the client may rely on what it was promised before, for another of its users.
    const isPromised = reply.ok && delegatedMs > 0 && this.#delegations.holds(gfid, clientId);
    return isPromised ? withXdata(reply, { delegatedMs }) : reply;
  }

  /** A change is done when nobody relies any more on what it changes; none is promised meanwhile. */
  async #alone(name: FopName, call: Call, args: Args<FopName>, down: Fop<FopName>): Promise<Reply<FopName>> {
    const change = this.#changing.begin(name, args);
    if (!change) return down(call, args);
    try {
      if (this.#delegations.isAsked) await this.#delegations.recall(await this.#changedBy(change), call.clientId);
      return await down(call, args);
    } finally {
      this.#changing.end(change);
    }
  }

  /** Names that lose or change their file: which one that is the storage knows. */
  async #changedBy({ subjects: { gfids, names } }: Changed): Promise<Gfid[]> {
    const found = await Promise.all(
      names.map(({ parent, name }) => this.child.lookup(rootCall(this.services.clock), { loc: locAt(parent, name) })),
    );
    return [...gfids, ...found.flatMap((reply) => (reply.ok ? [reply.iatt.gfid] : []))];
  }

  /** A client has let go of files. */
  async ipc(call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
    if (args.operation !== letGoOperation) return this.child.ipc(call, args);
    const told = decodeLetGo(args.data ?? new Uint8Array(0));
    if (!told) return fail(Errno.EINVAL);
    this.#delegations.returned(told.gfid, call.clientId, told.serial);
    return { ok: true, data: new Uint8Array(0) };
  }

  // --- watchers ---

  async #watch(name: FopName, call: Call, args: Args<FopName>, next: Fop<FopName>): Promise<Reply<FopName>> {
    // Before the answer is made: a change that is done while it travels must reach this client.
    if (!call.internal) for (const gfid of looksAt(args)) this.#remember(gfid, call.clientId);
    const reply = await next(call, args);
    if (!call.internal && reply.ok) this.#rememberAnswer(name, reply, call.clientId);
    if (reply.ok) for (const change of changesOf(name, args)) this.#tell(change, call.clientId);
    return reply;
  }

  #rememberAnswer(name: FopName, reply: Reply<FopName>, clientId: string): void {
    if (name === 'lookup' || name === 'create' || name === 'mkdir' || name === 'mknod' || name === 'symlink') {
      const { iatt } = reply as Extract<Reply<'lookup'>, { ok: true }>;
      if (iatt) this.#remember(iatt.gfid, clientId);
    }
    if (name !== 'readdirp') return;
    for (const { gfid } of (reply as Extract<Reply<'readdirp'>, { ok: true }>).entries)
      if (gfid) this.#remember(gfid, clientId);
  }

  #remember(gfid: Gfid, clientId: string): void {
    const inode = this.services.inodes.get(gfid);
    const watchers = (inode.slots[this.slot] as Watchers | undefined) ?? new Map<string, number>();
    inode.slots[this.slot] = watchers;
    watchers.delete(clientId);
    watchers.set(clientId, this.services.clock.nowMs() + this.#timeoutMs);
    if (watchers.size <= maxWatchers) return;
    const [oldest] = watchers.keys();
    watchers.delete(oldest!);
    this.#send({ gfid, what: 'data' }, oldest!);
  }

  #tell(change: Change, by: string): void {
    const watchers = this.services.inodes.find(change.gfid)?.slots[this.slot] as Watchers | undefined;
    if (!watchers) return;
    const now = this.services.clock.nowMs();
    for (const [clientId, until] of watchers) {
      if (until < now) watchers.delete(clientId);
      else if (clientId !== by) this.#send(change, clientId);
    }
  }

  #send(change: Change, clientId: string): void {
    this.#told++;
    this.propagate({ type: 'upcall', clientId, ...change });
  }

  /** The brick's memory of the file ends: whoever still trusts what it knows would not be told any more. */
  protected override forget(inode: Inode, state: unknown): void {
    const now = this.services.clock.nowMs();
    for (const [clientId, until] of state as Watchers)
      if (until >= now) this.#send({ gfid: inode.gfid, what: 'data' }, clientId);
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'session-ended')
      for (const inode of this.services.inodes.all())
        (inode.slots[this.slot] as Watchers | undefined)?.delete(event.clientId);
    super.notify(event, from);
  }

  override dump(): Record<string, string | number | boolean> {
    const { granted, refused, recalled, expired } = this.#delegations.counts;
    return {
      'cache-invalidation': this.#on,
      'timeout-secs': this.#timeoutMs / 1000,
      told: this.#told,
      'delegations.files': this.#delegations.size,
      'delegations.granted': granted,
      'delegations.refused': refused,
      'delegations.recalled': recalled,
      'delegations.expired': expired,
    };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/upcall',
  description: 'Tells clients that a file they know was changed by another.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Upcall(init as XlatorInit),
};
