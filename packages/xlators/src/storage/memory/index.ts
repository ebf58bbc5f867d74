/** A brick in memory: for tests, benchmarks and scratch volumes. Gone with the process. */
import { type Fops, type OptionValues, Xlator, type XlatorInit, type XlatorType } from '@mortar/core';
import { Departures } from '../../lib/departures.ts';
import { dataFops } from './data.ts';
import { lockFops } from './locks.ts';
import { metadataFops } from './metadata.ts';
import { nameFops } from './names.ts';
import { options } from './options.ts';
import { Volume } from './volume.ts';

/** As other storage does: for who asks several bricks while files are moved between them. */
export function tellingOfMoves<F extends Pick<Fops, 'lookup' | 'readdir' | 'readdirp' | 'unlink'>>(
  fops: F,
  departures: Departures,
): Pick<Fops, 'lookup' | 'readdir' | 'readdirp' | 'unlink'> {
  return {
    lookup: async (call, args) => departures.tellIfMissing(await fops.lookup(call, args)),
    readdir: async (call, args) => departures.tell(await fops.readdir(call, args)),
    readdirp: async (call, args) => departures.tell(await fops.readdirp(call, args)),
    async unlink(call, args) {
      const reply = await fops.unlink(call, args);
      if (reply.ok) departures.note(args.xdata);
      return reply;
    },
  };
}

export class Memory extends Xlator {
  readonly volume: Volume;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    const { size }: OptionValues<typeof options> = init.options;
    this.volume = new Volume(this.slot, size, init.services.clock.wall());
    const all = {
      ...nameFops(this.volume),
      ...dataFops(this.volume),
      ...metadataFops(this.volume),
      ...lockFops(this.volume),
    };
    Object.assign(this, all, tellingOfMoves(all, new Departures(init.services.clock)));
  }

  override async init(): Promise<void> {
    this.propagate({ type: 'child-up' });
  }

  override dump(): Record<string, string | number | boolean> {
    return { files: this.volume.count, used_bytes: this.volume.used, capacity_bytes: this.volume.capacity };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'storage/memory',
  description: 'keeps files in the memory of the process',
  options,
  subvolumes: { min: 0, max: 0 },
  keeps: 'nothing',
  create: (init) => new Memory(init as XlatorInit<typeof options>),
};
