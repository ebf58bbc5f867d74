/** debug/error-gen: lets a share of the operations fail instead of passing them down. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type OptionTable,
  type OptionValues,
  type Reply,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { fopList } from '../../lib/fop-names.ts';
import { likelyErrors } from './errors.ts';
import { options, shortWrite } from './options.ts';

/** Chance is drawn in millionths. */
const granularity = 1_000_000;
const firstInterval = 3;
const intervals = 42;

type Injection = 'none' | 'short-write' | Failure;

class ErrorGen extends Xlator {
  #share = 0;
  #error: OptionValues<typeof options>['error-no'] = '';
  #byInterval = false;
  #fops: ReadonlySet<FopName> | undefined;
  #interval = firstInterval;
  #sinceLast = 0;
  #injected = 0;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#configure(init.options);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#configure(values as OptionValues<typeof options>);
  }

  #configure(values: OptionValues<typeof options>): void {
    this.#fops = fopList('enable', values.enable);
    this.#share = Math.round((values.failure / 100) * granularity);
    this.#error = values['error-no'];
    this.#byInterval = values['random-failure'];
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    if (name === 'compound') return ((call, args) => this.#compound(call, args)) as Fop<'compound'> as Fops[N];
    const run = next as Fop<FopName>;
    const injecting: Fop<FopName> = async (call, args) => {
      const injection = this.#draw(name);
      if (injection === 'none') return run(call, args);
      return injection === 'short-write' ? run(call, halved(args as Args<'writev'>)) : injection;
    };
    return injecting as unknown as Fops[N];
  }

  /** Steps are drawn for one by one; those before the first that fails go down together. */
  async #compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    const steps = [...args.steps];
    let failure: Failure | undefined;
    for (let i = 0; i < steps.length && !failure; i++) {
      const step = steps[i]!;
      const injection = this.#draw(step.fop as FopName);
      if (injection === 'none') continue;
      if (injection === 'short-write') steps[i] = { ...step, args: halved(step.args as Args<'writev'>) };
      else {
        failure = injection;
        steps.length = i;
      }
    }
    if (!failure) return this.child.compound(call, { ...args, steps });
    if (steps.length === 0) return { ok: true, replies: [failure] };
    const reply = await this.child.compound(call, { ...args, steps });
    if (!reply.ok || reply.replies.some((one) => !one.ok)) return reply;
    return { ...reply, replies: [...reply.replies, failure] };
  }

  #draw(fop: FopName): Injection {
    if (this.#fops !== undefined && !this.#fops.has(fop)) return 'none';
    if (!(this.#byInterval ? this.#intervalOver() : this.#chance())) return 'none';
    if (this.#error === shortWrite) {
      if (fop !== 'writev') return 'none';
      this.#injected++;
      return 'short-write';
    }
    this.#injected++;
    if (this.#error !== '') return fail(Errno[this.#error]);
    const likely = likelyErrors(fop);
    return fail(likely[this.services.random.integer(likely.length)]!);
  }

  #chance(): boolean {
    return this.#share > 0 && this.services.random.integer(granularity) < this.#share;
  }

  #intervalOver(): boolean {
    if (++this.#sinceLast < this.#interval) return false;
    this.#sinceLast = 0;
    this.#interval = firstInterval + this.services.random.integer(intervals);
    return true;
  }

  override dump(): Record<string, string | number> {
    return { injected: this.#injected };
  }
}

function halved(args: Args<'writev'>): Args<'writev'> {
  return { ...args, data: args.data.subarray(0, Math.max(1, args.data.length >> 1)) };
}

export const xlator: XlatorType<typeof options> = {
  type: 'debug/error-gen',
  description: 'Lets a share of the operations fail.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new ErrorGen(init),
};
