import {
  type Args,
  type Call,
  type Fop,
  type FopName,
  type Fops,
  fops,
  type OptionTable,
  type OptionValues,
  type Reply,
  withXdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

const reading: ReadonlySet<FopName> = new Set(['readv', 'readdir', 'readdirp']);

/** Sees to it that a change carries one time of origin, so that all replicas write the same times. */
export class Utime extends Xlator {
  #touchAtime: boolean;

  constructor(init: XlatorInit) {
    super(init);
    this.#touchAtime = !(init.options as Values).noatime;
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#touchAtime = !(values as Values).noatime;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const below = next as Fop<FopName>;
    const stamped: Fop<FopName> = (call, args) => below(this.#stamp(call), args);
    const read: Fop<FopName> = (call, args) =>
      this.#touchAtime ? below(this.#stamp(call), withXdata(args, { touchAtime: true })) : below(call, args);
    if (reading.has(name)) return read as Fops[N];
    if (name === 'open') return ((call, args) => this.#open(next as Fop<'open'>, call, args)) as Fop<'open'> as Fops[N];
    return (name === 'compound' || changes(name) ? stamped : next) as Fops[N];
  }

  /** What comes with an open is not read: where reading counts, it is left to a read. */
  #open(below: Fop<'open'>, call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    const { contents: _unread, ...others } = args;
    return below(this.#stamp(call), this.#touchAtime ? others : args);
  }

  /** A call without an origin time, made by a translator above, gets the present. */
  #stamp(call: Call): Call {
    const { sec, nsec } = call.time;
    return sec === 0 && nsec === 0 ? { ...call, time: this.services.clock.wall() } : call;
  }
}

function changes(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches === 'data' || touches === 'metadata' || touches === 'entry' || name === 'open';
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/utime',
  description: 'Gives each change one time for all replicas.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Utime(init as XlatorInit),
};
