/** When what is parked goes. */
import { Errno, type Fd, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { create, rig, rigs } from '../test-rig.ts';
import { Parking } from './parking.ts';

const volumeId = 'ed5290f4-0000-4000-8000-00000000abcd' as Gfid;

describe('what is parked on a brick', () => {
  let bricks: Awaited<ReturnType<typeof rig>>['bricks'];
  let client: Awaited<ReturnType<(typeof rigs)[0]['client']>>;
  let parking: Parking;
  let gfid: Gfid;
  let fd: Fd;
  const loc = () => locAt(rootGfid, 'f', gfid);
  const park = (child: number) => parking.park(child, loc(), gfid);
  const isParked = (child: number) => parking.holds(child, gfid);

  beforeEach(async () => {
    ({ bricks } = await rig());
    client = await rigs[0]!.client({ 'self-heal-daemon': 'off' });
    parking = new Parking(client.xlator.replica, volumeId);
    ({ gfid, fd } = await create(client, 'f', 'data'));
    await client.xlator.drain();
  });

  it('stays while it has a name on another', async () => {
    await park(2);
    await bricks[0]!.ops.unlink(client.call, { loc: loc() });
    await parking.purge(2);
    expect(await isParked(2)).toBe(true);
  });

  it('goes when it is nowhere else', async () => {
    await park(2);
    fd.release();
    for (const brick of bricks.slice(0, 2)) await brick.ops.unlink(client.call, { loc: loc() });
    await parking.purge(2);
    expect(await isParked(2)).toBe(false);
  });

  it('goes when others have it only because somebody has it open', async () => {
    await park(2);
    for (const brick of bricks.slice(0, 2)) await brick.ops.unlink(client.call, { loc: loc() });
    for (const brick of bricks.slice(0, 2))
      expect(await brick.ops.lookup(client.call, { loc: locOf(gfid) })).toMatchObject({ iatt: { nlink: 0 } });
    await parking.purge(2);
    expect(await isParked(2)).toBe(false);
    expect(await client.ops.readv(client.call, { fd, size: 4, offset: 0 })).toMatchObject({ ok: true });
  });

  it('goes when it is parked wherever it is', async () => {
    await park(1);
    await park(2);
    await bricks[0]!.ops.unlink(client.call, { loc: loc() });
    await parking.purge(1);
    expect([await isParked(1), await isParked(2)]).toEqual([false, true]);
    await parking.purge(2);
    expect(await isParked(2)).toBe(false);
  });

  it('stays where another cannot be asked', async () => {
    await park(2);
    for (const brick of bricks.slice(0, 2)) await brick.ops.unlink(client.call, { loc: loc() });
    client.gates[0]!.fault = (fop) => (fop === 'lookup' ? Errno.EIO : 'pass');
    await parking.purge(2);
    expect(await isParked(2)).toBe(true);
  });
});
