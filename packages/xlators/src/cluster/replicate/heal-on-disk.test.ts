/** Heal over bricks that are directories: what the kernel does to a file by itself while heal writes to it. */
import { Buffer } from 'node:buffer';
import { Errno, type Gfid, locOf } from '@mortar/core';
import { ReplicaRig, type RigBrick, type RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { create, isWrite, onBricks, rigs, until, write } from './test-rig.ts';

const onDisks = async (count = 3) => {
  const made = await ReplicaRig.make(count, 'posix');
  rigs.push(made);
  return made;
};

async function healed(rig: ReplicaRig): Promise<void> {
  const { daemon } = await rig.healDaemon();
  await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
}

const xattrOn = async ({ ops }: RigBrick, { call }: RigClient, gfid: Gfid, name: string) => {
  const reply = await ops.getxattr(call, { loc: locOf(gfid), name });
  return reply.ok ? Buffer.from(reply.xattrs[name]!).toString('hex') : reply.errno;
};

const capability = 'security.capability';
/** cap_net_raw, permitted and effective: version 2. */
const netRaw = Buffer.from('0100000200200000000000000000000000000000', 'hex');

describe.runIf(process.getuid?.() === 0)('the capabilities of a program', () => {
  for (const [what, size] of [
    ['small', 1000],
    ['large', 300_000],
  ] as const)
    it(`are there after a heal that makes it anew, ${what}`, async () => {
      const made = await onDisks();
      const client = await made.client();
      made.cut(2);
      const { gfid } = await create(client, 'ping', 'x'.repeat(size));
      const { ops, call } = client;
      const set = { loc: locOf(gfid), xattrs: { [capability]: netRaw }, flags: 0 };
      expect(await ops.setxattr(call, set)).toMatchObject({ ok: true });
      await client.xlator.drain();
      made.join(2);
      await healed(made);
      const [one, , two] = await onBricks(made.bricks, call, gfid);
      expect(two).toBe(one);
      for (const brick of made.bricks)
        expect(await xattrOn(brick, client, gfid, capability)).toBe(netRaw.toString('hex'));
    });

  it('are there after a heal of its owner, also where they were before', async () => {
    const made = await onDisks();
    const client = await made.client();
    const { gfid } = await create(client, 'ping', 'x');
    const { ops, call } = client;
    const set = { loc: locOf(gfid), xattrs: { [capability]: netRaw }, flags: 0 };
    await ops.setxattr(call, set);
    await client.xlator.drain();
    made.cut(2);
    await ops.setattr(call, { loc: locOf(gfid), attr: { uid: 7 } });
    await ops.setxattr(call, set);
    await client.xlator.drain();
    made.join(2);
    await healed(made);
    for (const brick of made.bricks)
      expect(await xattrOn(brick, client, gfid, capability)).toBe(netRaw.toString('hex'));
  });

  it('are there after a heal of its contents alone, which cuts it, makes holes and writes', async () => {
    const made = await onDisks();
    const client = await made.client();
    const { fd, gfid } = await create(client, 'ping', 'x'.repeat(900_000));
    const { ops, call } = client;
    await client.xlator.drain();
    // Its disk fails in the middle.
    client.gates[2]!.fault = (fop, args) => (fop === 'ftruncate' || isWrite(fop, args) ? Errno.ENOSPC : 'pass');
    await ops.ftruncate(call, { fd, size: 0 });
    await ops.ftruncate(call, { fd, size: 600_000 });
    await write(client, fd, 'end', 600_000);
    await client.xlator.drain();
    await ops.setxattr(call, { loc: locOf(gfid), xattrs: { [capability]: netRaw }, flags: 0 });
    await client.xlator.drain();
    expect(await xattrOn(made.bricks[2]!, client, gfid, capability)).toBe(netRaw.toString('hex'));
    await healed(made);
    const [one, , two] = await onBricks(made.bricks, call, gfid);
    expect(two).toBe(one);
    for (const brick of made.bricks)
      expect(await xattrOn(brick, client, gfid, capability)).toBe(netRaw.toString('hex'));
  });
});
