import { describe, expect, it } from 'vitest';
import type { Call } from './call.ts';
import { compoundStep } from './compound.ts';
import { Errno } from './errno.ts';
import { locOf } from './fd.ts';
import { type Fops, fail } from './fops.ts';
import { rootGfid } from './gfid.ts';
import { buildGraph, canReconfigure, GraphError, reconfigureGraph, startGraph, stopGraph } from './graph.ts';
import { InodeTable } from './inode-table.ts';
import { type OptionValues, option } from './options.ts';
import { parseVolfile } from './volfile/parse.ts';
import type { VolumeNode } from './volfile/types.ts';
import { type Services, stances, Xlator, type XlatorInit, type XlatorType } from './xlator.ts';

const call: Call = { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: 'c', time: { sec: 0, nsec: 0 } };
const life: string[] = [];
const logged: string[] = [];

const services = (): Services => ({
  clock: {
    nowMs: () => 0,
    wall: () => ({ sec: 0, nsec: 0 }),
    after: () => ({ cancel: () => {} }),
    sleep: async () => {},
  },
  random: { bytes: (n) => new Uint8Array(n), integer: () => 0 },
  log: { level: 'INFO', setLevel: () => {}, write: (_l, origin, text) => logged.push(`${origin}: ${text}`) },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: () => {
    throw new Error('no ports');
  },
});

const bottomOptions = {
  errno: option.int('2', { description: 'd' }),
  path: option.text('', { description: 'd', live: false }),
};

class Bottom extends Xlator {
  errno: number;
  constructor(init: XlatorInit<typeof bottomOptions>) {
    super(init);
    this.errno = init.options.errno;
    if (init.options.path === 'fail') life.push('constructed');
  }
  readonly stat: Fops['stat'] = async () => fail(this.errno as Errno);
  readonly access: Fops['access'] = async () => ({ ok: true });
  override reconfigure(values: OptionValues<typeof bottomOptions>): void {
    this.errno = values.errno;
  }
  override async init(): Promise<void> {
    if (this.texts.get('path') === 'fail') throw new Error('no disk');
    life.push(`init ${this.name}`);
  }
  override async fini(): Promise<void> {
    life.push(`fini ${this.name}`);
  }
}

class Pass extends Xlator {
  override async init(): Promise<void> {
    life.push(`init ${this.name}`);
  }
  override async fini(): Promise<void> {
    life.push(`fini ${this.name}`);
  }
}

class AccessRefuser extends Xlator {
  readonly access: Fops['access'] = async () => fail(Errno.EACCES);
}

const registry = new Map<string, XlatorType>();
const register = (type: XlatorType) => registry.set(type.type, type);
register({
  type: 'test/bottom',
  description: 'd',
  options: bottomOptions,
  subvolumes: { min: 0, max: 0 },
  create: (init) => new Bottom(init as XlatorInit<typeof bottomOptions>),
});
register({
  type: 'test/pass',
  description: 'd',
  options: {},
  subvolumes: { min: 1, max: 1 },
  create: (init) => new Pass(init),
});
register({
  type: 'test/refuser',
  description: 'd',
  options: {},
  subvolumes: { min: 1, max: 1 },
  fops: stances('passes', { link: 'refuses', access: 'handles' }),
  create: (init) => new AccessRefuser(init),
});
register({
  type: 'test/many',
  description: 'd',
  options: {},
  subvolumes: { min: 2, max: 9 },
  fops: stances('refuses', {}),
  create: (init) => new Pass(init),
});

const node = (
  name: string,
  type: string,
  subvolumes: string[] = [],
  options: Record<string, string> = {},
): VolumeNode => ({
  name,
  type,
  subvolumes,
  options: new Map(Object.entries(options)),
  at: { file: 'x.vol', line: 1, column: 8 },
});
const build = (...volumes: VolumeNode[]) => buildGraph({ volumes }, registry, services());

describe('graph', () => {
  it('binds a fop that nobody between handles straight to the one who does', async () => {
    const graph = build(node('b', 'test/bottom'), node('p', 'test/pass', ['b']), node('q', 'test/pass', ['p']));
    expect(graph.top.ops.stat).toBe(graph.xlators.get('b')!.ops.stat);
    expect(await graph.top.ops.stat(call, { loc: locOf(rootGfid) })).toEqual(fail(Errno.ENOENT));
    expect(await graph.top.ops.unlink(call, { loc: locOf(rootGfid) })).toEqual(fail(Errno.EOPNOTSUPP));
  });

  it('lets a declared refusal stand between parent and child', async () => {
    const graph = build(node('b', 'test/bottom'), node('r', 'test/refuser', ['b']));
    expect(await graph.top.ops.link(call, { from: locOf(rootGfid), to: locOf(rootGfid) })).toEqual(
      fail(Errno.EOPNOTSUPP),
    );
  });

  it('shows the steps of a compound to every translator that handles one of them', async () => {
    const steps = [
      compoundStep('access', { loc: locOf(rootGfid), mask: 0 }),
      compoundStep('stat', { loc: locOf(rootGfid) }),
    ];
    const plain = build(node('b', 'test/bottom'), node('p', 'test/pass', ['b']));
    expect(await plain.top.ops.compound(call, { steps })).toEqual({
      ok: true,
      replies: [{ ok: true }, fail(Errno.ENOENT)],
    });
    const refused = build(node('b', 'test/bottom'), node('r', 'test/refuser', ['b']), node('p', 'test/pass', ['r']));
    expect(await refused.top.ops.compound(call, { steps })).toEqual({ ok: true, replies: [fail(Errno.EACCES)] });
  });

  it('starts children first, stops parents first, and undoes a failed start', async () => {
    life.length = 0;
    const graph = build(node('b', 'test/bottom'), node('p', 'test/pass', ['b']));
    await startGraph(graph);
    await stopGraph(graph);
    expect(life).toEqual(['init b', 'init p', 'fini p', 'fini b']);
    life.length = 0;
    const bad = build(
      node('a', 'test/bottom'),
      node('b', 'test/bottom', [], { path: 'fail' }),
      node('m', 'test/many', ['a', 'b']),
    );
    await expect(startGraph(bad)).rejects.toThrow('no disk');
    expect(life.filter((line) => line.startsWith('fini'))).toEqual(['fini b', 'fini a']);
    // Nothing refers to it any more, and its slots serve others.
    const { inodes } = bad.top.services;
    expect([0, 1, 2].map(() => inodes.allocateSlot(() => undefined))).toEqual([0, 1, 2]);
  });

  it.each([
    [
      'an unknown type, with the nearest',
      [node('b', 'test/botom')],
      "x.vol:1:8: volume b: unknown translator type 'test/botom'; did you mean 'test/bottom'?",
    ],
    [
      'too few subvolumes',
      [node('b', 'test/bottom'), node('m', 'test/many', ['b'])],
      'test/many takes 2 to 9 subvolume(s), found 1',
    ],
    [
      'a bad option value',
      [node('b', 'test/bottom', [], { errno: 'x' })],
      'invalid number format "x" in option "errno"',
    ],
    ['an empty file', [], 'the volfile has no volume'],
  ])('refuses %s', (_what, volumes, message) => {
    expect(() => build(...volumes)).toThrow(GraphError);
    expect(() => build(...volumes)).toThrow(message);
  });

  it('says where in the file the type, the option or the value is that is wrong', () => {
    const read = (text: string) => () => buildGraph(parseVolfile(text, 'x.vol'), registry, services());
    expect(read('volume b\n  type test/botom\n  option errno 1\nend-volume\n')).toThrow(
      /^x\.vol:2:8: volume b: unknown translator type 'test\/botom'/,
    );
    expect(read('volume b\n  type test/bottom\n  option path /p\n  option errno x\nend-volume\n')).toThrow(
      /^x\.vol:4:16: volume b: invalid number format "x"/,
    );
    logged.length = 0;
    read('volume b\n  type test/bottom\n  option errn 1\nend-volume\n')();
    expect(logged).toEqual(["b: option 'errn' is not recognized; did you mean 'errno'? (x.vol:3:10)"]);
    const overrides = [{ volume: 'b', option: 'errno', value: 'y' }];
    const parsed = parseVolfile('volume b\n  type test/bottom\n  option errno 1\nend-volume\n', 'x.vol');
    expect(() => buildGraph(parsed, registry, services(), { overrides })).toThrow(/^x\.vol:1:8: volume b: .*"y"/);
  });

  it('warns of an unknown option and goes on', () => {
    logged.length = 0;
    build(node('b', 'test/bottom', [], { errn: '1' }));
    expect(logged).toEqual(["b: option 'errn' is not recognized; did you mean 'errno'?"]);
  });

  it('takes options live where all that changed are live, by pattern from the command line too', async () => {
    const from = { volumes: [node('x-b', 'test/bottom')] };
    const live = { volumes: [node('x-b', 'test/bottom', [], { errno: '13' })] };
    const other = { volumes: [node('x-b', 'test/bottom', [], { path: '/y' })] };
    expect(canReconfigure(from, live, registry)).toBe(true);
    expect(canReconfigure(from, other, registry)).toBe(false);
    const graph = buildGraph(from, registry, services(), {
      overrides: [{ volume: '*-b', option: 'errno', value: '5' }],
    });
    expect(await graph.top.ops.stat(call, { loc: locOf(rootGfid) })).toEqual(fail(Errno.EIO));
    reconfigureGraph(graph, live, registry);
    expect(await graph.top.ops.stat(call, { loc: locOf(rootGfid) })).toEqual(fail(Errno.EACCES));
  });
});
