import {
  type Args,
  type Call,
  type Fop,
  type FopName,
  type Fops,
  fops,
  type Gfid,
  type GraphEvent,
  type Inode,
  type OptionTable,
  type OptionValues,
  type Reply,
  runSteps,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { options } from './options.ts';
import { type Change, changesOf, looksAt } from './touches.ts';

type Values = OptionValues<typeof options>;
/** Until when each client wants to know about the file, on the monotonic clock. */
type Watchers = Map<string, number>;

/** Sessions remembered of one file; the oldest is told to forget the file when there are more. */
const maxWatchers = 4096;

/** Remembers who looked at a file lately, and tells them when another client changes it. */
export class Upcall extends Xlator {
  #on: boolean;
  #timeoutMs: number;
  #told = 0;

  constructor(init: XlatorInit) {
    super(init);
    const values = init.options as Values;
    this.#on = values['cache-invalidation'];
    this.#timeoutMs = values['cache-invalidation-timeout'] * 1000;
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#on = (values as Values)['cache-invalidation'];
    this.#timeoutMs = (values as Values)['cache-invalidation-timeout'] * 1000;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    const { class: touches } = fops[name];
    if (touches === 'lock' || touches === 'control') return bound as Fops[N];
    const watching: Fop<FopName> = (call, args) =>
      this.#on ? this.#watch(name, call, args, bound) : bound(call, args);
    return watching as Fops[N];
  }

  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    return this.#on ? runSteps(this.ops, call, args.steps) : this.child.compound(call, args);
  }

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
    return { 'cache-invalidation': this.#on, 'timeout-secs': this.#timeoutMs / 1000, told: this.#told };
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
