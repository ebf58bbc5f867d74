/** For tests: a volume over a storage that outlives its graphs, whose requests are counted, held up, delayed and failed; volumes end with their test. */
import {
  type Errno,
  type Fop,
  fail,
  type OptionValues,
  option,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import type { VolfileSource } from '@mortar/host';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterEach } from 'vitest';
import type { ConnectOptions } from './connect.ts';
import { inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

const opened: Volume[] = [];
afterEach(async () => {
  for (const volume of opened.splice(0)) await volume.close();
});

export async function volumeWith(options: ConnectOptions = {}): Promise<Volume> {
  const volume = await inMemory(options);
  opened.push(volume);
  return volume;
}

const options = { label: option.text('', { description: 'makes another graph', live: false }) };
type Values = OptionValues<typeof options>;

/** What all tops of a test share: a storage that outlives graphs, and how requests are held up. */
export class Held {
  readonly storage: Xlator;
  readonly seen: string[] = [];
  tops: Top[] = [];
  under = 0;
  most = 0;
  held: Promise<void> | null = null;
  release: () => void = () => undefined;
  /** Fails the next call of this name. */
  failing: { fop: string; errno: Errno } | null = null;
  throwing = '';

  constructor(init: XlatorInit) {
    this.storage = memory.create({ ...init, options: { size: 2 ** 32 } } as never);
    this.storage.bind([], memory.fops);
  }

  /** Of the next call of this name: it is done, or answered, when the function that comes back is called. */
  late: { fop: string; until: Promise<void>; when: 'before' | 'after'; errno?: Errno } | null = null;

  answerLate(fop: string, when: 'before' | 'after' = 'after', errno?: Errno): () => void {
    let go = () => {};
    const until = new Promise<void>((resolve) => {
      go = resolve;
    });
    this.late = { fop, until, when, ...(errno && { errno }) };
    return go;
  }

  hold(): void {
    this.held = new Promise((resolve) => {
      this.release = () => {
        this.held = null;
        resolve();
      };
    });
  }
}

class Top extends Xlator {
  readonly state: Held;
  readonly label: string;

  constructor(init: XlatorInit<typeof options>, state: Held) {
    super(init);
    this.state = state;
    this.label = init.options.label;
    state.tops.push(this);
  }

  override async init(): Promise<void> {
    this.propagate({ type: 'child-up' });
  }

  override async fini(): Promise<void> {
    this.state.seen.push(`fini ${this.label}`);
  }

  protected override bindFop(name: never): never {
    const { state } = this;
    const next = state.storage.ops[name as 'stat'] as Fop<'stat'>;
    const run: Fop<'stat'> = async (call, args) => {
      state.seen.push(`${this.label} ${name}`);
      if (state.throwing === name) throw new Error('a bug');
      if (state.failing?.fop === name) {
        const { errno } = state.failing;
        state.failing = null;
        return fail(errno);
      }
      state.most = Math.max(state.most, ++state.under);
      try {
        if (state.held) await state.held;
        if (state.late?.fop !== (name as string)) return await next(call, args);
        const { until, when, errno } = state.late;
        state.late = null;
        if (when === 'before') await until;
        if (errno) return fail(errno);
        const reply = await next(call, args);
        await until;
        return reply;
      } finally {
        state.under--;
      }
    };
    return run as never;
  }
}

/** A volume over such a top, whose volfile can be changed. */
export async function controlled(more: ConnectOptions = {}) {
  let state: Held | undefined;
  const type: XlatorType<typeof options> = {
    type: 'test/top',
    description: 'a storage that stays',
    options,
    subvolumes: { min: 0, max: 0 },
    create: (init: XlatorInit<typeof options> & { options: Values }) => {
      state ??= new Held(init as XlatorInit);
      return new Top(init, state);
    },
  };
  let label = 'a';
  let changed = () => {};
  const source: VolfileSource = {
    fetch: async () => ({
      text: `volume top\n type test/top\n option label ${label}\nend-volume`,
      name: 'test',
    }),
    watch: (back) => {
      changed = back;
      return () => undefined;
    },
  };
  const volume = await volumeWith({ volfile: source, loaders: { 'test/top': async () => type as never }, ...more });
  const switchTo = (next: string) => {
    label = next;
    changed();
  };
  return { volume, state: state!, switchTo };
}
