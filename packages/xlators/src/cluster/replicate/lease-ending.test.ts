import { Errno, type Gfid, locAt, locOf, type RawStep, rootGfid } from '@mortar/core';
import { ReplicaRig, type RigClient } from '@mortar/testing/replica-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSync, decodeSynced, encodeSync, encodeSynced, syncMax } from '../../lib/sync-request.ts';
import { create, marks, rig, rigs } from './test-rig.ts';

const lazy = { 'post-op-delay-secs': '60' };

async function files(client: RigClient, count: number): Promise<Gfid[]> {
  const made: Gfid[] = [];
  for (let i = 0; i < count; i++) {
    const { fd, gfid } = await create(client, `f${i}`, 'text');
    fd.release();
    made.push(gfid);
  }
  await client.xlator.drain();
  return made;
}

const chmod = (client: RigClient, gfid: Gfid, mode: number) =>
  client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode } });

const countsOf = (client: RigClient, brick: number) => new Map(client.gates[brick]!.counts);

/** Nobody holds a lock on it, and nothing is left to settle. */
async function isFree(gfid: Gfid): Promise<void> {
  const other = await rigs.at(-1)!.client({ 'post-op-delay-secs': '0' });
  expect(await chmod(other, gfid, 0o700)).toMatchObject({ ok: true });
  await other.xlator.drain();
}

describe('leases that end together', () => {
  it('share their requests: of a storage that can, one to sync and one to settle', async () => {
    const posix = await ReplicaRig.make(3, 'posix');
    rigs.push(posix);
    const client = await posix.client(lazy);
    const gfids = await files(client, 20);
    for (const gfid of gfids) expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true });
    const before = countsOf(client, 0);
    await client.xlator.drain();
    const after = countsOf(client, 0);
    const asked = (fop: 'ipc' | 'fsync' | 'compound') => (after.get(fop) ?? 0) - (before.get(fop) ?? 0);
    expect([asked('ipc'), asked('fsync'), asked('compound')]).toEqual([1, 0, 1]);
    for (const gfid of gfids)
      for (const brick of posix.bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    await isFree(gfids[0]!);
  });

  it('are synced one by one where storage knows nothing else, and settled together', async () => {
    await rig();
    const client = await rigs[0]!.client(lazy);
    const gfids = await files(client, 40);
    for (const gfid of gfids) await chmod(client, gfid, 0o600);
    const before = countsOf(client, 1);
    await client.xlator.drain();
    const after = countsOf(client, 1);
    const asked = (fop: 'fsync' | 'compound') => (after.get(fop) ?? 0) - (before.get(fop) ?? 0);
    expect([asked('fsync'), asked('compound')]).toEqual([40, 2]);
    for (const gfid of gfids) expect(await marks(rigs[0]!.bricks[1]!, client.call, gfid)).toEqual({});
    await isFree(gfids[39]!);
  });

  it('do not suffer from one among them: the others are settled, and all are free', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 4 }), async (bad) => {
        const one = await rig();
        const client = await one.client(lazy);
        const gfids = await files(client, 10);
        for (const gfid of gfids) await chmod(client, gfid, 0o600);
        // Gone from brick 2 behind everybody's back: their marks there cannot be written.
        const storage = one.bricks[2]!;
        for (const i of bad) {
          const gone = { loc: { ...locAt(rootGfid, `f${i}`), gfid: gfids[i]! } };
          expect(await storage.ops.unlink(client.call, gone)).toMatchObject({ ok: true });
        }
        await client.xlator.drain();
        for (const [i, gfid] of gfids.entries()) {
          const left = await marks(storage, client.call, gfid);
          expect(left).toEqual(bad.includes(i) ? { errno: expect.anything() } : {});
          expect(await marks(one.bricks[0]!, client.call, gfid)).toEqual({});
        }
        for (const gfid of gfids) await isFree(gfid);
      }),
      { numRuns: 6 },
    );
  });

  it('blame who could not sync one of them, for that one alone', async () => {
    await rig();
    const client = await rigs[0]!.client(lazy);
    const [good, bad] = await files(client, 2);
    await chmod(client, good!, 0o600);
    await chmod(client, bad!, 0o600);
    client.gates[1]!.fault = (fop, args) =>
      fop === 'fsync' && (args as { fd: { gfid: Gfid } }).fd.gfid === bad ? Errno.EIO : 'pass';
    await client.xlator.drain();
    const onFirst = (gfid: Gfid) => marks(rigs[0]!.bricks[0]!, client.call, gfid);
    expect(await onFirst(good!)).toEqual({});
    expect(Object.keys(await onFirst(bad!))).toEqual(['vol-client-1']);
  });

  it('lose a brick before it answers: their locks there are given back when it returns', async () => {
    await rig();
    const client = await rigs[0]!.client(lazy);
    const gfids = await files(client, 5);
    for (const gfid of gfids) await chmod(client, gfid, 0o600);
    const isEnd = (args: unknown) => (args as { steps: RawStep[] }).steps.at(-1)!.fop === 'inodelk';
    client.gates[2]!.fault = (fop, args) => (fop === 'compound' && isEnd(args) ? 'drop-request' : 'pass');
    await client.xlator.drain();
    client.gates[2]!.fault = () => 'pass';
    client.gates[2]!.shutDoor(false);
    client.gates[2]!.openDoor();
    for (const gfid of gfids) await isFree(gfid);
  });
});

describe('the request to sync many', () => {
  it('is read as it was written, and nothing else is taken for one', () => {
    const gfid = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(fc.array(gfid, { minLength: 1, maxLength: syncMax }), (ids) => {
        const data = Buffer.concat(ids);
        const gfids = decodeSync(data)!;
        expect(gfids).toHaveLength(ids.length);
        expect(encodeSync(gfids)).toEqual(data);
        expect(decodeSync(data.subarray(1))).toBeNull();
      }),
      { numRuns: 50 },
    );
    expect([undefined, Buffer.alloc(0), Buffer.alloc(16 * (syncMax + 1))].map(decodeSync)).toEqual([null, null, null]);
    expect(decodeSynced(encodeSynced([0, 5, 28]), 3)).toEqual([0, 5, 28]);
    expect([decodeSynced(undefined, 1), decodeSynced(Buffer.alloc(2), 1)]).toEqual([null, null]);
  });
});
