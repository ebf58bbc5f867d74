/** What the tests of the whole translator share: replica sets that end with their test, and short words for common requests. */
import { type Errno, Fd, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { Fault } from '@mortar/testing/gate.ts';
import { ReplicaRig, type RigBrick, type RigClient } from '@mortar/testing/replica-rig.ts';
import { afterEach, expect } from 'vitest';

export const rigs: ReplicaRig[] = [];
export const rig = async (count = 3) => {
  const made = await ReplicaRig.make(count);
  rigs.push(made);
  return made;
};
afterEach(async () => {
  for (const one of rigs.splice(0)) await one.close();
});

const O_RDWR = 2;
const O_CREAT = 0o100;

export async function create(
  client: RigClient,
  name: string,
  data = '',
  parent: Gfid = rootGfid,
): Promise<{ fd: Fd; gfid: Gfid }> {
  const gfid = rigs.at(-1)!.newGfid();
  const fd = new Fd(gfid, O_RDWR);
  const made = await client.ops.create(client.call, {
    loc: locAt(parent, name),
    flags: O_RDWR | O_CREAT,
    mode: 0o644,
    gfid,
    fd,
  });
  expect(made).toMatchObject({ ok: true });
  if (data) expect(await write(client, fd, data)).toMatchObject({ ok: true });
  return { fd, gfid };
}

export const write = (client: RigClient, fd: Fd, data: string, offset = 0) =>
  client.ops.writev(client.call, { fd, offset, data: Buffer.from(data) });

export async function contents(ops: RigBrick['ops'], call: RigClient['call'], gfid: Gfid): Promise<string | Errno> {
  const reply = await ops.readv(call, { fd: new Fd(gfid, 0), size: 4096, offset: 0 });
  return reply.ok ? Buffer.from(reply.data).toString() : reply.errno;
}

export const onBricks = (bricks: readonly RigBrick[], call: RigClient['call'], gfid: Gfid) =>
  Promise.all(bricks.map((brick) => contents(brick.ops, call, gfid)));

/** Non-zero changelog xattrs of a file on a brick, as hex. */
export async function marks(brick: RigBrick, call: RigClient['call'], gfid: Gfid): Promise<Record<string, string>> {
  const want = [
    'trusted.afr.dirty',
    'trusted.afr.vol-client-0',
    'trusted.afr.vol-client-1',
    'trusted.afr.vol-client-2',
  ];
  const reply = await brick.ops.lookup(call, { loc: locOf(gfid), want });
  if (!reply.ok) return { errno: String(reply.errno) };
  const entries = Object.entries(reply.xattrs).map(([name, value]) => [
    name.replace('trusted.afr.', ''),
    Buffer.from(value).toString('hex'),
  ]);
  return Object.fromEntries(entries.filter(([, hex]) => !/^0*$/.test(hex!)));
}

export async function mkdir(client: RigClient, name: string, parent: Gfid = rootGfid): Promise<Gfid> {
  const gfid = rigs.at(-1)!.newGfid();
  expect(await client.ops.mkdir(client.call, { loc: locAt(parent, name), mode: 0o755, gfid })).toMatchObject({
    ok: true,
  });
  return gfid;
}

export async function until(what: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('did not happen in time');
}

/** As a brick whose disk is full in the middle of a write. */
export const writesOnly = (bytes: number): Fault => {
  const cut = (fop: string, args: unknown) => {
    const given = args as { data?: Uint8Array; steps?: { fop: string; args: unknown }[] };
    if (fop === 'writev') given.data = given.data!.subarray(0, bytes);
    for (const step of given.steps ?? []) cut(step.fop, step.args);
  };
  return (fop, args) => {
    cut(fop, args);
    return 'pass';
  };
};

/** Also as a step of a compound. */
export const isWrite = (fop: string, args: unknown) =>
  fop === 'writev' ||
  (fop === 'compound' && (args as { steps: { fop: string }[] }).steps.some((step) => step.fop === 'writev'));
