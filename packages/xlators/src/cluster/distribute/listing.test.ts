import { Errno, Fd, FileType, fail, locAt, type Reply, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { create, list, nextTurn, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const isName = (name: string) => name !== '.' && name !== '..';

async function page(rig: DistributeRig, fd: Fd, offset: number, size = 700) {
  const reply = await rig.ops.readdirp(rig.call, { fd, size, offset });
  if (!reply.ok) throw new Error(`listing: errno ${reply.errno}`);
  return reply;
}

async function filled(count: number) {
  const rigs = await volume();
  const names = Array.from({ length: count }, (_, i) => `f${i}`).sort();
  for (const name of names) (await create(rigs.small, name, Buffer.from(name))).fd.release();
  return { ...rigs, names };
}

describe('a directory that is being read', () => {
  it.each([1, 3, 5])(
    'has every name once for who goes on in a graph of more subvolumes after page %i',
    async (pages) => {
      const { small, client, close, names } = await filled(60);
      const fd = new Fd(rootGfid);
      const found: string[] = [];
      let offset = 0;
      for (let i = 0; i < pages; i++) {
        const { entries } = await page(small, fd, offset);
        found.push(...entries.map(({ name }) => name));
        offset = entries.at(-1)!.offset;
      }
      const grown = await client('grown');
      expect((await new Rebalance(grown.d, 'force').run()).movedFiles).toBeGreaterThan(0);
      const again = new Fd(rootGfid);
      for (let end = false; !end; ) {
        const reply = await page(grown, again, offset);
        found.push(...reply.entries.map(({ name }) => name));
        offset = reply.entries.at(-1)?.offset ?? offset;
        end = reply.end;
      }
      for (const one of [fd, again]) one.release();
      expect(found.filter(isName).sort()).toEqual(names);
      await close();
    },
  );

  it('goes on where it stood, whatever moved meanwhile, backwards too', async () => {
    const { client, close, names } = await filled(60);
    const [reader, mover] = [await client('reader'), await client('mover')];
    const fd = new Fd(rootGfid);
    const marks = [0];
    const pages: string[][] = [];
    for (let end = false; !end; ) {
      const reply = await page(reader, fd, marks.at(-1)!);
      pages.push(reply.entries.map(({ name }) => name));
      end = reply.end;
      if (!end) marks.push(reply.entries.at(-1)!.offset);
    }
    expect(pages.flat().filter(isName).sort()).toEqual(names);
    expect((await new Rebalance(mover.d, 'force').run()).movedFiles).toBeGreaterThan(0);
    const seen = new Set<string>();
    for (const i of [...marks.keys()].reverse()) {
      const reply = await page(reader, fd, marks[i]!, 100_000);
      const rest = reply.entries.map(({ name }) => name);
      expect(rest.filter(isName).sort()).toEqual(pages.slice(i).flat().filter(isName).sort());
      for (const name of rest) seen.add(name);
    }
    expect([...seen].filter(isName).sort()).toEqual(names);
    fd.release();
    await close();
  });

  it('shows a file that moved from a subvolume that was yet to answer to one that had', async () => {
    const { client, close, names } = await filled(24);
    const [reader, mover] = [await client('reader'), await client('mover')];
    await new Rebalance(mover.d, 'fix-layout').run();
    // Nobody has looked for it where it hashes to now: no linkto of it is there.
    const places = await Promise.all(names.map((name) => mover.d.hashedOf(mover.call, rootGfid, name)));
    const name = names.find((_, i) => places[i] === 2)!;
    const looks = await Promise.all(
      [0, 1].map((i) => reader.bricks[i]!.lookup(reader.call, { loc: locAt(rootGfid, name) })),
    );
    const from = looks.findIndex((reply) => reply.ok);
    const gfid = looks.flatMap((reply) => (reply.ok ? [reply.iatt.gfid] : []))[0]!;
    const child = reader.d.children[from]! as { readdirp: (typeof reader.ops)['readdirp'] };
    const { readdirp } = child;
    let isMoved = false;
    child.readdirp = async (...args) => {
      for (let i = 0; i < 20; i++) await nextTurn();
      const file = { parent: rootGfid, name, gfid, from, to: 2 };
      if (!isMoved) isMoved = (await migrateFile(mover.d, mover.call, file)).outcome === 'moved';
      return readdirp(...args);
    };
    expect((await list(reader, 100_000)).sort()).toEqual(names);
    expect(isMoved).toBe(true);
    await close();
  });

  it('is not shown without the files of a subvolume that is up and cannot answer', async () => {
    const { client, close, names } = await filled(12);
    const reader = await client('reader');
    const child = reader.d.children[1]! as { readdirp: (typeof reader.ops)['readdirp'] };
    const { readdirp } = child;
    child.readdirp = async () => fail(Errno.ENOTCONN);
    const fd = new Fd(rootGfid);
    const refused: Reply<'readdirp'> = await reader.ops.readdirp(reader.call, { fd, size: 4096, offset: 0 });
    expect(refused).toMatchObject({ ok: false, errno: Errno.ENOTCONN });
    child.readdirp = readdirp;
    expect((await list(reader)).sort()).toEqual(names);
    fd.release();
    await close();
  });

  it('has each directory once, though not every subvolume has it', async () => {
    const { small, client, close } = await volume();
    const names = Array.from({ length: 20 }, (_, i) => `d${i}`).sort();
    for (const name of names) {
      const args = { loc: locAt(rootGfid, name), mode: (FileType.directory << 12) | 0o755, gfid: small.gfid() };
      expect((await small.ops.mkdir(small.call, args)).ok).toBe(true);
    }
    const [reader, mover] = [await client('reader'), await client('mover')];
    expect((await list(reader, 900)).sort()).toEqual(names);
    // The layout of the root is the new one, some of what it says is on the new subvolume is not there yet.
    await new Rebalance(mover.d, 'fix-layout').run();
    const reply = await mover.bricks[2]!.rmdir(mover.call, { loc: locAt(rootGfid, names[3]!), recursive: false });
    expect(reply.ok).toBe(true);
    const late = await client('late');
    expect((await list(late, 900)).sort()).toEqual(names);
    await close();
  });
});
