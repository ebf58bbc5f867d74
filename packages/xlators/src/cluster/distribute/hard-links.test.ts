import { Fd, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { content, create, digest, list, nextTurn, randomOf, volume } from './grown-rig.ts';
import { Rebalance } from './rebalance.ts';
import type { DistributeRig } from './rig.ts';

const seeds = (process.env.MORTAR_REBALANCE_SEEDS ?? '1,2,3').split(',').map(Number);
const runs = Number(process.env.MORTAR_REBALANCE_RUNS ?? 8);
const layoutName = 'trusted.glusterfs.dht';

interface File {
  readonly gfid: Gfid;
  data: Buffer;
}

/** What is in the volume: names of files, several for most. */
class Model {
  readonly names = new Map<string, File>();
  serial = 0;

  fresh(): string {
    return `n${this.serial++}`;
  }

  nlink(file: File): number {
    return [...this.names.values()].filter((one) => one === file).length;
  }
}

/** Every range goes to the next brick: nearly all files are elsewhere than they belong. */
async function rotate(all: DistributeRig, client: DistributeRig): Promise<void> {
  const count = all.bricks.length;
  const call = { ...client.call, internal: 'rebalance' as const };
  const values: Uint8Array[] = [];
  for (const brick of all.bricks) {
    const root = await brick.lookup(call, { loc: locOf(rootGfid), want: [layoutName] });
    const value = root.ok ? root.xattrs[layoutName] : undefined;
    // Not laid out yet.
    if (!value) return;
    values.push(value);
  }
  for (const [i, brick] of all.bricks.entries())
    await brick.setxattr(call, { loc: locOf(rootGfid), xattrs: { [layoutName]: values[(i + 1) % count]! }, flags: 0 });
}

/** One change of names or data, as an application makes it. */
async function step(rig: DistributeRig, model: Model, random: (below: number) => number): Promise<void> {
  const names = [...model.names.keys()];
  const name = names[random(names.length)]!;
  const file = model.names.get(name)!;
  const { gfid } = file;
  const done = (what: string, reply: { ok: boolean }) => {
    if (!reply.ok) throw new Error(`${what}: ${JSON.stringify(reply)}`);
  };
  switch (random(7)) {
    case 0: {
      const to = model.fresh();
      done(`link ${name} ${to}`, await rig.ops.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, to) }));
      model.names.set(to, file);
      return;
    }
    case 1: {
      if (names.length < 10) return;
      done(`unlink ${name}`, await rig.ops.unlink(rig.call, { loc: locAt(rootGfid, name, gfid) }));
      model.names.delete(name);
      return;
    }
    case 2: {
      const to = model.fresh();
      const from = locAt(rootGfid, name, gfid);
      done(`rename ${name} ${to}`, await rig.ops.rename(rig.call, { from, to: locAt(rootGfid, to), flags: 0 }));
      model.names.delete(name);
      model.names.set(to, file);
      return;
    }
    case 3: {
      const over = names[random(names.length)]!;
      const target = model.names.get(over)!;
      const from = locAt(rootGfid, name, gfid);
      const to = locAt(rootGfid, over, target.gfid);
      done(`rename ${name} over ${over}`, await rig.ops.rename(rig.call, { from, to, flags: 0 }));
      if (target === file) return;
      model.names.delete(name);
      model.names.set(over, file);
      return;
    }
    case 4: {
      const to = model.fresh();
      const data = Buffer.alloc(1 + random(9000), 65 + random(26));
      const made = await create(rig, to, data);
      made.fd.release();
      model.names.set(to, { gfid: made.gfid, data });
      return;
    }
    default: {
      const fd = new Fd(gfid, 2);
      done(`open ${name}`, await rig.ops.open(rig.call, { loc: locAt(rootGfid, name, gfid), flags: 2, fd }));
      const data = Buffer.alloc(1 + random(2000), 97 + random(26));
      done(`append ${name}`, await rig.ops.writev(rig.call, { fd, offset: 0, data, append: true }));
      file.data = Buffer.concat([file.data, data]);
      fd.release();
    }
  }
}

async function check(rig: DistributeRig, model: Model, where: string): Promise<void> {
  expect((await list(rig)).sort(), where).toEqual([...model.names.keys()].sort());
  for (const [name, file] of model.names) {
    const found = await rig.ops.lookup(rig.call, { loc: locAt(rootGfid, name) });
    expect(found.ok ? [found.iatt.gfid, found.iatt.nlink] : found, `${name}, ${where}`).toEqual([
      file.gfid,
      model.nlink(file),
    ]);
    expect(digest(await content(rig, name)), `${name}, ${where}`).toBe(digest(file.data));
  }
}

/** Of every file one brick has data, with all its names; nothing of a move is left. */
async function checkBricks(all: DistributeRig, call: DistributeRig['call'], model: Model, where: string) {
  for (const [name, file] of model.names) {
    const copies = await Promise.all(
      all.bricks.map((brick) => brick.lookup(call, { loc: locAt(rootGfid, name), want: ['*'] })),
    );
    const files = copies.filter(
      (copy) => copy.ok && !(copy.iatt.mode === 0o1000 && copy.xattrs['trusted.glusterfs.dht.linkto']),
    );
    expect(files, `${name}, ${where}`).toHaveLength(1);
    for (const copy of copies) {
      if (!copy.ok) continue;
      if (copy !== files[0]) expect(copy.iatt.size, `linkto ${name}, ${where}`).toBe(0);
      else {
        const marks = Object.keys(copy.xattrs).filter((key) => /linkto|moving/.test(key));
        expect(marks, `${name}, ${where}`).toEqual([]);
        expect(copy.iatt.nlink, `${name}, ${where}`).toBe(model.nlink(file));
      }
    }
  }
}

type Ending = 'killed' | 'cut';

/** A mover that ends, or whose link to one brick is cut for a while, after so many requests. */
async function brokenRun(
  all: DistributeRig,
  mover: DistributeRig,
  ending: Ending,
  after: number,
  random: (below: number) => number,
): Promise<void> {
  let left = after;
  let end = () => {};
  const death = new Promise<void>((resolve) => {
    end = resolve;
  });
  const victim = random(mover.doors.length);
  const cut = 1 + random(12);
  let isCut = false;
  for (const [i, door] of mover.doors.entries()) {
    if (ending === 'killed')
      door.dead = () => {
        if (--left < 0) end();
        return left < 0;
      };
    else {
      door.refuse = () => {
        left--;
        if (left <= 0 && !isCut) {
          isCut = true;
          mover.doors[victim]!.closeAll();
          all.endSession(door.session!, victim);
        }
        return i === victim && left <= 0 && left > -cut ? 107 : undefined;
      };
      // The last request before that was done, its answer did not come.
      door.lost = () => i === victim && left <= 0 && left > -cut;
    }
  }
  const run = new Rebalance(mover.d, 'force').run();
  await Promise.race([run, death]);
}

it.each(seeds)(
  'files with several names outlive every end of a rebalance while clients change them (seed %i)',
  async (seed) => {
    const random = randomOf(seed + 5000);
    const { small, all, client, close } = await volume();
    try {
      const model = new Model();
      for (let i = 0; i < 8; i++) {
        const name = model.fresh();
        const data = Buffer.alloc(random(20_000), 48 + i);
        const { gfid, fd } = await create(small, name, data);
        fd.release();
        const file = { gfid, data };
        model.names.set(name, file);
        for (let more = random(5); more > 0; more--) {
          const to = model.fresh();
          const linked = await small.ops.link(small.call, { from: locOf(gfid), to: locAt(rootGfid, to) });
          expect(linked.ok).toBe(true);
          model.names.set(to, file);
        }
      }
      const clients = [await client('one'), await client('two')];
      for (let run = 0; run < runs; run++) {
        const where = `seed ${seed}, run ${run}`;
        if (run > 0 && random(3) > 0) await rotate(all, clients[0]!);
        const session = `mover-${run}`;
        const mover = await client(session);
        let over = false;
        const isBusy = random(2) === 0;
        const work = (async () => {
          while (isBusy && !over) {
            await step(clients[random(2)]!, model, random);
            await nextTurn();
          }
        })();
        await brokenRun(all, mover, random(4) === 0 ? 'cut' : 'killed', 1 + random(1500), random);
        await nextTurn();
        over = true;
        for (const door of mover.doors) door.closeAll();
        all.endSession(session);
        await work;
        // Those who know the old places change names first in one of two.
        if (random(2) === 0) for (let i = 0; i < 12; i++) await step(clients[random(2)]!, model, random);
        await check(random(2) === 0 ? clients[random(2)]! : await client(`fresh-${run}`), model, where);
        for (let i = 0; i < 6; i++) await step(clients[random(2)]!, model, random);
      }
      const status = await new Rebalance((await client('last')).d, 'force').run();
      expect(status, `seed ${seed}`).toMatchObject({ state: 'completed', failures: 0 });
      for (const rig of [...clients, await client('fresh')]) await check(rig, model, `seed ${seed}, end`);
      await checkBricks(all, small.call, model, `seed ${seed}, end`);
    } finally {
      await close();
    }
  },
  120_000,
);
