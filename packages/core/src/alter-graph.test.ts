import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { alterGraph } from './alter-graph.ts';
import type { Call } from './call.ts';
import { Errno } from './errno.ts';
import { locOf } from './fd.ts';
import { type FopName, type Fops, fail } from './fops.ts';
import { rootGfid } from './gfid.ts';
import { buildGraph, type Graph, GraphError, startGraph } from './graph.ts';
import { InodeTable } from './inode-table.ts';
import { type OptionTable, type OptionValues, option } from './options.ts';
import type { Volfile, VolumeNode } from './volfile/types.ts';
import { type Services, Xlator, type XlatorInit, type XlatorType } from './xlator.ts';

const call: Call = { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: 'c', time: { sec: 0, nsec: 0 } };
const table = {
  live: option.int('0', { description: 'd' }),
  fixed: option.text('', { description: 'd', live: false }),
};

let life: string[];
let path: string[];
let hold: Promise<void> | undefined;
let inodes: InodeTable;
let services: Services;
beforeEach(() => {
  life = [];
  path = [];
  hold = undefined;
  inodes = new InodeTable();
  services = {
    clock: {
      nowMs: () => 0,
      wall: () => ({ sec: 0, nsec: 0 }),
      after: () => ({ cancel: () => {} }),
      sleep: async () => {},
    },
    random: { bytes: (n) => new Uint8Array(n), integer: () => 0 },
    log: { level: 'INFO', setLevel: () => {}, write: () => {} },
    metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
    inodes,
    port: () => {
      throw new Error('no ports');
    },
  };
});

/** Leaves its name in the path of each stat. */
class Step extends Xlator {
  values: OptionValues<typeof table>;

  constructor(init: XlatorInit<typeof table>) {
    super(init as unknown as XlatorInit);
    this.values = init.options;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    if (name !== 'stat' || this.type === 'test/idle') return super.bindFop(name, next);
    const below = next as Fops['stat'];
    const own: Fops['stat'] = async (one, args) => {
      path.push(this.name);
      await hold;
      return this.children.length === 0 ? fail(Errno.ENOENT) : below(one, args);
    };
    return own as unknown as Fops[N];
  }

  override async init(): Promise<void> {
    if (this.values.fixed === 'broken') throw new Error('no memory');
    life.push(`init ${this.name}`);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.values = values as OptionValues<typeof table>;
  }

  override async fini(): Promise<void> {
    life.push(`fini ${this.name}`);
  }
}

const type = (name: string, subvolumes: number): [string, XlatorType] => {
  const create = (init: XlatorInit) => new Step(init as XlatorInit<typeof table>);
  return [
    name,
    { type: name, description: 'd', options: table, subvolumes: { min: subvolumes, max: subvolumes }, create },
  ];
};
const registry = new Map([type('test/disk', 0), type('test/step', 1), type('test/idle', 1), type('test/other', 1)]);

const node = (name: string, kind: string, below: string[], options: Record<string, string> = {}): VolumeNode => ({
  name,
  type: `test/${kind}`,
  subvolumes: below,
  options: new Map(Object.entries(options)),
  at: { file: 'x.vol', line: 1, column: 8 },
});
/** Bottom to top: `name`, `name:kind`; the first is the disk. */
const chain = (names: readonly string[], options: Record<string, Record<string, string>> = {}): Volfile => ({
  volumes: names.map((one, i) => {
    const [name, kind = 'step'] = one.split(':') as [string, string?];
    const [below] = i === 0 ? [] : names[i - 1]!.split(':');
    return node(name, i === 0 ? 'disk' : kind, below === undefined ? [] : [below], options[name]);
  }),
});
const started = async (file: Volfile): Promise<Graph> => {
  const graph = buildGraph(file, registry, services);
  await startGraph(graph);
  life = [];
  return graph;
};
const alter = (graph: Graph, to: Volfile) => alterGraph(graph, to, registry, services);
const ask = async (graph: Graph) => {
  path = [];
  await graph.top.ops.stat(call, { loc: locOf(rootGfid) });
  return path.join(' ');
};
const stateOf = (graph: Graph, name: string) => graph.xlators.get(name)! as Step;

describe('a graph that is altered', () => {
  it('has what comes and has no more what goes, and keeps the rest', async () => {
    const before = await started(chain(['disk', 'locks', 'acl', 'stats', 'server']));
    const { graph, added, removed, waiting } = await alter(
      before,
      chain(['disk', 'trace', 'locks', 'stats', 'server']),
    );
    expect([added.map(({ name }) => name), removed.map(({ name }) => name), waiting]).toEqual([['trace'], ['acl'], []]);
    expect(life).toEqual(['init trace']);
    expect(await ask(graph)).toBe('server stats locks trace disk');
    for (const name of ['disk', 'locks', 'stats', 'server']) expect(stateOf(graph, name)).toBe(stateOf(before, name));
    expect([...graph.xlators.keys()]).toEqual(['disk', 'trace', 'locks', 'stats', 'server']);
  });

  it('lets a request go on by the chain that it entered', async () => {
    const before = await started(chain(['disk', 'acl', 'server']));
    let go: () => void = () => undefined;
    hold = new Promise((resolve) => {
      go = resolve;
    });
    const under = ask(before);
    const { graph } = await alter(before, chain(['disk', 'server']));
    go();
    expect(await under).toBe('server acl disk');
    expect(await ask(graph)).toBe('server disk');
  });

  it('tells events up the new chain, also to who serves it', async () => {
    const heard: string[] = [];
    const before = await started(chain(['disk', 'acl', 'server']));
    const host = { notify: () => void heard.push('host') } as unknown as Xlator;
    before.top.parents = [host];
    const { graph } = await alter(before, chain(['disk', 'trace', 'server']));
    stateOf(graph, 'disk').propagate({ type: 'child-up' });
    expect(heard).toEqual(['host']);
    expect(stateOf(graph, 'disk').parents.map(({ name }) => name)).toEqual(['trace']);
  });

  it('takes live options, and keeps those that only a new one could take, until they are as they were', async () => {
    const before = await started(chain(['disk', 'server'], { server: { fixed: 'a' } }));
    const to = (options: Record<string, string>) => chain(['disk', 'server'], { server: options });
    const second = await alter(before, to({ fixed: 'b', live: '3' }));
    expect(second.waiting).toEqual(['server: fixed']);
    const third = await alter(second.graph, to({ fixed: 'b', live: '4' }));
    expect([third.waiting, stateOf(third.graph, 'server').values]).toEqual([
      ['server: fixed'],
      { fixed: 'a', live: 4 },
    ]);
    const gone = await alter(third.graph, to({}));
    expect([gone.waiting, stateOf(gone.graph, 'server').values]).toEqual([['server: fixed'], { fixed: 'a', live: 0 }]);
    expect((await alter(gone.graph, to({ fixed: 'a' }))).waiting).toEqual([]);
  });

  it('is as it was when something new does not start, cannot be made, or has wrong options', async () => {
    const before = await started(chain(['disk', 'server']));
    const slots = inodes.allocateSlot(() => undefined);
    inodes.freeSlot(slots);
    const wrong: [Volfile, string][] = [
      [chain(['disk', 'trace', 'acl', 'server'], { acl: { fixed: 'broken' } }), 'no memory'],
      [chain(['disk', 'trace', 'acl:unknown', 'server']), 'unknown translator type'],
      [chain(['disk', 'trace', 'server'], { server: { live: 'x' } }), 'invalid number format'],
      [chain(['disk', 'server', 'other']), 'the last volume is not server'],
      [chain(['disk', 'server:other']), 'the last volume is not server'],
    ];
    for (const [to, why] of wrong) {
      await expect(alter(before, to)).rejects.toThrow(why);
      expect(await ask(before)).toBe('server disk');
    }
    expect(wrong.map(([to]) => to).length).toBe(5);
    expect(life).toEqual(['init trace', 'fini acl', 'fini trace']);
    // The slots of what was made for nothing are free.
    expect(inodes.allocateSlot(() => undefined)).toBe(slots);
    await expect(alter(before, wrong[1]![0])).rejects.toThrow(GraphError);
  });

  it('becomes one of another type under the same name', async () => {
    const before = await started(chain(['disk', 'mid', 'server']));
    const { graph, removed } = await alter(before, chain(['disk', 'mid:idle', 'server']));
    expect(removed).toEqual([stateOf(before, 'mid')]);
    expect(await ask(graph)).toBe('server disk');
  });

  it('is after any changes as one that was built so', async () => {
    const middle = fc.uniqueArray(fc.constantFrom('a', 'b', 'c:idle', 'd', 'e'), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.array(middle, { minLength: 2, maxLength: 6 }), async (steps) => {
        const files = steps.map((names) => chain(['disk', ...names, 'server']));
        let graph = await started(files[0]!);
        for (const file of files.slice(1)) {
          const before = graph;
          ({ graph } = await alter(before, file));
          for (const [name, xlator] of graph.xlators)
            if (before.xlators.get(name)?.type === xlator.type) expect(xlator).toBe(before.xlators.get(name));
        }
        const built = buildGraph(files.at(-1)!, registry, services);
        expect(await ask(graph)).toBe(await ask(built));
        for (const [name, { parents, children }] of built.xlators) {
          const own = graph.xlators.get(name)!;
          expect(own.parents.map((one) => one.name)).toEqual(parents.map((one) => one.name));
          expect(own.children.map((one) => one.xlator.name)).toEqual(children.map((one) => one.xlator.name));
        }
      }),
      { numRuns: 100 },
    );
  });
});
