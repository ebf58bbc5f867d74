import {
  type Args,
  type Call,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  type GraphEvent,
  locOf,
  type OptionTable,
  type OptionValues,
  type RawStep,
  type Reply,
  type Success,
  withXdata,
  type Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { DataCache } from '../../lib/data-cache/data-cache.ts';
import type { CacheSettings } from '../../lib/data-cache/settings.ts';
import { isChange, type Subjects, subjectsOf, subjectsOfSteps } from '../../lib/subjects.ts';
import { LocalOpens } from './local-opens.ts';
import { OpenAhead } from './open-ahead.ts';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

/** All that a small file holds is one page. */
const pageBytes = 2 ** 20;
/** Flags of an open that do not matter to who only reads: O_NONBLOCK, O_LARGEFILE, O_NOFOLLOW, O_CLOEXEC. */
const harmless = 0o4000 | 0o100000 | 0o400000 | 0o2000000;

/** Has small files come with their open, and serves reads of them from that. */
export class QuickRead extends DataCache {
  #delegates: boolean;
  #locals: LocalOpens | undefined;
  readonly #ahead: OpenAhead;
  #openedHere = 0;

  constructor(init: XlatorInit<typeof options>) {
    super(init, settingsOf(init.options), pageBytes);
    this.#delegates = init.options['read-delegations'];
    this.#ahead = new OpenAhead(init.options['max-file-size']);
  }

  protected override settings(values: OptionValues<OptionTable>): CacheSettings {
    this.#delegates = (values as Values)['read-delegations'];
    this.#ahead.maxFileBytes = (values as Values)['max-file-size'];
    return settingsOf(values as Values);
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const cached = super.bindFop(name, next) as Fop<FopName>;
    const run = name === 'open' ? this.#opening(cached) : this.#settled(name, cached);
    return (name === 'readdirp' ? this.#listing(run) : run) as Fops[N];
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type !== 'upcall' || event.what !== 'recalled') {
      super.notify(event, from);
      return;
    }
    // Also of a file that is not known yet: what comes with an open that is under way is of before.
    this.files.changed(event.gfid);
    event.waits?.push(...(this.#locals?.settleFile(event.gfid) ?? []));
  }

  // --- opening ---

  #opening(down: Fop<FopName>): Fop<FopName> {
    const open = down as unknown as Fop<'open'>;
    this.#locals = new LocalOpens((call, args) => this.child.open(call, args), this.services.clock);
    return (async (call: Call, args: Args<'open'>) => {
      if (!this.#delegates || call.internal || !isOnlyRead(args)) {
        return this.#changing('open', args, () => open(call, args));
      }
      const { fd } = args;
      const file = this.files.find(fd.gfid);
      if (file && args.contents === undefined && this.files.isHeld(file, call)) {
        this.files.believe(file);
        this.#locals!.add(call, args, file.delegation!.untilMs);
        this.#openedHere++;
        this.#openAhead(open, call, fd, true);
        return { ok: true, iatt: file.iatt! };
      }
      const reply = this.#delegated(open, call, args);
      this.#openAhead(open, call, fd, false);
      return reply;
    }) as Fop<'open'> as unknown as Fop<FopName>;
  }

  /** On the bricks, which are to ask before others change the file. */
  async #delegated(open: Fop<'open'>, call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    // Known from now on, so that what changes meanwhile is noted.
    const file = this.files.get(args.fd.gfid);
    const asked = this.files.ask();
    const reply = await open(call, withXdata(args, { delegate: true }));
    if (!reply.ok || reply.xdata?.delegatedMs === undefined) return reply;
    const { delegatedMs, ...xdata } = reply.xdata;
    if (delegatedMs > 0) this.files.delegated(file, asked, delegatedMs, call);
    return { ...reply, xdata };
  }

  /** Those that are likely to be opened next, if it shows. Nobody waits for it. */
  #openAhead(open: Fop<'open'>, call: Call, { gfid }: Fd, wasHeld: boolean): void {
    for (const next of this.#ahead.opened(gfid, wasHeld)) {
      const file = this.files.find(next);
      if (file && this.files.isHeld(file, call)) {
        this.#ahead.arrived();
        continue;
      }
      const fd = new Fd(next, 0);
      const { uid, gid, groups, pid, clientId, time } = call;
      const own: Call = { uid, gid, groups, pid, lockOwner: '', clientId, time };
      const done = () => {
        this.#ahead.arrived();
        fd.release();
      };
      this.#delegated(open, own, { loc: locOf(next), flags: 0, fd }).then(done, done);
    }
  }

  #listing(down: Fop<FopName>): Fop<FopName> {
    return async (call, args) => {
      const reply = await down(call, args);
      if (this.#delegates && reply.ok)
        this.#ahead.listed((args as Args<'readdirp'>).fd.gfid, (reply as Success<'readdirp'>).entries);
      return reply;
    };
  }

  // --- everything else ---

  /** What needs a file to be open on the bricks, or takes names away, has it opened there before. */
  #settled(name: FopName, down: Fop<FopName>): Fop<FopName> {
    if (name === 'flush') return down;
    const takesNames = name === 'unlink' || name === 'rename';
    return (call, args) => this.#changing(name, args, () => this.#opened(name, takesNames, call, args, down));
  }

  #opened(
    name: FopName,
    takesNames: boolean,
    call: Call,
    args: Args<FopName>,
    down: Fop<FopName>,
  ): Promise<Reply<FopName>> {
    const locals = this.#locals!;
    if (locals.size === 0) return down(call, args);
    if (name === 'readv' && this.isKept((args as unknown as Args<'readv'>).fd.gfid)) return down(call, args);
    const waits = takesNames ? locals.settleAll() : fdsOf(args).flatMap((fd) => locals.settle(fd) ?? []);
    return waits.length === 0 ? down(call, args) : Promise.all(waits).then(() => down(call, args));
  }

  /** Nobody is asked for what this client changes itself: what was promised before its end does not count. */
  #changing<R>(name: FopName, args: Args<FopName>, run: () => Promise<R>): Promise<R> {
    const isPassed = !this.#delegates || name === 'create' || name === 'put';
    if (isPassed || (name !== 'compound' && !isChange(name, args))) return run();
    const subjects =
      name === 'compound' ? subjectsOfSteps((args as unknown as Args<'compound'>).steps) : subjectsOf(name, args);
    // Nor is the file opened here alone while it may lose its name.
    this.#touched(subjects);
    return run().finally(() => this.#touched(subjects));
  }

  #touched({ gfids, names }: Subjects): void {
    for (const gfid of gfids) {
      const file = this.files.find(gfid);
      if (file) this.files.touched(file);
    }
    if (names.length > 0) this.files.giveUpDelegations();
  }

  override dump(): Record<string, string | number> {
    const { opened, used } = this.#ahead.counts;
    return { ...super.dump(), opened_here: this.#openedHere, opened_ahead: opened, opened_ahead_used: used };
  }
}

/** For reading alone, through the caches. */
function isOnlyRead({ flags }: Args<'open'>): boolean {
  return (flags & ~harmless) === 0;
}

/** Open files in arguments, also of the steps of a compound. */
function fdsOf(args: object): Fd[] {
  const { fd, from, to, steps } = args as { fd?: Fd; from?: unknown; to?: unknown; steps?: readonly RawStep[] };
  const fds = [fd, from, to].filter((one) => one instanceof Fd);
  return steps ? [...fds, ...steps.flatMap((step) => fdsOf(step.args))] : fds;
}

function settingsOf(values: Values): CacheSettings {
  return {
    cacheBytes: values['cache-size'],
    timeoutMs: values['cache-timeout'] * 1000,
    minFileBytes: 0,
    maxFileBytes: values['max-file-size'],
    priority: values.priority,
    passThrough: values['pass-through'],
    reads: false,
    withOpenBytes: Math.min(values['max-file-size'], values['cache-size']),
  };
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/quick-read',
  description: 'Has small files come with their open.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new QuickRead(init),
};
