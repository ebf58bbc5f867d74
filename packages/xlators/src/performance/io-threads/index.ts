import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type GraphEvent,
  type OptionTable,
  type OptionValues,
  type Reply,
  runSteps,
  type Timer,
  withXdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { BlockingMeter, tellsOfCold } from '../../lib/blocking.ts';
import { options } from './options.ts';
import { Order } from './order.ts';
import { Placement } from './placement.ts';
import { type PlaceLimits, Places } from './places.ts';
import { changesThings, isPlaced, priorityOf, type Subjects, subjectsOf } from './subjects.ts';

type Values = OptionValues<typeof options>;

const gone: Failure = fail(Errno.ENOTCONN);

/** Decides for each call whether the disk is quick enough to be waited for on the event loop. */
export class IoThreads extends Xlator {
  #options: Values;
  readonly #placement = new Placement();
  readonly #order = new Order();
  readonly #places: Places;
  readonly #meter: BlockingMeter;
  #offloaded = 0;

  constructor(init: XlatorInit) {
    super(init);
    this.#options = init.options as Values;
    this.#meter = new BlockingMeter(init.services.clock);
    this.#places = new Places(limitsOf(this.#options));
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#options = values as Values;
    this.#places.limits = limitsOf(this.#options);
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    if (!isPlaced(name)) return super.bindFop(name, next);
    const below = next as Fop<FopName>;
    const placed: Fop<FopName> = (call, args) =>
      this.#options['pass-through'] ? below(call, args) : this.#place(name, call, args, below);
    return placed as Fops[N];
  }

  /** Its steps are placed one by one. */
  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    return runSteps(this.ops, call, args.steps);
  }

  #place(name: FopName, call: Call, args: Args<FopName>, below: Fop<FopName>): Promise<Reply<FopName>> {
    const { clock } = this.services;
    const subjects = subjectsOf(args);
    const start = clock.nowMs();
    const where = this.#placement.decide(subjects.groups, start);
    if (where === 'offload') return this.#offload(name, call, args, below, subjects);
    const inline = (): Promise<Reply<FopName>> => {
      if (where === 'inline' && !tellsOfCold(name)) return below(call, args);
      const before = clock.nowMs();
      const waits = this.#meter.waits(before);
      try {
        return below(call, args);
      } finally {
        // What storage did before it first waited for anything: for so long nobody else was served.
        const after = clock.nowMs();
        this.#placement.blocked(subjects.groups, this.#meter.blockedMs(before, waits, after), after);
      }
    };
    return this.#order.busy(subjects.ordered)
      ? this.#order.run(subjects.ordered, changesThings(name), inline)
      : inline();
  }

  #offload(
    name: FopName,
    call: Call,
    args: Args<FopName>,
    below: Fop<FopName>,
    { groups, ordered }: Subjects,
  ): Promise<Reply<FopName>> {
    const priority = priorityOf(name, call, this.#options['enable-least-priority']);
    const elsewhere = withXdata(args, { offload: true });
    const run = async (): Promise<Reply<FopName>> => {
      this.#offloaded++;
      const before = this.services.clock.nowMs();
      const watch = this.#watchdog(name, call);
      const reply = await below(call, elsewhere);
      watch?.cancel();
      const after = this.services.clock.nowMs();
      this.#placement.offloaded(groups, after - before, after);
      return reply;
    };
    return this.#order.run(ordered, changesThings(name), () => this.#places.run(priority, call.clientId, run, gone));
  }

  #watchdog(name: FopName, call: Call): Timer | undefined {
    const seconds = this.#options['watchdog-secs'];
    if (seconds === 0) return undefined;
    return this.services.clock.after(seconds * 1000, () =>
      this.services.log.write(
        'WARNING',
        this.name,
        `${name} of ${call.clientId} has waited for the disk for ${seconds} s`,
      ),
    );
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    // Storage blocked where it could not be measured from here: behind a translator that had to wait for something.
    if (event.type === 'storage-slow') {
      this.#placement.blocked([event.gfid], event.ms, this.services.clock.nowMs());
      return;
    }
    if (event.type === 'session-ended' && this.#options['cleanup-disconnected-reqs'])
      this.#places.dropClient(event.clientId);
    super.notify(event, from);
  }

  override dump(): Record<string, string | number | boolean> {
    return {
      groups: this.#placement.groups,
      'slow-groups': this.#placement.slowGroups(),
      offloaded: this.#offloaded,
      running: this.#places.taken,
      queued: this.#places.queued,
    };
  }
}

function limitsOf(values: Values): PlaceLimits {
  return {
    total: values['thread-count'],
    high: values['high-prio-threads'],
    normal: values['normal-prio-threads'],
    low: values['low-prio-threads'],
    least: values['least-prio-threads'],
  };
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/io-threads',
  description: 'Keeps calls that the disk is slow for off the event loop.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new IoThreads(init as XlatorInit),
};
