import {
  type Fop,
  type FopName,
  type OptionTable,
  option,
  parseOptions,
  type Services,
  type Subvolume,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import type { VolfileSource } from '@mortar/host';
import { xlator as locks } from '@mortar/xlators/features/locks/index.ts';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { FileHandle } from './file-handle.ts';
import { codeOf, inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

let volume: Volume | undefined;
afterEach(() => volume?.close());

const options = { label: option.text('', { description: 'makes another graph', live: false }) };

/** Bricks, which outlive graphs: each graph is a client of its own to them. */
class Bricks extends Xlator {
  readonly #below: Xlator;
  readonly #gates: Gates;
  readonly #clientId: string;

  constructor(init: XlatorInit<typeof options>, below: Xlator, gates: Gates) {
    super(init);
    this.#below = below;
    this.#gates = gates;
    // As protocol/client calls itself.
    this.#clientId = `host-11-1800000000-00000000000${init.options.label}-files-client-0`;
  }

  override async init(): Promise<void> {
    this.propagate({ type: 'child-up' });
  }

  protected override bindFop(name: never): never {
    const next = this.#below.ops[name as FopName] as Fop<FopName>;
    const run: Fop<FopName> = async (call, args) => {
      await this.#gates.pass(`before ${name}`);
      const reply = await next({ ...call, clientId: this.#clientId }, args);
      await this.#gates.pass(`behind ${name}`);
      return reply;
    };
    return run as never;
  }
}

type Place = `${'before' | 'behind'} ${FopName}`;

/** Where the next request waits. */
class Gates {
  readonly #shut = new Map<Place, Promise<void>>();
  readonly waiting = new Set<Place>();

  async pass(place: Place): Promise<void> {
    const shut = this.#shut.get(place);
    if (!shut) return;
    this.#shut.delete(place);
    this.waiting.add(place);
    await shut;
  }

  /** Opens it again when the function that comes back is called. */
  shut(place: Place): () => void {
    let open = () => {};
    this.#shut.set(
      place,
      new Promise<void>((resolve) => {
        open = resolve;
      }),
    );
    return open;
  }

  /** Somebody stands before it. */
  reached(place: Place): Promise<void> {
    return vi.waitFor(() => expect([...this.waiting]).toContain(place));
  }
}

function made<T extends OptionTable>(type: XlatorType<T>, services: Services, below: Subvolume[]): Xlator {
  const { values } = parseOptions(type.options, new Map());
  const xlator = type.create({ name: type.type, type: type.type, options: values, texts: new Map(), services });
  xlator.bind(below, type.fops);
  return xlator;
}

/** A volume that gets another graph, with write-behind over its bricks, when it is told to. */
async function switched() {
  const gates = new Gates();
  let below: Xlator | undefined;
  const type: XlatorType<typeof options> = {
    type: 'test/bricks',
    description: 'bricks that stay',
    options,
    subvolumes: { min: 0, max: 0 },
    keeps: 'nothing',
    create: (init) => {
      below ??= made(locks, init.services, [made(memory, init.services, []).ops]);
      return new Bricks(init, below, gates);
    },
  };
  const plain = 'volume bricks\n type test/bricks\n option label 1\nend-volume\n';
  const behind = `${plain.replace('label 1', 'label 2')}
    volume behind\n type performance/write-behind\n option answer-ahead on\n subvolumes bricks\nend-volume\n`;
  let text = plain;
  let changed = () => {};
  const volfile: VolfileSource = {
    fetch: async () => ({ text, name: 'test' }),
    watch: (back) => {
      changed = back;
      return () => undefined;
    },
  };
  volume = await inMemory({ volfile, loaders: { 'test/bricks': async () => type as never } });
  const change = () => {
    text = behind;
    changed();
  };
  return { volume, gates, change };
}

const isMoved = ({ raw }: FileHandle, from: unknown) => vi.waitFor(() => expect(raw.graph).not.toBe(from));

describe('a switch of graphs', () => {
  it('leaves a write what it was when its caller was answered', async () => {
    const { volume: v, gates, change } = await switched();
    const file = await v.open('/f', 'w');
    const opened = gates.shut('before open');
    change();
    await gates.reached('before open');
    // The file is about to move to the graph that answers ahead.
    const data = Buffer.from('what was written');
    const writing = file.write(data, 0, data.length, 0);
    const written = gates.shut('before writev');
    opened();
    await writing;
    data.fill('x');
    written();
    await file.close();
    expect(await v.readFile('/f', 'utf8')).toBe('what was written');
  });

  it('has no lock that was given back meanwhile', async () => {
    const { volume: v, gates, change } = await switched();
    const [file, other] = [await v.open('/f', 'w'), await v.open('/f', 'w')];
    await file.lock({ type: 'write' });
    const { graph } = file.raw;
    const answered = gates.shut('behind lk');
    const unlocking = file.unlock();
    await gates.reached('behind lk');
    change();
    await isMoved(file, graph);
    answered();
    await unlocking;
    expect(await codeOf(other.lock({ type: 'write' }))).toBe('ok');
  });

  it('leaves a lock to who has got it meanwhile', async () => {
    const { volume: v, gates, change } = await switched();
    const [file, other] = [await v.open('/f', 'w'), await v.open('/f', 'w')];
    const { graph } = file.raw;
    const answered = gates.shut('behind lk');
    const locking = codeOf(file.lock({ type: 'write' }));
    await gates.reached('behind lk');
    change();
    await isMoved(file, graph);
    answered();
    expect(await locking).toBe('ok');
    expect(await codeOf(other.lock({ type: 'write' }))).toBe('EAGAIN');
    await file.unlock();
    expect(await codeOf(other.lock({ type: 'write' }))).toBe('ok');
  });
});
