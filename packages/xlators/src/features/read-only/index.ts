import {
  type Args,
  type Call,
  Errno,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type OptionTable,
  type OptionValues,
  type Reply,
  runSteps,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

const refusal = fail(Errno.EROFS);
/** O_WRONLY, O_RDWR and O_TRUNC. */
const writing = 0o1003;
/** Of the class that changes data, but it only makes safe what is there. */
const harmless: ReadonlySet<FopName> = new Set(['fsync', 'fsyncdir']);

/** Refuses changes, while switched on. Which fops those are is taken from the fop table: new ones are covered. */
export class ReadOnly extends Xlator {
  #on: boolean;

  constructor(init: XlatorInit) {
    super(init);
    this.#on = (init.options as Values)['read-only'];
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#on = (values as Values)['read-only'];
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    if (!changes(name)) return bound as Fops[N];
    const guarded: Fop<FopName> = async (call, args) => (this.#on && !call.internal ? refusal : bound(call, args));
    return guarded as Fops[N];
  }

  async open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    if (this.#on && !call.internal && (args.flags & writing) !== 0) return refusal;
    return this.child.open(call, args);
  }

  /** Its steps are looked at one by one. */
  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    return runSteps(this.ops, call, args.steps);
  }

  override dump(): Record<string, string | number | boolean> {
    return { 'read-only': this.#on };
  }
}

function changes(name: FopName): boolean {
  const { class: touches } = fops[name];
  return (touches === 'data' || touches === 'metadata' || touches === 'entry') && !harmless.has(name);
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/read-only',
  description: 'Makes a volume read-only for its users.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new ReadOnly(init as XlatorInit),
};
