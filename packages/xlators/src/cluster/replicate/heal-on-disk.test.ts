/** Heal over bricks that are directories: what the kernel does to a file by itself while heal writes to it. */
import { Buffer } from 'node:buffer';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Errno, type Gfid, locAt, locOf, rootGfid, type Success } from '@mortar/core';
import { ReplicaRig, type RigBrick, type RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import type { Sys } from '../../storage/posix/brick.ts';
import { KnownXattrs } from '../../storage/posix/known-xattrs.ts';
import type { PosixXlator } from '../../storage/posix/xlator.ts';
import { contents, create, isWrite, onBricks, rigs, until, write } from './test-rig.ts';

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

describe.runIf(process.getuid?.() === 0)('a symlink that heal makes', () => {
  it('has the owner, the times and the xattrs that it has elsewhere', async () => {
    const made = await onDisks();
    const client = await made.client();
    const { ops, call } = client;
    const [directory, gfid] = [made.newGfid(), made.newGfid()];
    await ops.mkdir(call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid: directory });
    await ops.symlink(call, { loc: locAt(directory, 'l'), target: 'x', gfid });
    const times = { atime: { sec: 1_000_000_000, nsec: 1 }, mtime: { sec: 1_000_000_001, nsec: 2 } };
    await ops.setattr(call, { loc: locOf(gfid), attr: { uid: 7, gid: 8, ...times } });
    await ops.setxattr(call, { loc: locOf(gfid), xattrs: { 'trusted.note': Buffer.from('x') }, flags: 0 });
    // What is made there belongs to the directory's group.
    await ops.setattr(call, { loc: locOf(directory), attr: { gid: 50, mode: 0o2755 } });
    await client.xlator.drain();
    // Its disk was replaced, and glusterd said so.
    const [brick] = made.bricks.slice(2);
    await brick!.ops.unlink(call, { loc: locAt(directory, 'l') });
    await brick!.ops.rmdir(call, { loc: locAt(rootGfid, 'd'), recursive: false });
    const missing = Buffer.from('000000010000000100000001', 'hex');
    for (const { ops: onBrick } of made.bricks.slice(0, 2))
      await onBrick.xattrop(call, {
        loc: locOf(rootGfid),
        operation: 'add32',
        values: { 'trusted.afr.vol-client-2': missing },
      });
    await healed(made);
    const states = await Promise.all(
      made.bricks.map(async (one) => {
        const { iatt } = (await one.ops.lookup(call, { loc: locOf(gfid) })) as Success<'lookup'>;
        const { uid, gid, atime, mtime, mtimeNsec, ctime, ctimeNsec } = iatt;
        const note = await xattrOn(one, client, gfid, 'trusted.note');
        return { uid, gid, atime, mtime, mtimeNsec, ctime, ctimeNsec, note };
      }),
    );
    expect(states[0]).toMatchObject({ uid: 7, gid: 8, mtime: 1_000_000_001, note: '78' });
    expect(states[2]).toEqual(states[0]);
  });
});

/** Until the function returned is called, an xattr whose name begins so cannot be read on this brick's disk. */
function unreadable(brick: RigBrick, name: string): () => void {
  const storage = brick.graph.xlators.get('s') as PosixXlator;
  const posix = storage.store.brick as { sys: Sys; xattrs: KnownXattrs };
  const { sys } = posix;
  const EIO = -5;
  posix.sys = {
    ...sys,
    getxattr: (target, asked) => (asked.startsWith(name) ? EIO : sys.getxattr(target, asked)),
  };
  // What it read before is forgotten.
  posix.xattrs = new KnownXattrs(posix.sys, storage.store.brick.rootFd);
  return () => {
    posix.sys = sys;
    posix.xattrs = new KnownXattrs(sys, storage.store.brick.rootFd);
  };
}

describe.runIf(process.getuid?.() === 0)('what a disk cannot read', () => {
  it('is not taken off the others', async () => {
    const made = await onDisks(2);
    const client = await made.client({ 'quorum-type': 'none' });
    const { ops, call } = client;
    const { gfid } = await create(client, 'f', 'x');
    await ops.setxattr(call, { loc: locOf(gfid), xattrs: { 'user.kept': Buffer.from('x') }, flags: 0 });
    await client.xlator.drain();
    made.cut(1);
    await ops.setattr(call, { loc: locOf(gfid), attr: { uid: 7 } });
    await client.xlator.drain();
    made.join(1);
    const readable = unreadable(made.bricks[0]!, 'user.kept');
    const { daemon } = await made.healDaemon({ 'quorum-type': 'none' });
    await until(async () => daemon.statistics()[0]!.crawls.some(({ endSec }) => endSec !== undefined));
    expect(await xattrOn(made.bricks[1]!, client, gfid, 'user.kept')).toBe('78');
    readable();
    await daemon.launch(false);
    await until(async () => (await daemon.info('all')).every((brick) => brick.entries.length === 0));
    for (const brick of made.bricks) expect(await xattrOn(brick, client, gfid, 'user.kept')).toBe('78');
  });

  it('is no proof that nobody is accused: the stale one is not read, and stays listed', async () => {
    const made = await onDisks();
    const client = await made.client();
    const { call } = client;
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    made.cut(1);
    await write(client, fd, 'new');
    fd.release();
    await client.xlator.drain();
    const readable = unreadable(made.bricks[0]!, 'trusted.afr.');
    const { daemon } = await made.healDaemon();
    const other = await made.client({ 'read-subvolume-index': '1' });
    made.cut(2);
    made.join(1);
    expect(await contents(other.ops, call, gfid)).toBe(Errno.ENOTCONN);
    const crawls = daemon.statistics()[0]!.crawls.length;
    await daemon.launch(false);
    await until(async () => (daemon.statistics()[0]!.crawls[crawls]?.endSec ?? 0) > 0);
    expect(existsSync(join(dirname(made.directoryOf(0)), 'indices', 'xattrop', gfid))).toBe(true);
    readable();
    await daemon.launch(false);
    await until(async () => (await onBricks(made.bricks, call, gfid)).every((data) => data === 'new'));
  });
});
