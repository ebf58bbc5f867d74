import {
  type GraphEvent,
  type OptionTable,
  type OptionValues,
  option,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../ports/clock.ts';
import { LineLog } from '../ports/log.ts';
import { LazyRegistry } from '../registry/registry.ts';
import type { XlatorLoader } from '../registry/types.ts';
import { HostServices } from '../services.ts';
import type { VolfileSource } from '../volfile/source.ts';
import { GraphKeeper, type KeeperOptions } from './keeper.ts';

const options = {
  live: option.int('0', { description: 'taken live' }),
  fixed: option.text('', { description: 'needs a new graph', live: false }),
};

let told: string[];
let leaves: Leaf[];

/** Says that it is up when it is told to, or at once. */
class Leaf extends Xlator {
  values: OptionValues<typeof options>;

  constructor(init: XlatorInit<typeof options>) {
    super(init as unknown as XlatorInit);
    this.values = init.options;
    leaves.push(this);
    told.push(`make ${init.options.fixed}`);
  }

  override async init(): Promise<void> {
    if (this.values.fixed === 'broken') throw new Error('the disk is gone');
    told.push(`init ${this.values.fixed}`);
  }

  override notify(event: GraphEvent): void {
    if (event.type === 'child-wanted') told.push(`wanted ${this.values.fixed} ${event.attempts !== undefined}`);
    if (event.type === 'parent-up' && this.values.fixed !== 'slow') this.propagate({ type: 'child-up' });
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.values = values as OptionValues<typeof options>;
    told.push(`reconfigure ${this.values.live}`);
  }

  override async fini(): Promise<void> {
    told.push(`fini ${this.values.fixed}`);
  }
}

const leaf: XlatorType<typeof options> = {
  type: 'test/leaf',
  description: '',
  options,
  subvolumes: { min: 0, max: 0 },
  create: (init) => new Leaf(init),
};
const loaders: Record<string, XlatorLoader> = { 'test/leaf': async () => leaf };

const volfile = (...lines: string[]) =>
  ['volume v', 'type test/leaf', 'option live 0', ...lines.map((line) => `option ${line}`), 'end-volume'].join('\n');

let text: string;
let lines: string[];
let changed: () => void;
let brickStarted: (() => void) | undefined;

function keeper(more: Partial<KeeperOptions> = {}): GraphKeeper {
  const log = new LineLog(
    { write: (line) => lines.push(line), reopen: () => undefined, close: () => undefined },
    new SystemClock(),
  );
  const source: VolfileSource = {
    fetch: async () => ({ text, name: 'test.vol' }),
    watch: (callback) => {
      changed = callback;
      return () => undefined;
    },
    onBrickStarted: (callback) => {
      brickStarted = callback;
      return () => {
        brickStarted = undefined;
      };
    },
  };
  return new GraphKeeper({ services: new HostServices(log), registry: new LazyRegistry(loaders), source, ...more });
}

beforeEach(() => {
  told = [];
  leaves = [];
  lines = [];
  text = volfile('fixed a');
});

describe('GraphKeeper', () => {
  it('builds, starts and ends the graph of the volfile', async () => {
    const one = keeper();
    const { top, graph } = await one.start();
    expect([top.state, graph.top.name, graph.id]).toEqual(['up', 'v', 0]);
    await one.stop();
    expect(told).toEqual(['make a', 'init a', 'fini a']);
  });

  it('has clients of bricks try at once when a brick was started, also in a graph that is about to come', async () => {
    const one = keeper();
    await one.start();
    brickStarted!();
    expect(told.splice(0)).toEqual(['make a', 'init a', 'wanted a true']);
    text = volfile('fixed slow');
    changed();
    await vi.waitFor(() => expect(told).toEqual(['make slow', 'init slow']));
    brickStarted!();
    expect(told.splice(2)).toEqual(['wanted a true', 'wanted slow true']);
    await one.stop();
    expect(brickStarted).toBeUndefined();
  });

  describe('of a volume that distributes files', () => {
    const brick = (name: string) =>
      `volume ${name}\ntype protocol/client\noption remote-subvolume /${name}\nend-volume\n`;
    const distributed = (more = '') =>
      `${brick('a')}${brick('b')}volume d\ntype cluster/distribute\n${more}subvolumes a b\nend-volume\n`;
    const clientOptions = {
      'remote-subvolume': option.text('', { description: '' }),
      placement: option.text('', { description: '', live: false }),
      'placement-version': option.int('0', { description: '' }),
    };
    const client = { ...leaf, options: clientOptions } as unknown as XlatorType<typeof options>;
    const distribute = {
      ...leaf,
      options: { 'decommissioned-bricks': option.text('', { description: '' }), live: options.live },
      subvolumes: { min: 1, max: 9 },
    } as unknown as XlatorType<typeof options>;
    const registry = new LazyRegistry({
      'protocol/client': async () => client,
      'cluster/distribute': async () => distribute,
    });
    let version: number;
    const start = async () => {
      version = 4;
      text = distributed();
      const source: VolfileSource = {
        fetch: async () => ({ text, name: 'test.vol', volumeVersion: version }),
        watch: () => () => undefined,
      };
      const one = keeper({ source, registry, upTimeoutMs: 10 });
      await one.start();
      return one;
    };
    const toldBy = (one: GraphKeeper) => {
      const { texts } = one.current.graph.xlators.get('a')!;
      return { placement: texts.get('placement')!, version: texts.get('placement-version') };
    };

    it('has clients tell bricks where files are, by another graph when a brick is to leave', async () => {
      const one = await start();
      const before = toldBy(one);
      expect(before).toMatchObject({ placement: expect.stringMatching(/^[0-9a-f]{32}$/), version: '4' });
      text = distributed('option decommissioned-bricks b\n');
      version = 5;
      await one.refresh();
      expect(one.current.graph.id).toBe(1);
      expect(toldBy(one).version).toBe('5');
      expect(toldBy(one).placement).not.toBe(before.placement);
      await one.stop();
    });

    it('takes another version of the volume live, also with the same volfile', async () => {
      const one = await start();
      version = 6;
      await one.refresh();
      expect([one.current.graph.id, toldBy(one).version]).toEqual([0, '6']);
      text = distributed('option live 3\n');
      version = 7;
      await one.refresh();
      expect([one.current.graph.id, toldBy(one).version]).toEqual([0, '7']);
      await one.stop();
    });
  });

  it('lets clients of bricks tell which volume they mean', async () => {
    const seen: unknown[] = [];
    text = `${volfile('fixed c').replace('volume v', 'volume c').replace('test/leaf', 'protocol/client')}\n${text}`;
    const one = keeper({
      source: { fetch: async () => ({ text, name: 'test.vol', volumeId: 'id-1' }), watch: () => () => undefined },
      prepare: async (volfile) => {
        seen.push(...volfile.volumes.map((node) => node.options.get('volume-id')));
        return { ...volfile, volumes: volfile.volumes.slice(1) };
      },
    });
    await one.start();
    expect(seen).toEqual(['id-1', undefined]);
    await one.stop();
  });

  it('does nothing when the volfile is the same', async () => {
    const one = keeper();
    await one.start();
    await one.refresh();
    expect(told).toEqual(['make a', 'init a']);
    expect(lines.at(-1)).toContain('No change in volfile');
  });

  it('takes live options in the running graph', async () => {
    const one = keeper();
    const before = await one.start();
    text = volfile('fixed a', 'live 5');
    await one.refresh();
    expect(told).toEqual(['make a', 'init a', 'reconfigure 5']);
    expect(one.current.top).toBe(before.top);
  });

  it('keeps options of the command line when it reconfigures', async () => {
    const one = keeper({ overrides: [{ volume: '*', option: 'live', value: '9' }] });
    await one.start();
    text = volfile('fixed a', 'live 5');
    await one.refresh();
    expect(leaves[0]!.values.live).toBe(9);
  });

  it('hands over to a second graph for any other change, and then ends the first', async () => {
    const one = keeper({
      handOver: async (next, previous) => void told.push(`hand over ${previous.graph.id} to ${next.graph.id}`),
    });
    await one.start();
    text = volfile('fixed b');
    await one.refresh();
    expect(told).toEqual(['make a', 'init a', 'make b', 'init b', 'hand over 0 to 1', 'fini a']);
    expect([one.current.graph.id, one.generations]).toEqual([1, 2]);
  });

  describe('of a process whose graph cannot stand twice', () => {
    const over = (...names: string[]) =>
      [volfile('fixed a'), ...names, 'volume top\ntype test/over\nsubvolumes v\nend-volume'].join('\n');
    const types = (): LazyRegistry => {
      const above = { ...leaf, type: 'test/over', options: {}, subvolumes: { min: 1, max: 1 } };
      const create = (init: XlatorInit) => new Over(init);
      return new LazyRegistry({ ...loaders, 'test/over': async () => ({ ...above, create }) as XlatorType });
    };
    class Over extends Xlator {
      override async fini(): Promise<void> {
        told.push(`fini ${this.name}`);
      }
    }
    const between = over()
      .replace('volume top', 'volume mid\ntype test/over\nsubvolumes v\nend-volume\nvolume top')
      .replace(/subvolumes v(?=\nend-volume$)/, 'subvolumes mid');

    it('has translators come and go in the one that it has; those that went end when their requests had the time', async () => {
      text = over();
      const one = keeper({ isOnlyOne: true, registry: types(), drainTimeoutMs: 20 });
      const before = await one.start();
      text = between;
      await one.refresh();
      expect([one.current.top, one.current.graph.id, one.generations]).toEqual([before.top, 0, 1]);
      expect([...one.current.graph.xlators.keys()]).toEqual(['v', 'mid', 'top']);
      text = over();
      await one.refresh();
      expect(told).not.toContain('fini mid');
      await vi.waitFor(() => expect(told).toContain('fini mid'));
      text = between;
      await one.refresh();
      text = over();
      await one.refresh();
      await one.stop();
      expect(told.slice(-3)).toEqual(['fini mid', 'fini top', 'fini a']);
    });

    it('says once what waits for a new process', async () => {
      text = over();
      const one = keeper({ isOnlyOne: true, registry: types() });
      await one.start();
      for (const value of ['1', '2']) {
        text = over().replace('option fixed a', 'option fixed b').replace('option live 0', `option live ${value}`);
        await one.refresh();
      }
      expect(leaves[0]!.values).toEqual({ fixed: 'a', live: 2 });
      expect(lines.filter((line) => line.includes('is taken when this process starts anew: v: fixed'))).toHaveLength(1);
      await one.stop();
    });
  });

  it('takes a change that the source reports', async () => {
    const one = keeper();
    await one.start();
    text = volfile('fixed b');
    changed();
    await one.refresh();
    expect(one.current.graph.id).toBe(1);
  });

  it('asks again for a volfile that it could not have, and says so once', async () => {
    let fetches = 0;
    const source: VolfileSource = {
      fetch: async () => {
        if (++fetches > 1 && fetches < 4) throw new Error('glusterd does not answer');
        return { text, name: 'test.vol' };
      },
      watch: () => () => undefined,
    };
    const one = keeper({ source, retryMs: 1 });
    await one.start();
    text = volfile('fixed b');
    await one.refresh();
    await vi.waitFor(() => expect(one.current.graph.id).toBe(1));
    await one.stop();
    expect(lines.filter((line) => line.includes('is not taken: glusterd does not answer'))).toHaveLength(1);
  });

  it('asks for no volfile any more when it is ended', async () => {
    let fetches = 0;
    let fail: (error: Error) => void = () => undefined;
    const fetch = () =>
      ++fetches === 1
        ? Promise.resolve({ text, name: 'test.vol' })
        : new Promise<never>((_resolve, reject) => {
            fail = reject;
          });
    const one = keeper({ source: { fetch, watch: () => () => undefined }, retryMs: 0 });
    await one.start();
    void one.refresh();
    await vi.waitFor(() => expect(fetches).toBe(2));
    const stopped = one.stop();
    fail(new Error('glusterd does not answer'));
    await stopped;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(fetches).toBe(2);
  });

  it('waits until the second graph is up, within bounds', async () => {
    const one = keeper({ upTimeoutMs: 20, handOver: async () => void told.push('hand over') });
    await one.start();
    text = volfile('fixed slow');
    await one.refresh();
    expect(told.slice(-2)).toEqual(['hand over', 'fini a']);
    expect(lines.join('')).toContain('although it is not up yet');

    const two = keeper({ upTimeoutMs: 60_000 });
    text = volfile('fixed a');
    await two.start();
    text = volfile('fixed slow');
    const refreshed = two.refresh();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(two.current.graph.id).toBe(0);
    leaves.at(-1)!.propagate({ type: 'child-up' });
    await refreshed;
    expect(two.current.graph.id).toBe(1);
  });

  it('ends a graph that does not drain, so that the next change is taken', async () => {
    const one = keeper({ drainTimeoutMs: 20, handOver: () => new Promise(() => undefined) });
    await one.start();
    text = volfile('fixed b');
    await one.refresh();
    expect(lines.join('')).toContain('graph 0 is ended with requests under way in it');
    text = volfile('fixed c');
    await one.refresh();
    expect(told.slice(-3)).toEqual(['make c', 'init c', 'fini b']);
  });

  it('ends at once while a graph drains', async () => {
    const one = keeper({ drainTimeoutMs: 600_000, handOver: () => new Promise(() => undefined) });
    await one.start();
    text = volfile('fixed b');
    void one.refresh();
    await vi.waitFor(() => expect(one.current.graph.id).toBe(1));
    await one.stop();
    expect(told.slice(-2)).toEqual(['fini a', 'fini b']);
  });

  it('goes on with the second graph when handing over fails', async () => {
    const one = keeper({ handOver: () => Promise.reject(new Error('a bug')) });
    await one.start();
    text = volfile('fixed b');
    await one.refresh();
    expect(lines.join('')).toContain('a bug');
    expect(one.current.graph.id).toBe(1);
    expect(told.at(-1)).toBe('fini a');
  });

  it('ends at once while a second graph is coming up', async () => {
    const one = keeper({ upTimeoutMs: 600_000 });
    await one.start();
    text = volfile('fixed slow');
    void one.refresh();
    await vi.waitFor(() => expect(told).toContain('init slow'));
    await one.stop();
    expect(told.slice(-2)).toEqual(['fini slow', 'fini a']);
  });

  it.each([
    ['does not parse', 'volume v\ntype test/leaf\noption\nend-volume', 'test.vol:4:1'],
    ['names an unknown translator', 'volume v\ntype test/laef\noption a b\nend-volume', "did you mean 'test/leaf'?"],
    ['has a bad option', volfile('live x'), 'invalid number format "x" in option "live"'],
    ['cannot be started', volfile('fixed broken'), 'the disk is gone'],
  ])('goes on with the old graph when a new volfile %s', async (_, bad, message) => {
    const one = keeper();
    const before = await one.start();
    text = bad;
    await one.refresh();
    expect(one.current).toBe(before);
    expect(lines.at(-1)).toContain(message);
    text = volfile('fixed b');
    await one.refresh();
    expect(one.current.graph.id).toBe(1);
  });

  it('fails to start with the cause, and leaves no slot in the inode table', async () => {
    text = volfile('fixed broken');
    await expect(keeper().start()).rejects.toThrow('the disk is gone');
  });

  it('tells events of the graph in service only', async () => {
    const events: string[] = [];
    const one = keeper({ onEvent: ({ type }) => events.push(type) });
    await one.start();
    text = volfile('fixed b');
    await one.refresh();
    events.length = 0;
    leaves[0]!.propagate({ type: 'child-down' });
    leaves[1]!.propagate({ type: 'child-down' });
    expect(events).toEqual(['child-down']);
  });
});
