/** What heal makes of names, whatever went before: nothing that was acknowledged is undone. */
import { Errno, Fd, FileType, type Gfid, locAt, locOf } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { changelogOf, dirtyKey, encodeVector, isZero, type Matrix, negated, type Vector } from './changelog.ts';
import { heal } from './heal/healer.ts';
import { healNameNow } from './heal/name.ts';
import { SetHealer } from './heal/set-healer.ts';
import { judge } from './judgement.ts';
import { newbornMarks } from './new-object.ts';
import { mkdir, rig, rigs } from './test-rig.ts';

const names = ['a', 'b', 'c'];
const anyName = Buffer.from('000000010000000000000001', 'hex');
const keyOf = (child: number) => `trusted.afr.vol-client-${child}`;

type Trouble = 'none' | 'refused' | 'unheard' | 'away';
type Step =
  | { do: 'create' | 'unlink'; name: string; trouble: readonly Trouble[] }
  | { do: 'cut' | 'join' | 'replace'; child: number }
  /** One is away while names are changed, and healed while another is away, who goes on accusing it. */
  | { do: 'pass by'; child: number; other: number; change: Step }
  | { do: 'heal' };

const stepsOf = (count: number): fc.Arbitrary<Step[]> => {
  const child = fc.nat(count - 1);
  const trouble = fc.oneof(
    { weight: 8, arbitrary: fc.constant<Trouble>('none') },
    fc.constantFrom<Trouble>('refused', 'unheard', 'away'),
  );
  const change = fc.record({
    do: fc.constantFrom('create' as const, 'unlink' as const),
    name: fc.constantFrom(...names),
    trouble: fc.array(trouble, { minLength: count, maxLength: count }),
  });
  const door = fc.record({ do: fc.constantFrom('cut' as const, 'join' as const), child });
  const passBy = fc.record({
    do: fc.constant('pass by' as const),
    child: fc.nat(count - 1),
    other: fc.nat(count - 1),
    change,
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: passBy },
    { weight: 6, arbitrary: change },
    { weight: 6, arbitrary: door },
    { weight: 4, arbitrary: fc.constant({ do: 'heal' as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('replace' as const), child }) },
  );
  return fc.array(step, { minLength: 5, maxLength: 30 });
};

/** A set with one directory, a client that changes its names, and one that heals. */
class World {
  readonly count: number;
  readonly client: RigClient;
  readonly healer: RigClient;
  readonly directory: Gfid;
  /** What was acknowledged last; undefined: nobody knows what came of it. */
  readonly known = new Map<string, Gfid | 'none' | undefined>(names.map((name) => [name, 'none']));

  private constructor(count: number, client: RigClient, healer: RigClient, directory: Gfid) {
    this.count = count;
    this.client = client;
    this.healer = healer;
    this.directory = directory;
  }

  static async make(count: number): Promise<World> {
    await rig(count);
    const client = await rigs.at(-1)!.client({ 'post-op-delay-secs': '0' });
    const healer = await rigs.at(-1)!.client({ 'iam-self-heal-daemon': 'yes', 'post-op-delay-secs': '0' });
    const directory = await mkdir(client, 'd');
    await client.xlator.drain();
    return new World(count, client, healer, directory);
  }

  get #rig() {
    return rigs.at(-1)!;
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'cut') this.#rig.cut(step.child);
    else if (step.do === 'join') this.#rig.join(step.child);
    else if (step.do === 'heal') await this.heal();
    else if (step.do === 'replace') await this.#replace(step.child);
    else if (step.do === 'pass by') {
      const { child, other, change } = step;
      const cut = { do: 'cut', child } as const;
      for (const one of [cut, change, { do: 'join', child }, { ...cut, child: other }, { do: 'heal' }] as const)
        await this.take(one);
      await this.take({ do: 'join', child: other });
    } else if ('name' in step) await this.#change(step.do, step.name, step.trouble);
    await this.client.xlator.drain();
  }

  async heal(): Promise<void> {
    const { xlator, services } = this.healer;
    await xlator.drain();
    const context = new SetHealer(xlator.replica, services.clock, () => xlator.healSettings).context('index', () => {});
    await heal(context, this.directory);
    await xlator.drain();
  }

  /** `refused`: with an error; `away`: it does not get there, and the child is gone; `unheard`: it is done, and the child gone. */
  async #change(what: 'create' | 'unlink', name: string, trouble: readonly Trouble[]): Promise<void> {
    const { client } = this;
    const fop = what === 'create' ? 'mknod' : 'unlink';
    for (const [child, kind] of trouble.entries()) {
      const gate = client.gates[child]!;
      if (kind === 'none') continue;
      gate.fault = (asked, args) => {
        const { steps = [] } = args as { steps?: { fop: string }[] };
        if (asked !== fop && !steps.some((step) => step.fop === fop)) return 'pass';
        gate.fault = () => 'pass';
        if (kind === 'refused') return Errno.EIO;
        if (kind === 'away') gate.shutDoor();
        else
          gate.late = () => {
            gate.late = () => undefined;
            gate.shutDoor();
            return undefined;
          };
        return 'pass';
      };
    }
    const gfid = this.#rig.newGfid();
    const loc = locAt(this.directory, name);
    const reply =
      what === 'create'
        ? await client.ops.mknod(client.call, { loc, mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid })
        : await client.ops.unlink(client.call, { loc });
    await client.xlator.drain();
    for (const gate of client.gates) {
      gate.fault = () => 'pass';
      gate.late = () => undefined;
    }
    if (reply.ok) this.known.set(name, what === 'create' ? gfid : 'none');
    else if (reply.errno !== Errno.EEXIST && this.known.get(name) !== 'none') this.known.set(name, undefined);
    else if (reply.errno !== Errno.EEXIST && reply.errno !== Errno.ENOENT) this.known.set(name, undefined);
  }

  /** A disk goes and an empty one comes, where another replica is right and has nothing open: it is accused of all names. */
  async #replace(child: number): Promise<void> {
    const { client, directory } = this;
    const verdict = judge(await this.matrix(), 'entry');
    const sources = verdict.sources.filter((other) => other !== child);
    if (sources.length === 0 || verdict.inDoubt) return;
    const old = await this.#marks(child);
    const { ops } = this.#rig.bricks[child]!;
    for (const name of await this.names(child)) await ops.unlink(client.call, { loc: locAt(directory, name) });
    await this.#add(child, Object.fromEntries(Object.entries(old).map(([key, v]) => [key, encodeVector(negated(v))])));
    const matrix = await this.matrix();
    const owners = new Map(sources.map((other) => [other, matrix[other]!]));
    await this.#add(child, newbornMarks(client.xlator.replica, FileType.directory, child, owners));
    for (const other of sources) await this.#add(other, { [keyOf(child)]: anyName });
  }

  async #add(child: number, values: Record<string, Uint8Array>): Promise<void> {
    const { ops } = this.#rig.bricks[child]!;
    const reply = await ops.xattrop(this.client.call, { loc: locOf(this.directory), operation: 'add32', values });
    expect(reply).toMatchObject({ ok: true });
  }

  async #marks(child: number): Promise<Record<string, Vector>> {
    const log = (await this.matrix())[child]!;
    return { [dirtyKey]: log.dirty, ...Object.fromEntries(log.blames.map((vector, j) => [keyOf(j), vector])) };
  }

  async names(child: number): Promise<string[]> {
    const { ops } = this.#rig.bricks[child]!;
    const fd = new Fd(this.directory);
    expect(await ops.opendir(this.client.call, { loc: locOf(this.directory), fd })).toMatchObject({ ok: true });
    const page = await ops.readdir(this.client.call, { fd, size: 4096, offset: 0 });
    fd.release();
    return page.ok ? page.entries.map(({ name }) => name).filter((name) => name !== '.' && name !== '..') : [];
  }

  async under(child: number, name: string): Promise<Gfid | 'none'> {
    const reply = await this.#rig.bricks[child]!.ops.lookup(this.client.call, { loc: locAt(this.directory, name) });
    return reply.ok ? reply.iatt.gfid : 'none';
  }

  async matrix(): Promise<Matrix> {
    const keys = Array.from({ length: this.count }, (_, child) => keyOf(child));
    const logs = this.#rig.bricks.map(async ({ ops }) => {
      const reply = await ops.lookup(this.client.call, { loc: locOf(this.directory), want: [...keys, dirtyKey] });
      expect(reply.ok).toBe(true);
      return changelogOf(reply.ok ? reply.xattrs : {}, keys);
    });
    return Promise.all(logs);
  }
}

const none: readonly Trouble[] = ['none', 'none', 'none'];
const cut = (child: number): Step => ({ do: 'cut', child });
const join = (child: number): Step => ({ do: 'join', child });
const healing: Step = { do: 'heal' };

/** All come back and are healed: they are alike, without a mark, and as it was acknowledged. */
async function settle(world: World): Promise<void> {
  const children = Array.from({ length: world.count }, (_, child) => child);
  for (const child of children) await world.take({ do: 'join', child });
  for (let i = 0; i < 3; i++) await world.heal();
  for (const name of names) {
    const found = await Promise.all(children.map((child) => world.under(child, name)));
    const known = world.known.get(name) ?? found[0];
    expect([name, ...found]).toEqual([name, ...children.map(() => known)]);
  }
  const matrix = await world.matrix();
  expect(matrix.every((log) => log && isZero(log.dirty) && log.blames.every(isZero))).toBe(true);
}

it.each([3, 5])('undoes nothing that was acknowledged, with %i replicas', { timeout: 300_000 }, async (count) => {
  await fc.assert(
    fc.asyncProperty(stepsOf(count), async (steps) => {
      const world = await World.make(count);
      for (const step of steps) await world.take(step);
      await settle(world);
      await rigs.pop()!.close();
    }),
    {
      numRuns: Number(process.env.MORTAR_HEAL_NAMES_RUNS ?? 100),
      seed: Number(process.env.MORTAR_HEAL_NAMES_SEED ?? 1),
    },
  );
});

const passBy = (child: number, other: number, change: Step): Step => ({ do: 'pass by', child, other, change });
const create = (name: string, ...trouble: Trouble[]): Step => ({ do: 'create', name, trouble });
const unlink = (name: string, ...trouble: Trouble[]): Step => ({ do: 'unlink', name, trouble });
const replace = (child: number): Step => ({ do: 'replace', child });

it.each<{ what: string; steps: Step[] }>([
  {
    what: 'an empty disk accuses one that was away while a change failed, and the one that filled it leaves',
    steps: [create('a'), healing, passBy(2, 0, create('a')), replace(0), passBy(2, 1, create('c', 'none', 'refused'))],
  },
  {
    what: 'an empty disk is known to one that is not right, and names are recorded by the one that is',
    steps: [passBy(2, 1, create('a')), passBy(1, 0, create('c')), replace(1), passBy(0, 2, create('b'))],
  },
  {
    what: 'an empty disk was told of one that is away, and those that told it leave',
    steps: [create('c'), cut(0), unlink('c'), replace(2), healing, cut(1), join(0), create('b')],
  },
  {
    what: 'the only one that is right refuses, and the others make a quorum',
    steps: [create('c'), unlink('c', 'none', 'none', 'refused'), replace(1), create('a', 'refused'), cut(0), healing],
  },
  {
    what: 'a stale one says that the name is there, and the right one, which made it, is not heard',
    steps: [create('a'), cut(1), unlink('a'), cut(0), healing, join(1), join(0), cut(2), create('a', 'unheard')],
  },
])('undoes nothing that was acknowledged where $what', async ({ steps }) => {
  const world = await World.make(3);
  for (const step of steps) await world.take(step);
  await settle(world);
});

it('brings back no name whose removal one with a new disk learned of, and who told it was passed by', async () => {
  const world = await World.make(3);
  const change = (what: 'create' | 'unlink', name: string): Step => ({ do: what, name, trouble: none });
  const steps = [change('create', 'a'), cut(2), change('unlink', 'a'), { do: 'replace', child: 1 } as const, healing];
  for (const step of [...steps, cut(0), join(2), change('create', 'b'), cut(2), join(0), healing, join(2)])
    await world.take(step);
  // The first and the last accuse each other.
  const [first, , last] = await world.matrix();
  expect([first?.blames[2]?.[2], last?.blames[0]?.[2]]).not.toContain(0);
  await settle(world);
});

it.each([
  { who: 'the only one that is right', accusations: [[1, 0] as const, [1, 2] as const], leaves: 1 },
  { who: 'one of two that accuse each other', accusations: [[0, 2] as const, [2, 0] as const], leaves: 2 },
])('gives and takes no name when $who has left', async ({ accusations, leaves }) => {
  const { client, directory } = await World.make(3);
  const { bricks } = rigs.at(-1)!;
  const node = { loc: locAt(directory, 'a'), mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid: rigs.at(-1)!.newGfid() };
  expect(await bricks[0]!.ops.mknod(client.call, node)).toMatchObject({ ok: true });
  for (const [by, of] of accusations)
    await bricks[by]!.ops.xattrop(client.call, {
      loc: locOf(directory),
      operation: 'add32',
      values: { [keyOf(of)]: anyName },
    });
  const { replica } = client.xlator;
  const lease = await replica.leases.acquire(directory, client.call);
  if ('errno' in lease) throw new Error(`no lease: ${lease.errno}`);
  lease.leaveOut(leaves);
  const result = await healNameNow(replica, lease, directory, 'a');
  replica.leases.done(lease);
  expect(result).toMatch(/cannot be looked up on child/);
  const found = await Promise.all(bricks.map(({ ops }) => ops.lookup(client.call, { loc: locAt(directory, 'a') })));
  expect(found.map(({ ok }) => ok)).toEqual([true, false, false]);
});
