/** Two clients change the same names at the same time: one after the other, whatever the order of their steps. */
import { Errno, type FopName, locAt, type Reply, rootGfid } from '@mortar/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixLayout } from './fix-layout.ts';
import { content, create, list, randomOf, volume } from './grown-rig.ts';
import type { DistributeRig } from './rig.ts';

const noReplace = 1;
const exchange = 2;

let rig: Awaited<ReturnType<typeof volume>>;
let clients: DistributeRig[];
let files = 0;

beforeEach(async () => {
  rig = await volume();
  expect(await fixLayout((await rig.client('first')).d, rig.small.call, rootGfid)).toBe(true);
  clients = [await rig.client('one'), await rig.client('two')];
});
afterEach(() => rig.close());

/** Requests of both are put off for a few turns each, differently by each seed. */
function shuffle(seed: number): void {
  const random = randomOf(seed);
  const wait = async (turns: number) => {
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  for (const client of clients)
    for (const door of client.doors) door.before = (_fop: FopName) => (random(2) === 0 ? undefined : wait(random(12)));
}

/** A file whose data is anywhere, under a name of its own. */
async function file(text: string): Promise<string> {
  const [first, name] = [`made${++files}`, `old${files}`];
  const { fd } = await create(clients[0]!, first, Buffer.from(text));
  fd.release();
  expect(await rename(clients[0]!, first, name)).toMatchObject({ ok: true });
  return name;
}

function rename(client: DistributeRig, from: string, to: string, flags = 0): Promise<Reply<'rename'>> {
  return client.ops.rename(client.call, { from: locAt(rootGfid, from), to: locAt(rootGfid, to), flags });
}

const errnos = (replies: Reply<'rename' | 'link'>[]) => replies.map((reply) => (reply.ok ? 0 : reply.errno)).sort();

/** What a client sees that knows nothing yet, of the names given. */
async function seen(names: readonly string[]): Promise<Record<string, string>> {
  const fresh = await rig.client(`fresh${files}`);
  const listed = (await list(fresh)).filter((name) => names.includes(name));
  expect(new Set(listed).size).toBe(listed.length);
  const contents = await Promise.all(listed.map(async (name) => [name, `${await content(fresh, name)}`]));
  await rig.leave(fresh);
  return Object.fromEntries(contents);
}

const seeds = fc.integer({ min: 1, max: 2 ** 30 });
const parameters = { numRuns: 40, endOnFailure: true };

describe('two clients at once', () => {
  it.each([0, noReplace])(
    'rename a file to one name: one of them does, and it has that name (flags %i)',
    async (flags) => {
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const from = await file('kept');
          const to = `new${files}`;
          shuffle(seed);
          const replies = await Promise.all(clients.map((client) => rename(client, from, to, flags)));
          shuffle(1);
          expect(await seen([from, to])).toEqual({ [to]: 'kept' });
          // The other finds both names of one file, or the new name taken, or the old one gone.
          expect(errnos(replies)[0]).toBe(0);
          expect([0, Errno.ENOENT, Errno.EEXIST]).toContain(errnos(replies)[1]);
        }),
        parameters,
      );
    },
  );

  // One of them may need no locks, where both names are on one child, and rename it while the other has both names in hand.
  it('rename a file to two names: it has those that were reported', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const from = await file('kept');
        const to = clients.map((_, i) => `new${files}-${i}`);
        shuffle(seed);
        const replies = await Promise.all(clients.map((client, i) => rename(client, from, to[i]!)));
        expect(errnos(replies)[0]).toBe(0);
        expect([0, Errno.ENOENT]).toContain(errnos(replies)[1]);
        const wanted = to.filter((_, i) => replies[i]!.ok);
        expect(await seen([from, ...to])).toEqual(Object.fromEntries(wanted.map((name) => [name, 'kept'])));
      }),
      parameters,
    );
  });

  it('rename two files to one name: one of them has it, and the other is gone', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const from = [await file('one'), await file('two')];
        const to = `new${files}`;
        shuffle(seed);
        const replies = await Promise.all(clients.map((client, i) => rename(client, from[i]!, to)));
        expect(errnos(replies)).toEqual([0, 0]);
        const left = await seen([...from, to]);
        expect(Object.keys(left)).toEqual([to]);
        expect(['one', 'two']).toContain(left[to]);
      }),
      parameters,
    );
  });

  it('give a file one more name, the same: it has both', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const from = await file('kept');
        const to = `new${files}`;
        shuffle(seed);
        const args = { from: locAt(rootGfid, from), to: locAt(rootGfid, to) };
        const replies = await Promise.all(clients.map((client) => client.ops.link(client.call, args)));
        expect(errnos(replies)).toEqual([0, Errno.EEXIST]);
        expect(await seen([from, to])).toEqual({ [from]: 'kept', [to]: 'kept' });
        expect((await clients[0]!.walk(to)).ok).toBe(true);
      }),
      parameters,
    );
  });

  it('rename a file, and exchange it for another: nothing is lost', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const [a, b] = [await file('one'), await file('two')];
        const to = `new${files}`;
        shuffle(seed);
        const [moved, swapped] = await Promise.all([rename(clients[0]!, a, to), rename(clients[1]!, a, b, exchange)]);
        expect(moved).toMatchObject({ ok: true });
        const left = await seen([a, b, to]);
        if (swapped.ok) expect(left).toEqual({ [to]: 'two', [b]: 'one' });
        else expect(left).toEqual({ [to]: 'one', [b]: 'two' });
      }),
      parameters,
    );
  });
});

type Operation =
  | { readonly what: 'rename'; readonly from: string; readonly to: string; readonly flags: number }
  | { readonly what: 'link'; readonly from: string; readonly to: string }
  | { readonly what: 'unlink'; readonly name: string };

/** What each name has. */
type Tree = Readonly<Record<string, string>>;

/** POSIX; an operation that fails changes nothing. */
function after(tree: Tree, operation: Operation): Tree {
  if (operation.what === 'unlink') {
    const { [operation.name]: _gone, ...rest } = tree;
    return rest;
  }
  const { from, to } = operation;
  const [moved, replaced] = [tree[from], tree[to]];
  if (moved === undefined) return tree;
  if (operation.what === 'link') return replaced === undefined ? { ...tree, [to]: moved } : tree;
  if (operation.flags === exchange) return replaced === undefined ? tree : { ...tree, [from]: replaced, [to]: moved };
  if (replaced === moved || (replaced !== undefined && operation.flags === noReplace)) return tree;
  const { [from]: _old, ...rest } = tree;
  return { ...rest, [to]: moved };
}

function run(client: DistributeRig, operation: Operation): Promise<Reply<'rename' | 'link' | 'unlink'>> {
  if (operation.what === 'unlink') return client.ops.unlink(client.call, { loc: locAt(rootGfid, operation.name) });
  const { from, to } = operation;
  if (operation.what === 'rename') return rename(client, from, to, operation.flags);
  return client.ops.link(client.call, { from: locAt(rootGfid, from), to: locAt(rootGfid, to) });
}

describe('whatever two clients do at once', () => {
  const which = fc.integer({ min: 0, max: 2 });
  const pair = fc.tuple(which, which).filter(([a, b]) => a !== b);
  const operation = fc.oneof(
    fc.record({ what: fc.constant('rename' as const), names: pair, flags: fc.constantFrom(0, noReplace, exchange) }),
    fc.record({ what: fc.constant('link' as const), names: pair, flags: fc.constant(0) }),
    fc.record({ what: fc.constant('unlink' as const), names: pair, flags: fc.constant(0) }),
  );

  it('no file is lost that is there one after the other in either order, and none is back that is gone in both', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, operation, fc.option(operation, { freq: 1 }), async (seed, first, other) => {
        const names = [await file('one'), await file('two'), `free${files}`];
        // Often both do the same.
        const [one, two] = [first, other ?? first].map(({ what, names: [a, b], flags }): Operation => {
          const [from, to] = [names[a]!, names[b]!];
          if (what === 'unlink') return { what, name: from };
          return what === 'link' ? { what, from, to } : { what, from, to, flags };
        }) as [Operation, Operation];
        const tree: Tree = { [names[0]!]: 'one', [names[1]!]: 'two' };
        shuffle(seed);
        await Promise.all([run(clients[0]!, one), run(clients[1]!, two)]);
        shuffle(1);
        const orders = [after(after(tree, one), two), after(after(tree, two), one)].map((end) => Object.values(end));
        const found = Object.values(await seen(names));
        for (const text of ['one', 'two']) {
          if (orders.every((texts) => texts.includes(text))) expect(found).toContain(text);
          if (orders.every((texts) => !texts.includes(text))) expect(found).not.toContain(text);
        }
      }),
      { ...parameters, numRuns: Number(process.env.MORTAR_RENAME_RUNS ?? 100) },
    );
  }, 600_000);
});
