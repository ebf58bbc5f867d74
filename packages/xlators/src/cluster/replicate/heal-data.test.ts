import { isDeepStrictEqual } from 'node:util';
import { type Args, Errno, Fd, locOf, type Success } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { contents, create, marks, onBricks, rig, rigs, until, write } from './test-rig.ts';

describe('healing data', () => {
  it('brings a small file over in one go: contents, owner, xattrs, and no more than it has', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const changed = await create(client, 'changed', 'was longer before');
    await client.xlator.drain();
    rigs[0]!.cut(2);
    await client.ops.ftruncate(client.call, { fd: changed.fd, size: 3 });
    const made = [changed];
    for (let i = 0; i < 20; i++) made.push(await create(client, `new${i}`, i === 0 ? '' : `data ${i}`));
    for (const { gfid } of made) {
      await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o604, uid: 7 } });
      await client.ops.setxattr(client.call, { loc: locOf(gfid), xattrs: { 'user.x': Buffer.from('y') }, flags: 0 });
    }
    await client.xlator.drain();
    rigs[0]!.join(2);
    const { daemon, client: healer } = await rigs[0]!.healDaemon();
    await until(async () => (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0));
    for (const { gfid } of made) {
      const [one, , two] = await onBricks(bricks, client.call, gfid);
      expect(two).toBe(one);
      expect(await bricks[2]!.ops.stat(client.call, { loc: locOf(gfid) })).toMatchObject({
        iatt: { mode: 0o604, uid: 7 },
      });
      const { ops } = bricks[2]!;
      expect(await ops.getxattr(client.call, { loc: locOf(gfid), name: 'user.x' })).toMatchObject({ ok: true });
      for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    }
    const requests = healer.gates.map((gate) => [...gate.counts.values()].reduce((sum, count) => sum + count, 0));
    // Who waits here asks as well.
    expect(Math.max(...requests) / made.length).toBeLessThan(16);
  });

  it('gives who is accused no vote on what the others have, when one of them has lost it', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', '\0\0\0\0');
    await client.xlator.drain();
    // All but brick 0, which missed it, were interrupted in a write; brick 1 has lost that, and brick 2 has it.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[2]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('good') });
    const open = (key: string) => ({ [`trusted.afr.${key}`]: Buffer.from('000000010000000000000000', 'hex') });
    for (const brick of bricks.slice(1)) {
      const values = { ...open('dirty'), ...open('vol-client-0') };
      await brick.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
    }
    fd.release();
    await rigs[0]!.healDaemon();
    await until(async () => Object.keys(await marks(bricks[2]!, client.call, gfid)).length === 0);
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['good', 'good', 'good']);
  });

  it('makes those alike of whom each is accused by one, and nobody by enough', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', 'good');
    fd.release();
    await client.xlator.drain();
    // Brick 0 wrote what brick 1 had no room for, and brick 2 lost with its machine that it says so, too.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[0]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('some') });
    const one = Buffer.from('000000010000000000000000', 'hex');
    const accuse = (by: number, accused: readonly number[]) =>
      bricks[by]!.ops.xattrop(client.call, {
        loc: locOf(gfid),
        operation: 'add32',
        values: Object.fromEntries(accused.map((child) => [`trusted.afr.vol-client-${child}`, one])),
      });
    await accuse(0, [1]);
    await accuse(1, [0, 2]);
    await rigs[0]!.healDaemon();
    const left = async () => Promise.all(bricks.map((brick) => marks(brick, client.call, gfid)));
    await until(async () => (await left()).every((one) => Object.keys(one).length === 0));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['good', 'good', 'good']);
  });

  it('leaves the mark of an interrupted write while one of those that were in it cannot be looked at', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0' });
    const { fd, gfid } = await create(client, 'f', 'none');
    await client.xlator.drain();
    // Brick 0 was away, brick 1 failed, and brick 2 has what was written.
    const later = { ...client.call, time: { ...client.call.time, sec: client.call.time.sec + 60 } };
    await bricks[2]!.ops.writev(later, { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('some') });
    const open = (key: string) => ({ [`trusted.afr.${key}`]: Buffer.from('000000010000000000000000', 'hex') });
    for (const brick of bricks.slice(1)) {
      const values = { ...open('dirty'), ...open('vol-client-0') };
      await brick.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
    }
    fd.release();
    const { daemon, client: healer } = await rigs[0]!.healDaemon();
    healer.gates[1]!.fault = (fop, args) =>
      fop === 'lookup' && (args as Args<'lookup'>).loc.gfid === gfid ? Errno.EIO : 'pass';
    await until(async () => (await contents(bricks[0]!.ops, client.call, gfid)) === 'some');
    await until(async () => !('vol-client-0' in (await marks(bricks[2]!, client.call, gfid))));
    for (const brick of bricks.slice(1))
      expect(await marks(brick, client.call, gfid)).toEqual({ dirty: '000000010000000000000000' });
    healer.gates[1]!.fault = () => 'pass';
    daemon.launch(false);
    await until(async () => Object.keys(await marks(bricks[1]!, client.call, gfid)).length === 0);
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['some', 'some', 'some']);
  });

  it('heals a large sparse file while a client goes on writing to it', async () => {
    const { bricks } = await rig();
    const { daemon } = await rigs[0]!.healDaemon({ 'data-self-heal-window-size': '1' });
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'big', 'start');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    for (let i = 0; i < 6; i++) await write(client, fd, `block ${i}`, i * 300_000);
    rigs[0]!.join(1);
    for (let i = 0; i < 20; i++) {
      await write(client, fd, `later ${i}`, (i % 6) * 300_000 + 50);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await client.xlator.drain();
    await until(async () => (await daemon.info('all')).every((brick) => brick.entries.length === 0));
    const sums = await Promise.all(
      bricks.map(
        async (brick) =>
          (
            (await brick.ops.rchecksum(client.call, {
              fd: new Fd(gfid, 0),
              offset: 0,
              size: 2_000_000,
            })) as Success<'rchecksum'>
          ).strong,
      ),
    );
    expect(sums.map((sum) => Buffer.from(sum).toString('hex'))).toEqual(
      Array(3).fill(Buffer.from(sums[0]!).toString('hex')),
    );
  });

  it.each(['full', 'diff'])(
    'leaves nothing old where the source has a hole, on a disk that makes none: %s',
    async (algorithm) => {
      const { bricks } = await rig();
      const client = await rigs[0]!.client();
      const { fd, gfid } = await create(client, 'f', 'x'.repeat(900_000));
      await client.xlator.drain();
      rigs[0]!.cut(2);
      await client.ops.ftruncate(client.call, { fd, size: 0 });
      await write(client, fd, 'end', 899_997);
      await client.xlator.drain();
      const { daemon, client: healer } = await rigs[0]!.healDaemon({ 'data-self-heal-algorithm': algorithm });
      healer.gates[2]!.fault = (fop) => (fop === 'discard' ? Errno.EOPNOTSUPP : 'pass');
      rigs[0]!.join(2);
      await until(async () =>
        (await daemon.info('all')).every((brick) => brick.connected && brick.entries.length === 0),
      );
      const [one, , two] = await Promise.all(
        bricks.map((brick) => brick.ops.readv(client.call, { fd: new Fd(gfid, 0), size: 900_000, offset: 0 })),
      );
      expect(Buffer.compare((two as Success<'readv'>).data, (one as Success<'readv'>).data)).toBe(0);
    },
  );

  /** Two replicas with different data of one file, each accusing the other. */
  async function splitBrain(options: Record<string, string> = {}) {
    const { bricks } = await rig(2);
    const { daemon } = await rigs[0]!.healDaemon(options);
    const client = await rigs[0]!.client(options);
    const { fd, gfid } = await create(client, 'f', 'same');
    await client.xlator.drain();
    rigs[0]!.cut(1);
    await write(client, fd, 'left');
    await client.xlator.drain();
    rigs[0]!.cut(0);
    rigs[0]!.join(1);
    const later = { ...client.call, time: { sec: client.call.time.sec + 1, nsec: 0 } };
    await client.ops.writev(later, { fd, offset: 0, data: Buffer.from('right') });
    await client.xlator.drain();
    rigs[0]!.join(0);
    return { bricks, daemon, client, fd, gfid };
  }

  it('changes nothing in a split-brain, and says so', async () => {
    const { bricks, daemon, client, fd, gfid } = await splitBrain();
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.EIO);
    expect(await write(client, fd, 'more')).toEqual({ ok: false, errno: Errno.EIO });
    await until(async () => (await daemon.info('split-brain')).every((brick) => brick.entries.length === 1));
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['left', 'right']);
    await until(async () => rigs[0]!.lines.some((line) => line.includes('split-brain')));
  });

  it.each([
    ['bigger-file', undefined, 'right'],
    ['latest-mtime', undefined, 'right'],
    ['source-brick', 'vol-client-0', 'left'],
  ] as const)('lets the operator decide by %s', async (policy, brick, winner) => {
    const { bricks, daemon, client, gfid } = await splitBrain();
    expect(await daemon.resolve(policy, '/nosuch', brick)).toMatchObject({
      failed: true,
      exit: 22,
      lines: ['Lookup failed on /nosuch:No such file or directory.'],
    });
    expect(await daemon.resolve(policy, '/f', brick)).toEqual({ failed: false, exit: 0, lines: ['Healed /f.'] });
    expect(await onBricks(bricks, client.call, gfid)).toEqual([winner, winner]);
    for (const one of bricks) expect(await marks(one, client.call, gfid)).toEqual({});
    expect(await daemon.resolve(policy, '/f', brick)).toMatchObject({
      failed: true,
      lines: ['Healing /f failed: File not in split-brain.'],
    });
  });

  it('heals the attributes of a file in split-brain, and leaves the times that tell which data win', async () => {
    const { bricks } = await rig(2);
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '0', 'favorite-child-policy': 'mtime' });
    const { fd, gfid } = await create(client, 'f', 'same');
    await client.xlator.drain();
    const at = (sec: number) => ({ ...client.call, time: { sec: client.call.time.sec + sec, nsec: 0 } });
    rigs[0]!.cut(0);
    await client.ops.writev(at(1), { fd, offset: 0, data: Buffer.from('left') });
    await client.ops.setattr(at(1), { loc: locOf(gfid), attr: { mode: 0o600 } });
    await client.xlator.drain();
    rigs[0]!.join(0);
    rigs[0]!.cut(1);
    await client.ops.writev(at(2), { fd, offset: 0, data: Buffer.from('won!') });
    await client.xlator.drain();
    rigs[0]!.join(1);
    await rigs[0]!.healDaemon();
    const blame = { 'vol-client-0': '000000010000000000000000' };
    await until(async () => isDeepStrictEqual(await marks(bricks[1]!, client.call, gfid), blame));
    expect(await bricks[0]!.ops.stat(client.call, { loc: locOf(gfid) })).toMatchObject({ iatt: { mode: 0o600 } });
    expect(await contents(client.ops, client.call, gfid)).toBe('won!');
  });

  it('decides by the policy of the volume when the file is read', async () => {
    const { client, gfid } = await splitBrain({ 'favorite-child-policy': 'size', 'self-heal-daemon': 'off' });
    expect(await contents(client.ops, client.call, gfid)).toBe('right');
  });
});
