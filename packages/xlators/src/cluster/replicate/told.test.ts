/** Attributes in replies, of a file that one replica has otherwise. */
import { Fd, type Gfid, type Iatt, locAt, locOf, rootGfid } from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { create, isWrite, mkdir, rig, rigs, write, writesOnly } from './test-rig.ts';

type Client = Awaited<ReturnType<(typeof rigs)[0]['client']>>;
/** Kept dirty by nobody: a lease ends with its change. Each replica in turn is the one that is asked first. */
const settings = { 'post-op-delay-secs': '0', 'self-heal-daemon': 'off' };

const iattIn = (reply: { ok: boolean }, field: string): Iatt => {
  expect(reply).toMatchObject({ ok: true });
  return (reply as unknown as Record<string, Iatt>)[field]!;
};

describe.each([0, 1, 2])('of a file whose contents replica %i has a part of', (behind) => {
  let client: Client;
  let gfid: Gfid;
  let fd: Fd;
  const named = (name: string) => locAt(rootGfid, name, gfid);

  beforeEach(async () => {
    await rig();
    client = await rigs[0]!.client({ ...settings, 'read-subvolume-index': String(behind) });
    ({ gfid, fd } = await create(client, 'f', ''));
    await client.xlator.drain();
    client.gates[behind]!.fault = writesOnly(2);
    expect(await write(client, fd, 'whole')).toMatchObject({ ok: true, written: 5, post: { size: 5 } });
    client.gates[behind]!.fault = () => 'pass';
    await client.xlator.drain();
  });

  it('changes of attributes and of the file tell how long it is', async () => {
    const { ops, call } = client;
    const loc = locOf(gfid);
    const sizes = async (reply: { ok: boolean }) => [iattIn(reply, 'pre').size, iattIn(reply, 'post').size];
    expect(await sizes(await ops.setattr(call, { loc, attr: { mode: 0o600 } }))).toEqual([5, 5]);
    await client.xlator.drain();
    expect(await sizes(await ops.fsetattr(call, { fd, attr: { mtime: { sec: 7, nsec: 0 } } }))).toEqual([5, 5]);
    expect(await sizes(await ops.fsync(call, { fd, dataOnly: false }))).toEqual([5, 5]);
    expect(await sizes(await write(client, fd, 'W'))).toEqual([5, 5]);
  });

  it('new names tell how long it is, also where nothing is known of it any more', async () => {
    const { ops, call } = client;
    const linked = await ops.link(call, { from: named('f'), to: locAt(rootGfid, 'g') });
    expect(iattIn(linked, 'iatt')).toMatchObject({ gfid, size: 5, nlink: 2 });
    rigs[0]!.cut((behind + 1) % 3);
    rigs[0]!.join((behind + 1) % 3);
    const moved = await ops.rename(call, { from: named('g'), to: locAt(rootGfid, 'h'), flags: 0 });
    expect(iattIn(moved, 'iatt')).toMatchObject({ gfid, size: 5, nlink: 2 });
  });
});

describe.each([0, 1, 2])('of a file whose attributes replica %i missed a change of', (behind) => {
  let client: Client;
  let gfid: Gfid;
  let fd: Fd;

  beforeEach(async () => {
    await rig();
    client = await rigs[0]!.client({ ...settings, 'read-subvolume-index': String(behind) });
    ({ gfid, fd } = await create(client, 'f', 'data'));
    await client.xlator.drain();
    rigs[0]!.cut(behind);
    expect(await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o600 } })).toMatchObject({
      ok: true,
    });
    await client.xlator.drain();
    rigs[0]!.join(behind);
    expect(await client.ops.lookup(client.call, { loc: locOf(gfid) })).toMatchObject({ ok: true });
  });

  it('changes of its data, and its contents, tell what they are', async () => {
    const { ops, call } = client;
    expect(await write(client, fd, 'more')).toMatchObject({ pre: { mode: 0o600 }, post: { mode: 0o600 } });
    expect(await ops.readv(call, { fd, size: 10, offset: 0 })).toMatchObject({ iatt: { mode: 0o600 } });
    expect(await ops.fsync(call, { fd, dataOnly: false })).toMatchObject({ post: { mode: 0o600 } });
  });

  it('an open tells what they are, or nothing', async () => {
    const reading = new Fd(gfid, 0);
    const opened = await client.ops.open(client.call, { loc: locOf(gfid), flags: 0, fd: reading, contents: 4096 });
    expect(opened).toMatchObject({ ok: true, iatt: { mode: 0o600 } });
    reading.release();
  });
});

describe('of a file of which nobody has all', () => {
  it('are put together', async () => {
    await rig();
    const client = await rigs[0]!.client(settings);
    const { gfid, fd } = await create(client, 'f', 'old');
    await client.xlator.drain();
    const loc = locOf(gfid);
    rigs[0]!.cut(0);
    await client.ops.setattr(client.call, { loc, attr: { mode: 0o600 } });
    await client.xlator.drain();
    rigs[0]!.join(0);
    for (const gate of client.gates.slice(1, 2)) gate.fault = (fop, args) => (isWrite(fop, args) ? 28 : 'pass');
    expect(await write(client, fd, 'longer')).toMatchObject({ ok: true, post: { mode: 0o600, size: 6 } });
    await client.xlator.drain();
    rigs[0]!.cut(2);
    // Replica 0 has the data, replica 1 the attributes.
    const both = { mode: 0o600, size: 6 };
    expect(await client.ops.lookup(client.call, { loc })).toMatchObject({ ok: true, iatt: both });
    expect(await client.ops.readv(client.call, { fd, size: 10, offset: 0 })).toMatchObject({ iatt: both });
    const named = locAt(rootGfid, 'f', gfid);
    const moved = { from: named, to: locAt(rootGfid, 'g'), flags: 0 };
    expect(await client.ops.rename(client.call, moved)).toMatchObject({ iatt: both });
  });
});

describe('of a directory that one replica has otherwise', () => {
  it.each([0, 1, 2])('come from the others, also with a name in it (replica %i)', async (behind) => {
    await rig();
    const client = await rigs[0]!.client({ ...settings, 'read-subvolume-index': String(behind) });
    const gfid = await mkdir(client, 'd');
    const { gfid: file } = await create(client, 'f', '', gfid);
    await client.xlator.drain();
    rigs[0]!.cut(behind);
    await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o700 } });
    await client.xlator.drain();
    rigs[0]!.join(behind);
    await client.ops.lookup(client.call, { loc: locAt(rootGfid, 'd') });
    const right = { gfid, mode: 0o700 };
    const seen = await client.ops.lookup(client.call, { loc: locAt(gfid, 'f') });
    expect(seen).toMatchObject({ ok: true, iatt: { gfid: file }, postParent: right });
    const made = { loc: locAt(gfid, 'g'), mode: 0o644, rdevMajor: 0, rdevMinor: 0, gfid: rigs[0]!.newGfid() };
    expect(await client.ops.mknod(client.call, { ...made, mode: 0o100644 })).toMatchObject({
      preParent: right,
      postParent: right,
    });
    expect(await client.ops.unlink(client.call, { loc: locAt(gfid, 'f', file) })).toMatchObject({ postParent: right });
  });
});
