import { Fd, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { content, create, digest, list, looks, nextTurn, randomOf, volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const seeds = (process.env.MORTAR_REBALANCE_SEEDS ?? '1,2,3').split(',').map(Number);

/** Works on files of its own, whose content it knows: through open descriptors, and by name. */
async function worker(
  rig: DistributeRig,
  id: number,
  seed: number,
  until: () => boolean,
): Promise<Map<string, Buffer>> {
  const random = randomOf(seed * 31 + id);
  const files = new Map<string, { data: Buffer; fd: Fd; gfid: Gfid }>();
  let serial = 0;
  const fresh = () => `w${id}-${serial++}`;
  const done = <R extends { ok: boolean }>(what: string, reply: R) => {
    if (!reply.ok) throw new Error(`${what}: ${JSON.stringify(reply)} (seed ${seed})`);
  };
  const steps: Record<string, (name: string, file: { data: Buffer; fd: Fd; gfid: Gfid }) => Promise<void>> = {
    async overwrite(name, file) {
      const offset = random(file.data.length + 1);
      const data = Buffer.alloc(1 + random(3000), 65 + random(26));
      done(`write ${name}`, await rig.ops.writev(rig.call, { fd: file.fd, offset, data }));
      const next = Buffer.alloc(Math.max(file.data.length, offset + data.length));
      file.data.copy(next);
      data.copy(next, offset);
      file.data = next;
    },
    async append(name, file) {
      const data = Buffer.alloc(1 + random(2000), 97 + random(26));
      done(`append ${name}`, await rig.ops.writev(rig.call, { fd: file.fd, offset: 0, data, append: true }));
      file.data = Buffer.concat([file.data, data]);
    },
    async truncate(name, file) {
      const size = random(file.data.length + 100);
      done(`truncate ${name}`, await rig.ops.truncate(rig.call, { loc: locOf(file.gfid), size }));
      const next = Buffer.alloc(size);
      file.data.copy(next);
      file.data = next;
    },
    async rename(name, file) {
      const to = fresh();
      const from = locAt(rootGfid, name, file.gfid);
      done(`rename ${name}`, await rig.ops.rename(rig.call, { from, to: locAt(rootGfid, to), flags: 0 }));
      files.delete(name);
      files.set(to, file);
    },
    async unlink(name, file) {
      done(`unlink ${name}`, await rig.ops.unlink(rig.call, { loc: locAt(rootGfid, name, file.gfid) }));
      file.fd.release();
      files.delete(name);
    },
    async read(name, file) {
      const page = await rig.ops.readv(rig.call, { fd: file.fd, size: 1 << 20, offset: 0 });
      if (!page.ok) throw new Error(`read ${name}: errno ${page.errno} (seed ${seed})`);
      expect(digest(Buffer.from(page.data)), `${name}, seed ${seed}`).toBe(digest(file.data));
    },
    async reopen(name, file) {
      file.fd.release();
      file.fd = new Fd(file.gfid, 2);
      done(`open ${name}`, await rig.ops.open(rig.call, { loc: locOf(file.gfid), flags: 2, fd: file.fd }));
    },
  };
  const kinds = [
    'overwrite',
    'overwrite',
    'append',
    'append',
    'truncate',
    'rename',
    'unlink',
    'read',
    'read',
    'reopen',
  ];
  while (!until()) {
    if (files.size < 6) {
      const name = fresh();
      const data = Buffer.alloc(1 + random(5000), 48 + random(10));
      files.set(name, { ...(await create(rig, name, data)), data });
    } else {
      const name = [...files.keys()][random(files.size)]!;
      await steps[kinds[random(kinds.length)]!]!(name, files.get(name)!);
    }
    await nextTurn();
  }
  for (const { fd } of files.values()) fd.release();
  return new Map([...files].map(([name, { data }]) => [name, data]));
}

it.each(seeds)(
  'clients see every file once and as it is while files are moved under load (seed %i)',
  async (seed) => {
    const { small, client, close } = await volume();
    const still = new Map<string, Buffer>();
    for (let i = 0; i < 40; i++) {
      const data = Buffer.alloc(1 + i * 100, i);
      still.set(`s${i}`, data);
      (await create(small, `s${i}`, data)).fd.release();
    }
    const [writer, watcher, mover] = [await client('writer'), await client('watcher'), await client('mover')];
    let over = false;
    let warm = 0;
    const workers = [1, 2, 3].map((id) =>
      worker(writer, id, seed, () => {
        warm++;
        return over;
      }),
    );
    while (warm < 100) await nextTurn();
    const watching = (async () => {
      for (let round = 0; !over; round++) {
        const names = await list(watcher, [1024, 4096, 65536][round % 3]!);
        expect(
          names.filter((name, i) => names.indexOf(name) !== i),
          `twice, seed ${seed}`,
        ).toEqual([]);
        expect(names.filter((name) => still.has(name)).sort(), `seed ${seed}`).toEqual([...still.keys()].sort());
        for (const [name, data] of still) expect(digest(await content(watcher, name)), name).toBe(digest(data));
      }
    })();
    const status = await new Rebalance(mover.d, 'force').run();
    for (let i = 0; i < 200; i++) await nextTurn();
    over = true;
    const expected = new Map([...still, ...(await Promise.all(workers)).flatMap((files) => [...files])]);
    await watching;
    expect(status).toMatchObject({ state: 'completed', failures: 0 });
    expect(status.movedFiles).toBeGreaterThan(0);
    const fresh = await client('fresh');
    expect((await list(fresh)).sort()).toEqual([...expected.keys()].sort());
    for (const rig of [fresh, writer])
      for (const [name, data] of expected)
        expect(digest(await content(rig, name)), `${name}, seed ${seed}`).toBe(digest(data));
    await close();
  },
  120_000,
);

it.each(seeds)(
  'killed again and again, a rebalance ends with all as it was (seed %i)',
  async (seed) => {
    const random = randomOf(seed + 1000);
    const { small, all, client, close } = await volume();
    const names: string[] = [];
    for (let i = 0; i < 24; i++) {
      const name = `f${i}`;
      const { gfid, fd } = await create(small, name, Buffer.alloc(random(20_000), i));
      fd.release();
      const attr = {
        mode: [0o644, 0o1000, 0o4755, 0o600][i % 4]!,
        uid: i,
        gid: i,
        mtime: { sec: 1e9 + i, nsec: 123_456_789 },
      };
      await small.ops.setattr(small.call, { loc: locOf(gfid), attr });
      await small.ops.setxattr(small.call, { loc: locOf(gfid), xattrs: { 'user.n': Buffer.from(name) }, flags: 0 });
      names.push(name);
      if (i % 5 !== 0) continue;
      const linked = await small.ops.link(small.call, { from: locOf(gfid), to: locAt(rootGfid, `${name}-again`) });
      expect(linked.ok).toBe(true);
      names.push(`${name}-again`);
    }
    const witness = await client('witness');
    const before = new Map<string, unknown>();
    // Between a kill and the next run, the bits that mark a file do not show.
    const meanwhile = new Map<string, unknown>();
    for (const name of names) {
      before.set(name, await looks(witness, name));
      meanwhile.set(name, await looks(witness, name, 0o3000));
    }
    for (let run = 0; ; run++) {
      const session = `mover-${run}`;
      const mover = await client(session);
      let left = run < 25 ? 1 + random(300) : Number.POSITIVE_INFINITY;
      let killed = () => {};
      const death = new Promise<undefined>((resolve) => {
        killed = () => resolve(undefined);
      });
      for (const door of mover.doors)
        door.dead = () => {
          if (--left < 0) killed();
          return left < 0;
        };
      const status = await Promise.race([new Rebalance(mover.d, 'force').run(), death]);
      if (status) {
        expect(status).toMatchObject({ state: 'completed', failures: 0 });
        break;
      }
      await nextTurn();
      for (const door of mover.doors) door.closeAll();
      all.endSession(session);
      // Nothing is gone, twice, or half.
      const other = run % 2 ? witness : await client(`other-${run}`);
      expect((await list(other)).sort(), `seed ${seed}, run ${run}`).toEqual([...names].sort());
      for (const name of names)
        expect(await looks(other, name, 0o3000), `${name}, seed ${seed}, run ${run}`).toEqual(meanwhile.get(name));
    }
    const fresh = await client('fresh');
    for (const rig of [fresh, witness])
      for (const name of names) expect(await looks(rig, name), `${name}, seed ${seed}`).toEqual(before.get(name));
    // No mark of a move is left, and no copy in a linkto.
    for (const name of names) {
      const copies = await Promise.all(
        all.bricks.map((brick) => brick.lookup(fresh.call, { loc: locAt(rootGfid, name), want: ['*'] })),
      );
      const files = copies.filter(
        (copy) => copy.ok && !(copy.iatt.mode === 0o1000 && copy.xattrs['trusted.glusterfs.dht.linkto']),
      );
      expect(files, `${name}, seed ${seed}`).toHaveLength(1);
      for (const copy of copies) {
        if (!copy.ok) continue;
        if (copy === files[0])
          expect(
            Object.keys(copy.xattrs).filter((key) => /linkto|moving/.test(key)),
            name,
          ).toEqual([]);
        else expect(copy.iatt.size, `${name}, seed ${seed}`).toBe(0);
      }
    }
    await close();
  },
  120_000,
);
