/** meta: a directory `.meta` in the root that shows the process, its graphs and their translators as files. */
import { type FopName, type Fops, Xlator, type XlatorInit, type XlatorType } from '@mortar/core';
import { type MetaFacts, metaPortName } from './facts.ts';
import { options } from './options.ts';
import { MetaOverlay } from './overlay.ts';
import { MetaVolume } from './volume.ts';

export { type MetaFacts, type MetaGraph, type MetaRoot, metaPortName } from './facts.ts';
export { MetaOverlay } from './overlay.ts';
export { MetaVolume, metaName } from './volume.ts';

export class Meta extends Xlator {
  readonly #overlay: MetaOverlay;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    const facts = init.services.port<MetaFacts>(metaPortName);
    this.#overlay = new MetaOverlay(new MetaVolume(facts, init.services));
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    return this.#overlay.fop(name, next, () => this.ops);
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'meta',
  description: 'Shows the process, its graphs and their translators as files below .meta.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Meta(init),
};
