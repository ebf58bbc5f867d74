import { Errno, Fd, type FopName, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { create, rig } from './test-rig.ts';

const [O_RDONLY, O_RDWR] = [0, 2];

const counted = (client: RigClient, fop: FopName) => client.gates.map((gate) => gate.counts.get(fop) ?? 0);

/** A file of which a reader knows where it may be read, first on brick `first`. */
async function scene(first = 0, options: Record<string, string> = {}) {
  const set = await rig();
  const writer = await set.client();
  const reader = await set.client({ 'read-subvolume-index': String(first), ...options });
  const { fd, gfid } = await create(writer, 'f', 'hello');
  await writer.xlator.drain();
  await reader.ops.lookup(reader.call, { loc: locAt(rootGfid, 'f') });
  const open = async (flags = O_RDONLY, contents?: number) => {
    const to = new Fd(gfid, flags);
    const wanted = contents === undefined ? {} : { contents };
    const reply = await reader.ops.open(reader.call, { loc: locOf(gfid), flags, fd: to, ...wanted });
    return { to, reply, data: reply.ok && reply.data && Buffer.from(reply.data).toString() };
  };
  return { set, writer, reader, fd, gfid, open };
}

const lock = (reader: RigClient, fd: Fd, type: 'read' | 'unlock', lockOwner = 'aa') =>
  reader.ops.lk(
    { ...reader.call, lockOwner },
    { fd, command: 'set', flock: { type, start: 0, length: 0, owner: lockOwner, pid: 1 } },
  );

describe('a file opened to be read', () => {
  it.each([
    [0, [1, 1, 0]],
    [1, [1, 1, 0]],
    [2, [1, 0, 1]],
  ])('is opened on a quorum with replica %i, and comes with its contents from there', async (first, opens) => {
    const { reader, open } = await scene(first);
    const { reply, data } = await open(O_RDONLY, 100);
    expect(counted(reader, 'open').sort()).toEqual([...opens].sort());
    expect(counted(reader, 'open')[first]).toBe(1);
    expect(data).toBe('hello');
    expect(reply).toMatchObject({ ok: true, iatt: { size: 5 } });
  });

  it('brings nothing that was not asked for, or is too large', async () => {
    const { open } = await scene();
    expect((await open()).data).toBeFalsy();
    expect((await open(O_RDONLY, 4)).data).toBeFalsy();
    expect((await open(O_RDONLY, 5)).data).toBe('hello');
  });

  it('is opened on all to be written, and by those who heal and move files', async () => {
    const { reader, gfid, open } = await scene();
    expect((await open(O_RDWR, 100)).data).toBeFalsy();
    expect(counted(reader, 'open')).toEqual([1, 1, 1]);
    const call = { ...reader.call, internal: 'rebalance' as const };
    await reader.ops.open(call, { loc: locOf(gfid), flags: O_RDONLY, fd: new Fd(gfid, O_RDONLY) });
    expect(counted(reader, 'open')).toEqual([2, 2, 2]);
  });

  it('is opened on all while it is not known who may be read', async () => {
    const { reader, gfid, open } = await scene();
    reader.xlator.notify({ type: 'upcall', gfid, what: 'accused' }, reader.gates[1]!);
    expect((await open(O_RDONLY, 100)).data).toBeFalsy();
    expect(counted(reader, 'open')).toEqual([1, 1, 1]);
  });

  it('is opened on all where any replica alone may be written', async () => {
    const { reader, open } = await scene(0, { 'quorum-type': 'none' });
    await open();
    expect(counted(reader, 'open')).toEqual([1, 1, 1]);
  });

  it('is opened on the others where one of the few fails', async () => {
    const { reader, open } = await scene();
    reader.gates[1]!.fault = (fop) => (fop === 'open' ? Errno.EIO : 'pass');
    const { reply, data } = await open(O_RDONLY, 100);
    expect(reply.ok).toBe(true);
    expect(data).toBeFalsy();
    expect(counted(reader, 'open')).toEqual([1, 0, 1]);
  });

  it('does not come with the contents of a replica that missed a write which it has not heard of', async () => {
    const { set, writer, reader, fd, gfid, open } = await scene();
    writer.gates[0]!.shutDoor();
    // Nobody tells the reader.
    for (const { top } of set.bricks) for (const gate of reader.gates) top.gates.delete(gate);
    const later = { ...writer.call, time: { sec: writer.call.time.sec + 1, nsec: 0 } };
    expect(await writer.ops.writev(later, { fd, offset: 0, data: Buffer.from('other') })).toMatchObject({ ok: true });
    const { to, reply, data } = await open(O_RDONLY, 100);
    expect(data).toBeFalsy();
    expect(reply).toEqual({ ok: true });
    const read = await reader.ops.readv(reader.call, { fd: to, size: 100, offset: 0 });
    expect(read.ok && Buffer.from(read.data).toString()).toBe('other');
    expect(gfid).toBe(to.gfid);
  });

  it('lives on without a name, also where one that has it open goes', async () => {
    const { writer, reader, gfid, open } = await scene();
    const { to } = await open();
    await writer.ops.unlink(writer.call, { loc: locAt(rootGfid, 'f', gfid as Gfid) });
    reader.gates[0]!.shutDoor();
    const read = await reader.ops.readv(reader.call, { fd: to, size: 100, offset: 0 });
    expect(read.ok && Buffer.from(read.data).toString()).toBe('hello');
  });

  it('is opened on the others before it is locked, so that the lock ends with it everywhere', async () => {
    const { set, reader, open } = await scene();
    const { to } = await open();
    const locked = await Promise.all([lock(reader, to, 'read'), lock(reader, to, 'read', 'bb')]);
    expect(locked.map((reply) => reply.ok)).toEqual([true, true]);
    expect(counted(reader, 'open')).toEqual([1, 1, 1]);
    to.release();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const flock = { type: 'write' as const, start: 0, length: 0, owner: 'cc', pid: 2 };
    for (const { ops } of set.bricks)
      expect(await ops.lk({ ...reader.call, lockOwner: 'cc' }, { fd: to, command: 'get', flock })).toMatchObject({
        flock: { type: 'unlock' },
      });
  });
});
