import { Errno, type Gfid, locOf } from '@mortar/core';
import type { Fault } from '@mortar/testing/gate.ts';
import type { RigBrick, RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { create, marks, rig, rigs } from './test-rig.ts';

/** A file that nobody has a lease on. */
async function coldFile(client: RigClient): Promise<Gfid> {
  const { fd, gfid } = await create(client, 'f', 'text');
  fd.release();
  await client.xlator.drain();
  return gfid;
}

const chmod = (client: RigClient, gfid: Gfid, mode: number) =>
  client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode } });

const requests = ({ gates }: RigClient) =>
  gates.map((gate) => [...gate.counts.values()].reduce((sum, count) => sum + count, 0));

const modes = (bricks: readonly RigBrick[], client: RigClient, gfid: Gfid) =>
  Promise.all(
    bricks.map(async (brick) => {
      const reply = await brick.ops.stat(client.call, { loc: locOf(gfid) });
      return reply.ok ? reply.iatt.mode : reply.errno;
    }),
  );

const dirty = (metadata: number) => ({ dirty: `00000000${metadata.toString(16).padStart(8, '0')}00000000` });

/** What a replica answers that cannot do one kind of operation, alone or as a step. */
const refusing = (bad: string): Fault => {
  const elsewhere = { loc: { gfid: '00000000-0000-4000-8000-00000000dead' } };
  return (fop, args) => {
    if (fop === bad) return Errno.EIO;
    const { steps = [] } = args as { steps?: { fop: string; args: object }[] };
    for (const step of steps)
      if (step.fop === bad) step.args = { ...step.args, loc: { ...locOf(elsewhere.loc.gfid as Gfid) } };
    return 'pass';
  };
};

describe('the first change of a lease', () => {
  it('travels with the request for it under the fence of that lock, is marked first, and settled when the lease ends', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const gfid = await coldFile(client);
    const steps: unknown[] = [];
    client.gates[0]!.fault = (_fop, args) => {
      steps.push(...((args as { steps?: object[] }).steps ?? []));
      return 'pass';
    };
    const before = requests(client);
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true, post: { mode: 0o600 } });
    expect(requests(client).map((count, i) => count - before[i]!)).toEqual([1, 1, 1]);
    expect(steps).toMatchObject([
      { fop: 'inodelk' },
      { fop: 'lookup', args: { xdata: { ifQuiet: true } } },
      { fop: 'xattrop', args: { xdata: { underGrant: true } } },
      { fop: 'setattr', args: { xdata: { underGrant: true } } },
    ]);
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual(dirty(1));
    expect(await chmod(client, gfid, 0o640)).toMatchObject({ ok: true });
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual(dirty(1));
    await client.xlator.drain();
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    expect(await modes(bricks, client, gfid)).toEqual([0o640, 0o640, 0o640]);
  });

  it('goes under the name of who makes it, with the request for it that is made in his name', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const gfid = await coldFile(client);
    const asked: unknown[] = [];
    client.gates[0]!.fault = (fop, args, { uid, gid, groups, pid }) => {
      const { steps = [] } = args as { steps?: { fop: string }[] };
      asked.push([fop, steps.map((step) => step.fop), { uid, gid, groups, pid }]);
      return 'pass';
    };
    const who = { uid: 1000, gid: 100, groups: [27, 44], pid: 4711 };
    const args = { loc: locOf(gfid), attr: { mode: 0o600 } };
    expect(await client.ops.setattr({ ...client.call, ...who }, args)).toMatchObject({ ok: true });
    expect(asked).toEqual([['compound', ['inodelk', 'lookup', 'xattrop', 'setattr'], who]]);
    // Given back as the client's own: whoever that was may be gone.
    await client.xlator.drain();
    expect(asked.slice(1).every((one) => (one as [string, string[], { uid: number }])[2].uid === 0)).toBe(true);
  });

  it('goes by itself where it is who moves the file: bricks let nobody else', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const gfid = await coldFile(client);
    const asked: unknown[] = [];
    client.gates[0]!.fault = (fop, args, { internal }) => {
      const { steps = [] } = args as { steps?: { fop: string }[] };
      asked.push([[{ fop }, ...steps].some((step) => step.fop === 'setattr'), internal]);
      return 'pass';
    };
    const call = { ...client.call, internal: 'rebalance' as const };
    expect(await client.ops.setattr(call, { loc: locOf(gfid), attr: { mode: 0o600 } })).toMatchObject({ ok: true });
    expect(asked).toEqual([
      [false, undefined],
      [true, 'rebalance'],
    ]);
  });

  it('is done once where one that did it goes before the others have answered, and that one is blamed', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await coldFile(client);
    const [first, , third] = client.gates;
    let times = 0;
    first!.fault = (fop, args) => {
      const { steps = [] } = args as { steps?: { fop: string }[] };
      times += [{ fop }, ...steps].filter((step) => step.fop === 'setattr').length;
      return 'pass';
    };
    first!.late = (fop) => {
      if (fop !== 'compound') return undefined;
      first!.late = () => undefined;
      return new Promise((resolve) => {
        setTimeout(() => {
          third!.shutDoor();
          resolve();
        }, 20);
      });
    };
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true });
    await client.xlator.drain();
    expect(times).toBe(1);
    expect(await modes(bricks, client, gfid)).toEqual([0o600, 0o600, 0o600]);
    const blame = { 'vol-client-2': '000000000000000100000000' };
    const found = await Promise.all(bricks.map((brick) => marks(brick, client.call, gfid)));
    expect(found).toEqual([blame, blame, dirty(1)]);
  });

  it('is not done by a lease that others have, and waits for them', async () => {
    const { bricks } = await rig();
    const [one, other] = [await rigs[0]!.client({ 'post-op-delay-secs': '60' }), await rigs[0]!.client()];
    const gfid = await coldFile(one);
    expect(await chmod(one, gfid, 0o600)).toMatchObject({ ok: true });
    expect(await chmod(other, gfid, 0o640)).toMatchObject({ ok: true });
    await other.xlator.drain();
    expect(await modes(bricks, one, gfid)).toEqual([0o640, 0o640, 0o640]);
    for (const brick of bricks) expect(await marks(brick, one.call, gfid)).toEqual({});
  });

  it('waits for the lease where another client asked for it lately: both at once would each begin on another replica', async () => {
    await rig();
    const [one, other] = [await rigs[0]!.client(), await rigs[0]!.client()];
    const gfid = await coldFile(one);
    expect(await chmod(other, gfid, 0o600)).toMatchObject({ ok: true });
    await other.xlator.drain();
    const before = requests(one);
    expect(await chmod(one, gfid, 0o640)).toMatchObject({ ok: true });
    expect(requests(one).map((count, i) => count - before[i]!)).toEqual([2, 2, 2]);
  });

  it('is not done where a replica is marked before it: the transaction that knows the marks does it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await coldFile(client);
    const accused = { 'trusted.afr.vol-client-2': Buffer.from('000000000000000100000000', 'hex') };
    await bricks[0]!.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values: accused });
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true });
    await client.xlator.drain();
    expect(await modes(bricks, client, gfid)).toEqual([0o600, 0o600, 0o600]);
    expect(await marks(bricks[0]!, client.call, gfid)).toMatchObject({ 'vol-client-2': '000000000000000100000000' });
    // Two did it with their locks, the first when it was known: what they may have had alone heal looks at.
    expect(await marks(bricks[1]!, client.call, gfid)).toEqual(dirty(1));
  });

  it('blames who could not do it, before the caller hears of success', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await coldFile(client);
    client.gates[1]!.fault = refusing('setattr');
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true });
    for (const good of [0, 2])
      expect(await marks(bricks[good]!, client.call, gfid)).toMatchObject({
        'vol-client-1': '000000000000000100000000',
      });
    expect(await modes(bricks, client, gfid)).toEqual([0o600, 0o644, 0o600]);
    client.gates[1]!.fault = () => 'pass';
    await client.xlator.drain();
  });

  it('leaves no mark where all refuse it alike', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await coldFile(client);
    for (const gate of client.gates) gate.fault = refusing('setattr');
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: false });
    for (const gate of client.gates) gate.fault = () => 'pass';
    await client.xlator.drain();
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it('that won on one replica only is done again on all, and what it had alone is known', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const other = await rigs[0]!.client();
    const gfid = await coldFile(client);
    const flock = { type: 'write' as const, start: 0, length: 0, pid: 0, owner: 'other' };
    const lock = { loc: locOf(gfid), domain: 'replicate', flock };
    const held = { ...other.call, lockOwner: 'other' };
    const domain = client.xlator.name;
    for (const i of [1, 2])
      expect(await bricks[i]!.ops.inodelk(held, { ...lock, domain, command: 'try' })).toMatchObject({ ok: true });
    const changed = chmod(client, gfid, 0o600);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await marks(bricks[0]!, client.call, gfid)).toEqual(dirty(1));
    for (const i of [1, 2])
      await bricks[i]!.ops.inodelk(held, { ...lock, domain, command: 'unlock', flock: { ...flock, type: 'unlock' } });
    expect(await changed).toMatchObject({ ok: true });
    await client.xlator.drain();
    expect(await modes(bricks, client, gfid)).toEqual([0o600, 0o600, 0o600]);
    for (const i of [1, 2])
      expect(await marks(bricks[i]!, client.call, gfid)).toEqual({ 'vol-client-0': '000000000000000100000000' });
  });

  it('does not travel while a replica is away: the marks that accuse that one are durable first', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await coldFile(client);
    client.gates[2]!.shutDoor(true);
    const asked: string[][] = [];
    client.gates[0]!.fault = (fop, args) => {
      asked.push((args as { steps?: { fop: string }[] }).steps?.map((step) => step.fop) ?? [fop]);
      return 'pass';
    };
    expect(await chmod(client, gfid, 0o600)).toMatchObject({ ok: true });
    expect(asked).toEqual([
      ['inodelk', 'lookup'],
      ['xattrop', 'fsync', 'setattr'],
    ]);
    expect(await marks(bricks[0]!, client.call, gfid)).toMatchObject({ 'vol-client-2': '000000000000000100000000' });
  });
});
