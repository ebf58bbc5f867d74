/** playground/template: the least that a translator is. Fops that it does not have go straight to its child. */
import { type OptionValues, Xlator, type XlatorInit, type XlatorType } from '@mortar/core';
import { options } from './options.ts';

class Template extends Xlator {
  #dummy: number;

  constructor(init: XlatorInit<typeof options>) {
    super(init as unknown as XlatorInit);
    this.#dummy = init.options.dummy;
  }

  override reconfigure(values: OptionValues<typeof options>): void {
    this.#dummy = values.dummy;
  }

  override dump(): Record<string, number> {
    return { dummy: this.#dummy };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'playground/template',
  description: 'Passes everything; to begin a translator from.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Template(init),
};
