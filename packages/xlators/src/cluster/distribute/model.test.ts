/** Random changes of names against a plain map, seen by the client that makes them and by one that comes fresh. */
import { Errno, Fd, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type DistributeRig, distributeRig } from './rig.ts';

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
const where = fc.constantFrom('', 'x', 'y');
const place = fc.record({ dir: where, name });
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('create' as const), at: place }) },
  { weight: 6, arbitrary: fc.record({ what: fc.constant('rename' as const), at: place, to: place }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('exchange' as const), at: place, to: place }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('link' as const), at: place, to: place }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('unlink' as const), at: place }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('remount' as const) }) },
);

/** Which file a path leads to. */
type Model = Map<string, Gfid>;
type Place = { dir: string; name: string };
const key = ({ dir, name }: Place) => `${dir}/${name}`;

class Client {
  readonly rig: DistributeRig;
  readonly dirs: ReadonlyMap<string, Gfid>;

  constructor(rig: DistributeRig, dirs: ReadonlyMap<string, Gfid>) {
    this.rig = rig;
    this.dirs = dirs;
  }

  loc({ dir, name }: Place, gfid: Gfid | null = null) {
    return locAt(this.dirs.get(dir)!, name, gfid);
  }

  async create(at: Place): Promise<Gfid | Errno> {
    const gfid = this.rig.gfid();
    const fd = new Fd(gfid, 2);
    const mode = (FileType.regular << 12) | 0o644;
    const { ops, call } = this.rig;
    const reply = await ops.create(call, { loc: this.loc(at), flags: 0o302, mode, gfid, fd });
    if (!reply.ok) return reply.errno;
    await ops.writev(call, { fd, offset: 0, data: Buffer.from(gfid) });
    fd.release();
    return gfid;
  }

  /** The gfid that is written in a file; its attributes have to agree. */
  async read(at: Place): Promise<Gfid | Errno> {
    const { ops, call } = this.rig;
    const found = await ops.lookup(call, { loc: this.loc(at) });
    if (!found.ok) return found.errno;
    const { gfid } = found.iatt;
    const fd = new Fd(gfid, 0);
    await ops.open(call, { loc: locOf(gfid), flags: 0, fd });
    const reply = await ops.readv(call, { fd, size: 100, offset: 0 });
    fd.release();
    if (!reply.ok) return reply.errno;
    expect(Buffer.from(reply.data).toString()).toBe(gfid);
    return gfid;
  }
}

async function check(client: Client, model: Model): Promise<void> {
  for (const dir of ['', 'x', 'y'])
    for (const one of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
      const at = { dir, name: one };
      expect(await client.read(at), key(at)).toBe(model.get(key(at)) ?? Errno.ENOENT);
    }
  // A file's data is once on the bricks under each of its names; linktos point to it.
  for (const [path] of model) {
    const kinds = await Promise.all(
      client.rig.bricks.map(async (_, i) => {
        const found = await client.rig.onBrick(i, path);
        return !found ? 'none' : found.xattrs['trusted.glusterfs.dht.linkto'] ? 'linkto' : 'data';
      }),
    );
    expect(
      kinds.filter((kind) => kind === 'data'),
      path,
    ).toHaveLength(1);
  }
}

async function run(
  client: Client,
  model: Model,
  one: Exclude<typeof action extends fc.Arbitrary<infer A> ? A : never, { what: 'remount' }>,
) {
  const { ops, call } = client.rig;
  const known = model.get(key(one.at));
  if (one.what === 'create') {
    const made = await client.create(one.at);
    if (known) expect(made).toBe(Errno.EEXIST);
    else model.set(key(one.at), made as Gfid);
  } else if (one.what === 'unlink') {
    const reply = await ops.unlink(call, { loc: client.loc(one.at) });
    expect(reply.ok).toBe(known !== undefined);
    model.delete(key(one.at));
  } else if (one.what === 'link') {
    if (!known) return;
    const reply = await ops.link(call, { from: locOf(known), to: client.loc(one.to) });
    expect(reply.ok).toBe(!model.has(key(one.to)));
    if (reply.ok) model.set(key(one.to), known);
  } else {
    const target = model.get(key(one.to));
    const flags = one.what === 'exchange' ? 2 : 0;
    const reply = await ops.rename(call, { from: client.loc(one.at), to: client.loc(one.to), flags });
    if (key(one.at) === key(one.to)) return;
    expect(reply.ok).toBe(known !== undefined && (one.what === 'rename' || target !== undefined));
    if (!reply.ok || !known || known === target) return;
    model.set(key(one.to), known);
    if (one.what === 'exchange') model.set(key(one.at), target!);
    else model.delete(key(one.at));
  }
}

/** Which request of an operation fails. */
const fault = fc.record({ nth: fc.nat(12), errno: fc.constantFrom(Errno.EIO, Errno.ENOTCONN) });

it('a file is never lost, whichever request of an operation fails', async () => {
  const step = fc.record({ one: action, fault: fc.option(fault) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const rig = await distributeRig();
      await rig.walk('/');
      const dirs = new Map<string, Gfid>([['', rootGfid]]);
      for (const dir of ['x', 'y']) {
        const gfid = rig.gfid();
        const mode = (FileType.directory << 12) | 0o755;
        await rig.ops.mkdir(rig.call, { loc: locAt(rootGfid, dir), mode, gfid });
        dirs.set(dir, gfid);
      }
      const client = new Client(rig, dirs);
      const model: Model = new Map();
      for (const { one, fault } of steps) {
        if (one.what === 'remount' || one.what === 'exchange') continue;
        if (!fault) {
          await run(client, model, one);
          continue;
        }
        let left = fault.nth;
        for (const door of rig.doors) door.refuse = (fop) => (!isLock(fop) && left-- === 0 ? fault.errno : undefined);
        const before = one.what === 'create' ? undefined : model.get(key(one.at));
        await act(client, one);
        for (const door of rig.doors) door.refuse = () => undefined;
        const fresh = new Client(await distributeRig({ over: rig }), dirs);
        const places = 'to' in one ? [one.at, one.to] : [one.at];
        const now = await Promise.all(places.map((at) => gfidAt(fresh, at)));
        if (before && one.what !== 'unlink') expect(now, JSON.stringify({ one, fault })).toContain(before);
        if (before && one.what === 'unlink') expect([before, null]).toContain(now[0]);
        places.forEach((at, i) => {
          const known = [before, model.get(key(at)), null];
          if (one.what !== 'create') expect(known, JSON.stringify({ one, fault })).toContain(now[i]);
          if (now[i]) model.set(key(at), now[i]!);
          else model.delete(key(at));
        });
        // What an unfinished create left has no contents to compare.
        if (one.what === 'create' && now[0]) {
          await rig.ops.unlink(rig.call, { loc: client.loc(one.at) });
          model.delete(key(one.at));
        }
      }
      const fresh = new Client(await distributeRig({ over: rig }), dirs);
      for (const [path, gfid] of model) {
        const [dir, name] = path.split('/') as [string, string];
        expect(await gfidAt(fresh, { dir, name }), path).toBe(gfid);
      }
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
});

function isLock(fop: string): boolean {
  return fop === 'entrylk' || fop === 'inodelk';
}

async function gfidAt(client: Client, at: Place): Promise<Gfid | null> {
  const { ops, call } = client.rig;
  const found = await ops.lookup(call, { loc: client.loc(at) });
  if (found.ok) return found.iatt.gfid;
  expect(found.errno).toBe(Errno.ENOENT);
  return null;
}

async function act(client: Client, one: Parameters<typeof run>[2]): Promise<void> {
  const { ops, call } = client.rig;
  if (one.what === 'create') await client.create(one.at);
  else if (one.what === 'unlink') await ops.unlink(call, { loc: client.loc(one.at) });
  else if (one.what === 'rename')
    await ops.rename(call, { from: client.loc(one.at), to: client.loc(one.to), flags: 0 });
  else if (one.what === 'link') {
    const found = await ops.lookup(call, { loc: client.loc(one.at) });
    if (found.ok) await ops.link(call, { from: locOf(found.iatt.gfid), to: client.loc(one.to) });
  }
}

it('names lead where they should, whatever was done to them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 30 }), async (actions) => {
      const first = await distributeRig();
      await first.walk('/');
      const dirs = new Map<string, Gfid>([['', rootGfid]]);
      for (const dir of ['x', 'y']) {
        const gfid = first.gfid();
        const mode = (FileType.directory << 12) | 0o755;
        await first.ops.mkdir(first.call, { loc: locAt(rootGfid, dir), mode, gfid });
        dirs.set(dir, gfid);
      }
      const model: Model = new Map();
      let client = new Client(first, dirs);
      for (const one of actions) {
        if (one.what === 'remount') client = new Client(await distributeRig({ over: first }), dirs);
        else await run(client, model, one);
      }
      await check(client, model);
      await check(new Client(await distributeRig({ over: first }), dirs), model);
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
});
