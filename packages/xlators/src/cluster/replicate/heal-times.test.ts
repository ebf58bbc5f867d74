/** Times are healed with what they are of: before the marks come off, and as durably. */
import { Errno, type Gfid, type Iatt, locOf } from '@mortar/core';
import type { RigBrick, RigClient } from '@mortar/testing/replica-rig.ts';
import { expect, it } from 'vitest';
import { create, isWrite, mkdir, rig, rigs, until, write } from './test-rig.ts';

async function mtimeOn({ ops }: RigBrick, { call }: RigClient, gfid: Gfid): Promise<string> {
  const reply = await ops.stat(call, { loc: locOf(gfid) });
  const { mtime, mtimeNsec } = (reply as { iatt: Iatt }).iatt;
  return `${mtime}.${mtimeNsec}`;
}

const ago = (call: RigClient['call'], sec: number) => ({ ...call, time: { sec: call.time.sec - sec, nsec: 5 } });

it('has a directory listed until its times are right, also where a disk fails in between', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client();
  const directory = await mkdir(client, 'd');
  await client.xlator.drain();
  rigs[0]!.cut(2);
  await create(client, 'f', '', directory);
  await client.xlator.drain();
  const { client: healer, daemon } = await rigs[0]!.healDaemon();
  let failures = 0;
  healer.gates[2]!.fault = (fop, args) => {
    const isTimes = fop === 'setattr' && (args as { loc: { gfid: Gfid } }).loc.gfid === directory;
    return isTimes && failures++ === 0 ? Errno.EIO : 'pass';
  };
  rigs[0]!.join(2);
  await until(async () => failures > 0);
  daemon.launch(false);
  await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
  const [one, , two] = await Promise.all(bricks.map((brick) => mtimeOn(brick, client, directory)));
  expect(two).toBe(one);
});

it('has the times of a file on the disk of who is healed before its marks come off', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client();
  const { fd, gfid } = await create(client, 'f', 'x'.repeat(300_000));
  await client.xlator.drain();
  rigs[0]!.cut(2);
  await client.ops.writev(ago(client.call, -60), { fd, offset: 200_000, data: Buffer.from('new') });
  await client.xlator.drain();
  const { client: healer, daemon } = await rigs[0]!.healDaemon();
  const steps: string[] = [];
  healer.gates[2]!.fault = (fop, args) => {
    const { loc, fd: open } = args as { loc?: { gfid: Gfid }; fd?: { gfid: Gfid } };
    if ((loc ?? open)?.gfid === gfid && (isWrite(fop, args) || ['setattr', 'fsync'].includes(fop))) steps.push(fop);
    return 'pass';
  };
  rigs[0]!.join(2);
  await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
  expect(await mtimeOn(bricks[2]!, client, gfid)).toBe(await mtimeOn(bricks[0]!, client, gfid));
  expect(steps).toContain('setattr');
  expect(steps.at(-1)).toBe('fsync');
  await write(client, fd, 'after');
});
