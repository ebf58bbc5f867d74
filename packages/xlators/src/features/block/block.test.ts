import {
  type Attachment,
  buildGraph,
  type Call,
  Errno,
  Fd,
  type Gfid,
  type Graph,
  locAt,
  locOf,
  newGfid,
  type OptionTable,
  parseVolfile,
  type Reply,
  rootGfid,
  startGraph,
  Xlator,
  type XlatorType,
} from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { blockEpochXattr, blockHolderXattr, encodeEpoch, nextEpoch } from '../../lib/block-device.ts';
import { type ManualClock, rigCall, rigServices, settle } from '../../lib/translator-rig.ts';
import { xlator as memory } from '../../storage/memory/index.ts';
import { xlator as locks } from '../locks/index.ts';
import { xlator } from './index.ts';

const volfile = `volume files
 type storage/memory
 option size 100MB
end-volume
volume slow
 type test/slow
 subvolumes files
end-volume
volume locks
 type features/locks
 subvolumes slow
end-volume
volume guard
 type features/block
 subvolumes locks
end-volume
`;

const erased = <T extends OptionTable>(type: XlatorType<T>) => type as unknown as XlatorType;

/** Writes that wait until they are let go. */
let held: (() => void)[] | null = null;
const slow: XlatorType = {
  type: 'test/slow',
  description: 'holds writes',
  options: {},
  subvolumes: { min: 1, max: 1 },
  create: (init) => new Slow(init),
};
class Slow extends Xlator {
  async writev(call: Call, args: Parameters<typeof this.child.writev>[1]) {
    const waiting = held;
    if (waiting) await new Promise<void>((resolve) => waiting.push(resolve));
    return this.child.writev(call, args);
  }
}

let graph: Graph;
let ops: Graph['top']['ops'];
let device: Gfid;
let shard: Gfid;

const errno = (reply: { ok: boolean; errno?: number }) => reply.errno ?? 0;

function as(epoch: number, isRaising = false, clientId = 'server-1'): Call {
  const attachment: Attachment = isRaising ? { device, epoch, isRaising } : { device, epoch };
  return rigCall(clientId, { attachment });
}

function raise(epoch: number, clientId = 'server-1'): Promise<Reply<'setxattr'>> {
  const xattrs = { [blockEpochXattr]: encodeEpoch(epoch) };
  return ops.setxattr(as(epoch, true, clientId), { loc: locOf(device), xattrs, flags: 0 });
}

function write(call: Call, text = 'data'): Promise<Reply<'writev'>> {
  return ops.writev(call, { fd: new Fd(shard), offset: 0, data: Buffer.from(text) });
}

async function content(): Promise<string> {
  const reply = await ops.readv(rigCall('reader'), { fd: new Fd(shard), size: 100, offset: 0 });
  return reply.ok ? Buffer.from(reply.data).toString() : `errno ${reply.errno}`;
}

beforeEach(async () => {
  held = null;
  const services = rigServices();
  const types = new Map([erased(memory), slow, erased(locks), erased(xlator)].map((type) => [type.type, type]));
  graph = buildGraph(parseVolfile(volfile, 'brick.vol'), types, services);
  await startGraph(graph);
  ops = graph.top.ops;
  device = newGfid(services.random);
  shard = newGfid(services.random);
  const call = rigCall('maker');
  await ops.mkdir(call, { loc: locAt(rootGfid, 'device'), mode: 0o700, gfid: device });
  await ops.mknod(call, { loc: locAt(device, '0'), mode: 0o100600, rdevMajor: 0, rdevMinor: 0, gfid: shard });
});

describe('features/block', () => {
  it('lets nobody in with an epoch below that of the device', async () => {
    expect(errno(await raise(10))).toBe(0);
    expect(errno(await write(as(10), 'first'))).toBe(0);
    expect(errno(await raise(20, 'server-2'))).toBe(0);
    expect(errno(await write(as(10), 'late'))).toBe(Errno.EKEYREVOKED);
    expect(errno(await ops.lookup(as(10), { loc: locOf(shard) }))).toBe(Errno.EKEYREVOKED);
    const steps = [
      { fop: 'xattrop', args: { loc: locOf(shard), operation: 'add32', values: { 'trusted.x': Buffer.alloc(4, 1) } } },
      { fop: 'writev', args: { fd: new Fd(shard), offset: 0, data: Buffer.from('late') } },
    ];
    expect(errno(await ops.compound(as(10), { steps }))).toBe(Errno.EKEYREVOKED);
    expect(errno(await ops.getxattr(rigCall('c'), { loc: locOf(shard), name: 'trusted.x' }))).toBe(Errno.ENODATA);
    expect(await content()).toBe('first');
    expect(errno(await write(as(20, false, 'server-2'), 'third'))).toBe(0);
    expect(graph.top.dump()).toMatchObject({ refused: 3 });
  });

  it('does not answer a raise before what came with less has ended', async () => {
    await raise(10);
    held = [];
    const early = write(as(10), 'early');
    await settle();
    let isRaised = false;
    const raised = raise(20, 'server-2').then((reply) => {
      isRaised = true;
      return reply;
    });
    await settle();
    expect(isRaised).toBe(false);
    expect(errno(await write(as(10), 'late'))).toBe(Errno.EKEYREVOKED);
    for (const go of held) go();
    expect(errno(await early)).toBe(0);
    expect(errno(await raised)).toBe(0);
    expect(await content()).toBe('early');
  });

  it('keeps an epoch that it first hears of from its holder', async () => {
    expect(errno(await write(as(30), 'x'))).toBe(0);
    expect(errno(await write(as(29)))).toBe(Errno.EKEYREVOKED);
    const kept = await ops.getxattr(rigCall('c'), { loc: locOf(device), name: blockEpochXattr });
    expect(kept.ok && Buffer.from(kept.xattrs[blockEpochXattr]!).equals(encodeEpoch(30))).toBe(true);
  });

  it('lets one of two in who count up at a time, and nobody for having asked', async () => {
    await raise(10);
    const drawn = nextEpoch(10, 5);
    expect(errno(await ops.lookup(as(drawn, true), { loc: locOf(device) }))).toBe(0);
    expect(errno(await write(as(10)))).toBe(0);
    const [one, other] = await Promise.all([raise(drawn, 'server-1'), raise(nextEpoch(10, 9), 'server-2')]);
    expect([errno(one), errno(other)]).toEqual([0, 0]);
    expect(errno(await raise(drawn))).toBe(Errno.EKEYREVOKED);
    expect(errno(await write(as(drawn)))).toBe(Errno.EKEYREVOKED);
  });

  it('gives the locks of a former holder to the next one', async () => {
    await raise(10);
    const lock = (call: Call, loc: Gfid) =>
      ops.inodelk(call, {
        loc: locOf(loc),
        domain: 'd',
        command: 'wait',
        flock: { type: 'write', start: 0, length: 0, owner: '01', pid: 0 },
      });
    const first = await lock(as(10), shard);
    // A heal that was stopped, or one whose lease a holder goes on using.
    const heal = await ops.inodelk(rigCall('heal'), {
      loc: locOf(shard),
      domain: 'heal',
      command: 'wait',
      flock: { type: 'write', start: 0, length: 0, owner: '02', pid: 0 },
    });
    expect(errno(await lock(as(10), device))).toBe(0);
    // Raising needs the directory's lock, and gets it from who holds it.
    const raising = lock(as(20, true, 'server-2'), device);
    expect(errno(await raising)).toBe(0);
    expect(errno(await write(as(10)))).toBe(0);
    expect(errno(await raise(20, 'server-2'))).toBe(0);
    const second = await lock(as(20, false, 'server-2'), shard);
    expect(errno(second)).toBe(0);
    const fence = first.ok ? first.fence! : 0;
    const late = await ops.writev(as(20, false, 'server-1'), {
      fd: new Fd(shard),
      offset: 0,
      data: Buffer.from('late'),
      xdata: { fence },
    });
    expect(errno(late)).toBe(Errno.ESTALE);
    const healing = { fence: heal.ok ? heal.fence! : 0 };
    const healed = await ops.fsync(rigCall('heal'), { fd: new Fd(shard), dataOnly: false, xdata: healing });
    expect(errno(healed)).toBe(Errno.ESTALE);
  });

  it('lets nobody but heal set an epoch by hand', async () => {
    const set = (call: Call, epoch: number) =>
      ops.setxattr(call, { loc: locOf(device), xattrs: { [blockEpochXattr]: encodeEpoch(epoch) }, flags: 0 });
    expect(errno(await set(rigCall('c'), 5))).toBe(Errno.EPERM);
    expect(errno(await set(as(5), 5))).toBe(Errno.EPERM);
    expect(errno(await set(as(6, true), 5))).toBe(Errno.EPERM);
    expect(errno(await ops.removexattr(rigCall('c'), { loc: locOf(device), name: blockEpochXattr }))).toBe(Errno.EPERM);
    await raise(20);
    expect(errno(await set(rigCall('heal', { internal: 'self-heal' }), 10))).toBe(0);
    expect(errno(await write(as(10)))).toBe(0);
  });

  it('lets nobody change by hand what a holder has, until it is given up', async () => {
    const hand = rigCall('c');
    const made = newGfid(graph.top.services.random);
    const node = { mode: 0o100600, rdevMajor: 0, rdevMinor: 0 };
    expect(errno(await write(hand, 'before'))).toBe(0);
    await raise(10);
    await ops.mknod(as(10), { loc: locAt(device, '1'), gfid: made, ...node });
    const fd = (gfid: Gfid) => ({ fd: new Fd(gfid) });
    const attempts = [
      write(hand),
      ops.writev(hand, { ...fd(made), offset: 0, data: Buffer.from('x') }),
      ops.truncate(hand, { loc: locOf(shard), size: 0 }),
      ops.ftruncate(hand, { ...fd(shard), size: 0 }),
      ops.discard(hand, { ...fd(shard), offset: 0, size: 1 }),
      ops.zerofill(hand, { ...fd(shard), offset: 0, size: 1 }),
      ops.fallocate(hand, { ...fd(shard), mode: 0, offset: 0, size: 1 }),
      ops.copy_file_range(hand, { from: new Fd(made), fromOffset: 0, to: new Fd(shard), toOffset: 0, size: 1 }),
      ops.unlink(hand, { loc: locAt(device, '0') }),
      ops.mknod(hand, { loc: locAt(device, '2'), gfid: newGfid(graph.top.services.random), ...node }),
      ops.rename(hand, { from: locAt(device, '0'), to: locAt(rootGfid, 'away'), flags: 0 }),
      ops.compound(hand, { steps: [{ fop: 'writev', args: { ...fd(shard), offset: 0, data: Buffer.from('x') } }] }),
    ];
    for (const [i, reply] of (await Promise.all(attempts)).entries())
      expect([i, errno(reply)]).toEqual([i, Errno.EBUSY]);
    expect(await content()).toBe('before');
    // Heal, and what is read or of another file, are nobody's business here.
    expect(errno(await write(rigCall('heal', { internal: 'self-heal' }), 'healed'))).toBe(0);
    expect(
      errno(
        await ops.mkdir(hand, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: newGfid(graph.top.services.random) }),
      ),
    ).toBe(0);
    await ops.setxattr(as(10), { loc: locOf(device), xattrs: { [blockHolderXattr]: Buffer.from('x') }, flags: 0 });
    await ops.removexattr(as(10), { loc: locOf(device), name: blockHolderXattr });
    expect(errno(await write(hand, 'by hand'))).toBe(0);
    // Whoever shows life again has it.
    await ops.lookup(as(10), { loc: locOf(device) });
    expect(errno(await write(hand))).toBe(Errno.EBUSY);
    expect(graph.top.dump()).toMatchObject({ unattached: attempts.length + 1 });
  });

  it('forgets a holder that shows no life, and hears of one that was there before it', async () => {
    await raise(10);
    const clock = graph.top.services.clock as ManualClock;
    await clock.advance(59_000);
    expect(errno(await write(rigCall('c')))).toBe(Errno.EBUSY);
    await clock.advance(2000);
    expect(errno(await write(rigCall('c'), 'by hand'))).toBe(0);
    await ops.lookup(as(10), { loc: locOf(shard) });
    expect(errno(await write(rigCall('c')))).toBe(Errno.EBUSY);
  });

  it('keeps the directory of devices from who is not root', async () => {
    const user = rigCall('c', { uid: 1000, gid: 1000 });
    const home = () => ({ loc: locAt(rootGfid, '.block'), mode: 0o755, gfid: newGfid(graph.top.services.random) });
    expect(errno(await ops.mkdir(user, home()))).toBe(Errno.EPERM);
    expect(errno(await ops.mkdir(rigCall('c'), home()))).toBe(0);
    const away = { from: locAt(rootGfid, '.block'), to: locAt(rootGfid, 'x'), flags: 0 };
    expect(errno(await ops.rename(user, away))).toBe(Errno.EPERM);
    expect(errno(await ops.rename(rigCall('c'), away))).toBe(0);
  });

  it('reads the epoch again when it was forgotten', async () => {
    await raise(10);
    const { inodes, random } = graph.top.services;
    const before = inodes.find(device)!.slots[graph.top.slot];
    for (let i = 0; i < 100; i++) inodes.get(newGfid(random));
    expect(inodes.find(device)?.slots[graph.top.slot]).not.toBe(before);
    expect(errno(await write(as(9)))).toBe(Errno.EKEYREVOKED);
    expect(errno(await write(as(10)))).toBe(0);
  });
});
