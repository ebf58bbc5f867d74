/** debug/delay-gen: delays a share of the operations before they go down. */
import {
  type Fop,
  type FopName,
  type Fops,
  type OptionTable,
  type OptionValues,
  type RawStep,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { fopList } from '../../lib/fop-names.ts';
import { options } from './options.ts';

/** Chance is drawn in millionths. */
const granularity = 1_000_000;

class DelayGen extends Xlator {
  #share = 0;
  #delayMs = 0;
  #fops: ReadonlySet<FopName> | undefined;
  #delayed = 0;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#configure(init.options);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#configure(values as OptionValues<typeof options>);
  }

  #configure(values: OptionValues<typeof options>): void {
    this.#fops = fopList('enable', values.enable);
    this.#share = Math.round((values['delay-percentage'] / 100) * granularity);
    this.#delayMs = values['delay-duration'] / 1000;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const run = next as Fop<FopName>;
    const delayed: Fop<FopName> = async (call, args) => {
      const delays =
        name === 'compound' ? this.#draw((args as { steps: RawStep[] }).steps) : this.#draw([{ fop: name }]);
      if (delays > 0) await this.#wait(delays);
      return run(call, args);
    };
    return delayed as unknown as Fops[N];
  }

  /** How many of these operations are to be delayed. */
  #draw(steps: readonly { fop: string }[]): number {
    let delays = 0;
    for (const { fop } of steps) {
      const concerned = this.#fops === undefined || this.#fops.has(fop as FopName);
      if (concerned && this.#share > 0 && this.services.random.integer(granularity) < this.#share) delays++;
    }
    return delays;
  }

  async #wait(delays: number): Promise<void> {
    this.#delayed += delays;
    await this.services.clock.sleep(delays * this.#delayMs);
  }

  override dump(): Record<string, string | number> {
    return { delayed: this.#delayed, 'delay-duration': this.#delayMs * 1000 };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'debug/delay-gen',
  description: 'Delays a share of the operations.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new DelayGen(init),
};
