/** What the kernel does by itself with owners, modes, ACLs and capabilities must not show in a file that is moved. */
import { type Args, Errno, type FopName, locAt, locOf, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { fixLayout } from './fix-layout.ts';
import { content, create, list, looks, volume } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** cap_net_raw=ep */
const netRaw = Buffer.from('0100000200200000000000000000000000000000', 'hex');

function entry(tag: number, permissions: number, id = 0xffff_ffff): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(tag, 0);
  bytes.writeUInt16LE(permissions, 2);
  bytes.writeUInt32LE(id, 4);
  return bytes;
}

/** u::rw- u:12:r-x g::r-- m::rwx o::--- */
const acl = Buffer.concat([
  Buffer.from([2, 0, 0, 0]),
  ...[entry(0x01, 6), entry(0x02, 5, 12), entry(0x04, 4), entry(0x10, 7), entry(0x20, 0)],
]);

/** A file on one of two bricks that belongs on the third by now, and a mover that takes it there. */
async function start(isSmall: boolean) {
  const { small, all, client, close } = await volume();
  ends.push(close);
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const made = new Map<string, Awaited<ReturnType<typeof create>>>();
  for (const name of names) made.set(name, await create(small, name, Buffer.from('old')));
  const mover = await client('mover');
  await fixLayout(mover.d, mover.call, rootGfid);
  const places = await Promise.all(names.map((name) => mover.d.hashedOf(mover.call, rootGfid, name)));
  const name = names[places.indexOf(2)]!;
  const { gfid, fd } = made.get(name)!;
  const from = (await small.onBrick(0, `/${name}`)) ? 0 : 1;
  const file = { parent: rootGfid, name, gfid, from, to: 2 };
  const loc = locOf(gfid);
  const move = async () => {
    const found = await all.bricks[from]!.lookup(mover.call, { loc, want: ['trusted.glusterfs.dht.*'] });
    if (!found.ok) throw new Error(`errno ${found.errno}`);
    return migrateFile(mover.d, mover.call, file, isSmall ? { iatt: found.iatt, xattrs: found.xattrs } : undefined);
  };
  const set = async (name: string, value: Buffer) => {
    const attr = { mode: 0o4750, uid: 12, gid: 34 };
    expect((await small.ops.setattr(small.call, { loc, attr })).ok).toBe(true);
    expect((await small.ops.setxattr(small.call, { loc, xattrs: { [name]: value }, flags: 0 })).ok).toBe(true);
  };
  return { small, all, client, mover, name, gfid, fd, move, set };
}

describe.runIf(process.getuid?.() === 0).each([
  ['a small file', true],
  ['any file', false],
] as const)('%s that is moved', (_what, isSmall) => {
  it.each([
    ['capabilities', 'security.capability', netRaw],
    ['ACL', 'system.posix_acl_access', acl],
  ] as const)('keeps its %s', async (_name, xattr, value) => {
    const { client, name, set, move, fd } = await start(isSmall);
    fd.release();
    await set(xattr, value);
    const before = await looks(await client('before'), name);
    expect(before).toMatchObject({ xattrs: [`${xattr}=${value.toString('hex')}`] });
    expect(await move()).toMatchObject({ outcome: 'moved' });
    expect(await looks(await client('after'), name)).toEqual(before);
  });

  it('has no second copy that looks like the file, when it has an ACL and its mover was killed', async () => {
    const { small, all, client, mover, name, gfid, fd, set, move } = await start(isSmall);
    await set('system.posix_acl_access', acl);
    for (const door of mover.doors) door.refuse = (fop, args) => killAtMark(fop, args, () => (door.dead = () => true));
    void move();
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const door of mover.doors) door.dead = () => true;
    all.endSession('mover');
    const wrote = await small.ops.writev(small.call, { fd, offset: 0, data: Buffer.from('new') });
    expect(wrote.ok).toBe(true);
    const fresh = await client('fresh');
    expect((await content(fresh, name)).toString()).toBe('new');
    const loc = locAt(rootGfid, name, gfid);
    expect(await fresh.ops.unlink(fresh.call, { loc })).toMatchObject({ ok: true });
    expect(await list(await client('last'))).not.toContain(name);
  });
});

/** The copy is whole; nothing tells yet that it is to be the file. */
function killAtMark(fop: FopName, args: unknown, kill: () => void): Errno | undefined {
  const { xattrs = {} } = args as Partial<Args<'setxattr'>>;
  if (fop !== 'setxattr' || xattrs['trusted.glusterfs.dht.moving-mode'] === undefined) return undefined;
  kill();
  return Errno.ENOTCONN;
}
