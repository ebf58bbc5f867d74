import { type Fop, type FopName, option, Xlator, type XlatorInit, type XlatorType } from '@mortar/core';
import type { VolfileSource } from '@mortar/host';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

let volume: Volume | undefined;
afterEach(() => volume?.close());

const options = { label: option.text('', { description: 'makes another graph', live: false }) };

/** A storage that outlives graphs. */
class Files extends Xlator {
  readonly #below: Xlator;
  readonly #gates: Gates;

  constructor(init: XlatorInit<typeof options>, below: Xlator, gates: Gates) {
    super(init);
    this.#below = below;
    this.#gates = gates;
  }

  override async init(): Promise<void> {
    this.propagate({ type: 'child-up' });
  }

  protected override bindFop(name: never): never {
    const next = this.#below.ops[name as FopName] as Fop<FopName>;
    const run: Fop<FopName> = async (call, args) => {
      await this.#gates.pass(name);
      return next(call, args);
    };
    return run as never;
  }
}

/** Before which requests wait. */
class Gates {
  readonly #shut = new Map<FopName, Promise<void>>();
  readonly waiting = new Map<FopName, number>();

  async pass(name: FopName): Promise<void> {
    const shut = this.#shut.get(name);
    if (!shut) return;
    this.waiting.set(name, (this.waiting.get(name) ?? 0) + 1);
    await shut;
  }

  /** Opens it again when the function that comes back is called. */
  shut(name: FopName): () => void {
    let open = () => {};
    const until = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#shut.set(name, until);
    return () => {
      this.#shut.delete(name);
      open();
    };
  }
}

/** A volume that gets write-behind over its files when it is told to. */
async function plainVolume() {
  const gates = new Gates();
  let below: Xlator | undefined;
  const type: XlatorType<typeof options> = {
    type: 'test/files',
    description: 'a storage that stays',
    options,
    subvolumes: { min: 0, max: 0 },
    keeps: 'nothing',
    create: (init) => {
      if (!below) {
        below = memory.create({ ...init, options: { size: 2 ** 32 } } as never);
        below.bind([], memory.fops);
      }
      return new Files(init, below, gates);
    },
  };
  const plain = 'volume files\n type test/files\n option label a\nend-volume\n';
  const behind = `${plain.replace('label a', 'label b')}
    volume behind\n type performance/write-behind\n option answer-ahead on\n subvolumes files\nend-volume\n`;
  let text = plain;
  let changed = () => {};
  const volfile: VolfileSource = {
    fetch: async () => ({ text, name: 'test' }),
    watch: (back) => {
      changed = back;
      return () => undefined;
    },
  };
  volume = await inMemory({ volfile, loaders: { 'test/files': async () => type as never } });
  const writeBehind = () => {
    text = behind;
    changed();
  };
  return { volume, gates, writeBehind };
}

it('a switch of graphs leaves a write what it was when its caller was answered', async () => {
  const { volume: v, gates, writeBehind } = await plainVolume();
  const file = await v.open('/f', 'w');
  const opened = gates.shut('open');
  writeBehind();
  await vi.waitFor(() => expect(gates.waiting.get('open')).toBe(1));
  // The file is about to move to the graph that answers ahead.
  const data = Buffer.from('what was written');
  const writing = file.write(data, 0, data.length, 0);
  const written = gates.shut('writev');
  opened();
  await writing;
  data.fill('x');
  written();
  await file.close();
  expect(await v.readFile('/f', 'utf8')).toBe('what was written');
});
