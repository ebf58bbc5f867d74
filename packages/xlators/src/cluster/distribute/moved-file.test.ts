import {
  compoundStep,
  Errno,
  Fd,
  FileType,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  type Reply,
  rootGfid,
} from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeLinkto } from './linkto.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

const rigs: DistributeRig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0).reverse()) await rig.close();
});

const regular = FileType.regular << 12;
const linktoName = 'trusted.glusterfs.dht.linkto';

function done<R extends { ok: boolean }>(reply: R): void {
  expect(reply).toMatchObject({ ok: true });
}

/** A file where its name hashes to; then, behind the client's back, it is on another child and a linkto in its place. */
async function moved(
  storage: 'memory' | 'posix',
): Promise<{ rig: DistributeRig; gfid: Gfid; old: number; now: number }> {
  const rig = await distributeRig({ children: 2, storage });
  rigs.push(rig);
  await rig.walk('/');
  const gfid = rig.gfid();
  const node = { loc: locAt(rootGfid, 'f'), mode: regular | 0o644, rdevMajor: 0, rdevMinor: 0, gfid };
  done(await rig.ops.mknod(rig.call, node));
  const old = (await rig.onBrick(0, '/f')) ? 0 : 1;
  const now = 1 - old;
  const call = { ...rig.call, internal: 'rebalance' as const };
  done(await rig.bricks[now]!.mknod(call, node));
  done(await rig.bricks[old]!.unlink(call, { loc: node.loc }));
  const initial = { [linktoName]: encodeLinkto(rig.d.childName(now)) };
  done(await rig.bricks[old]!.mknod(call, { ...node, mode: regular | 0o1000, initial }));
  return { rig, gfid, old, now };
}

async function stepsOf(reply: Promise<Reply<'compound'>>) {
  const whole = await reply;
  if (!whole.ok) throw new Error(`errno ${whole.errno}`);
  return whole.replies;
}

const names = async (rig: DistributeRig, brick: number) =>
  (
    await Promise.all(['f', 'g0', 'g1', 'g2', 'g3'].map(async (n) => ((await rig.onBrick(brick, `/${n}`)) ? [n] : [])))
  ).flat();

describe.each(['memory', 'posix'] as const)(
  'a file that was moved since the client looked, bricks in %s',
  (storage) => {
    it('goes when it is removed, not its linkto alone', async () => {
      const { rig, gfid } = await moved(storage);
      done(await rig.ops.unlink(rig.call, { loc: { ...locAt(rootGfid, 'f'), gfid } }));
      expect([await names(rig, 0), await names(rig, 1)]).toEqual([[], []]);
    });

    it.each(['g0', 'g1', 'g2', 'g3'])('is what gets another name by rename (%s)', async (name) => {
      const { rig, gfid, now } = await moved(storage);
      const from = { ...locAt(rootGfid, 'f'), gfid };
      done(await rig.ops.rename(rig.call, { from, to: locAt(rootGfid, name), flags: 0 }));
      expect(await names(rig, now)).toEqual([name]);
      expect(await names(rig, 1 - now)).not.toContain('f');
      const other = await distributeRig({ children: 2, over: rig });
      rigs.push(other);
      expect(await other.walk(`/${name}`)).toMatchObject({ ok: true, iatt: { gfid, mode: 0o644 } });
    });

    it.each(['g0', 'g1', 'g2', 'g3'])('is what gets one more name by link (%s)', async (name) => {
      const { rig, gfid, now } = await moved(storage);
      const reply: Reply<'link'> = await rig.ops.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, name) });
      expect(reply).toMatchObject({ ok: true, iatt: { gfid, mode: 0o644 } });
      expect(await names(rig, now)).toEqual(['f', name]);
    });
  },
);

it('is found elsewhere when the child that it has left for good is shut down', async () => {
  const { rig, gfid, old, now } = await moved('memory');
  const options = { 'decommissioned-bricks': `tr-client-${old}` };
  const client = await distributeRig({ children: 2, over: rig, options });
  rigs.push(client);
  await client.walk('/');
  client.d.remember(gfid, { kind: 'file', child: old });
  client.doors[old]!.close();
  const truncate = { loc: locOf(gfid), size: 5 };
  done(await client.ops.truncate(client.call, truncate));
  expect(await rig.onBrick(now, '/f')).toMatchObject({ iatt: { size: 5 } });
  client.d.remember(gfid, { kind: 'file', child: old });
  const reply = await client.ops.compound(client.call, {
    steps: [{ fop: 'truncate', args: { ...truncate, size: 6 } }],
  });
  expect(reply).toMatchObject({ ok: true, replies: [{ ok: true }] });
  expect(await rig.onBrick(now, '/f')).toMatchObject({ iatt: { size: 6 } });
});

it('is not said to be gone when it may be on a child that cannot be asked', async () => {
  const { rig, gfid, old, now } = await moved('memory');
  const gone = { ok: false, errno: Errno.ENOTCONN };
  rig.doors[now]!.close();
  rig.d.remember(gfid, { kind: 'file', child: old });
  await rig.bricks[old]!.unlink({ ...rig.call, internal: 'rebalance' }, { loc: locAt(rootGfid, 'f') });
  expect(await rig.ops.truncate(rig.call, { loc: locOf(gfid), size: 5 })).toEqual(gone);
  rig.d.remember(gfid, { kind: 'file', child: old });
  expect(await rig.ops.link(rig.call, { from: locOf(gfid), to: locAt(rootGfid, 'g') })).toMatchObject(gone);
});

describe.each(['memory', 'posix'] as const)(
  'what is done to a moved file by who believes it at its old place (%s)',
  (storage) => {
    const name = 'user.color';

    it('is done to the file: attributes', async () => {
      const { rig, gfid, old, now } = await moved(storage);
      rig.d.remember(gfid, { kind: 'file', child: old });
      done(await rig.ops.setxattr(rig.call, { loc: locOf(gfid), xattrs: { [name]: Buffer.from('red') }, flags: 0 }));
      expect([await rig.xattr(old, '/f', name), await rig.xattr(now, '/f', name)]).toEqual([undefined, '726564']);
      rig.d.remember(gfid, { kind: 'file', child: old });
      expect(await rig.ops.getxattr(rig.call, { loc: locOf(gfid), name })).toMatchObject({ ok: true });
      rig.d.remember(gfid, { kind: 'file', child: old });
      done(await rig.ops.removexattr(rig.call, { loc: locOf(gfid), name }));
      expect(await rig.xattr(now, '/f', name)).toBeUndefined();
    });

    it.each(['its gfid', 'a descriptor', 'a compound'])('is done to the file: its mode, by %s', async (by) => {
      const { rig, gfid, old, now } = await moved(storage);
      rig.d.remember(gfid, { kind: 'file', child: old });
      const attr = { mode: 0o600 };
      const steps = [compoundStep('setattr', { loc: locOf(gfid), attr })];
      if (by === 'its gfid') done(await rig.ops.setattr(rig.call, { loc: locOf(gfid), attr }));
      else if (by === 'a descriptor') done(await rig.ops.fsetattr(rig.call, { fd: new Fd(gfid, 2), attr }));
      else expect(await rig.ops.compound(rig.call, { steps })).toMatchObject({ ok: true, replies: [{ ok: true }] });
      expect((await rig.onBrick(now, '/f'))!.iatt.mode).toBe(0o600);
      // Else it would be an empty file to whoever looks it up.
      expect((await rig.onBrick(old, '/f'))!.iatt.mode).toBe(0o1000);
    });

    /** A descriptor that was opened anew, as with a brick that was started again, where the linkto is by now. */
    async function reopened() {
      const { rig, gfid, old, now } = await moved(storage);
      const other = await distributeRig({ children: 2, over: rig });
      rigs.push(other);
      await other.walk('/f');
      const theirs = new Fd(gfid, 2);
      done(await other.ops.open(other.call, { loc: locOf(gfid), flags: 2, fd: theirs }));
      const fd = new Fd(gfid, 2);
      rig.d.remember(gfid, { kind: 'file', child: old });
      done(await rig.d.children[old]!.open(rig.call, { loc: locOf(gfid), flags: 2, fd }));
      rig.d.rememberFd(fd, { kind: 'file', child: old });
      const call = { ...other.call, clientId: 'other' };
      return { rig, gfid, now, fd, theirs, other: other.ops, call };
    }

    const lockOf = (owner: string, type: 'write' | 'unlock' = 'write') =>
      ({ command: 'set', flock: { type, start: 0, length: 0, owner, pid: 1 } }) as const;

    it('is done to the file: locks, through a descriptor that was opened anew at the linkto', async () => {
      const { rig, fd, theirs, other, call } = await reopened();
      done(await rig.ops.lk(rig.call, { fd, ...lockOf('01') }));
      const refused = { ok: false, errno: Errno.EAGAIN };
      expect(await other.lk(call, { fd: theirs, ...lockOf('02') })).toMatchObject(refused);
      done(await rig.ops.lk(rig.call, { fd, ...lockOf('01', 'unlock') }));
      done(await other.lk(call, { fd: theirs, ...lockOf('02') }));
      for (const one of [fd, theirs]) one.release();
    });

    it.each(['a request', 'a compound'])('is done to the file: the look at who has locked it, by %s', async (by) => {
      const { rig, fd, theirs, other, call } = await reopened();
      done(await other.lk(call, { fd: theirs, ...lockOf('02') }));
      const get = { fd, ...lockOf('01'), command: 'get' } as const;
      const [reply] =
        by === 'a request'
          ? [await rig.ops.lk(rig.call, get)]
          : await stepsOf(rig.ops.compound(rig.call, { steps: [compoundStep('lk', get)] }));
      expect(reply).toMatchObject({ ok: true, flock: { type: 'write', owner: '02' } });
      for (const one of [fd, theirs]) one.release();
    });

    it('is done to the file: the search for data, through a descriptor that was opened anew at the linkto', async () => {
      const { rig, fd, theirs, other, call } = await reopened();
      done(await other.writev(call, { fd: theirs, offset: 0, data: Buffer.from('data') }));
      expect(await rig.ops.seek(rig.call, { fd, offset: 0, what: 'data' })).toMatchObject({ ok: true, offset: 0 });
      for (const one of [fd, theirs]) one.release();
    });

    it('is done to the file: permission', async () => {
      const { rig, gfid, old } = await moved(storage);
      rig.d.remember(gfid, { kind: 'file', child: old });
      const stranger = { ...rig.call, uid: 1000, gid: 1000 };
      done(await rig.ops.access(stranger, { loc: locOf(gfid), mask: 4 }));
    });

    it('is done to the file: locks, through what was opened though nothing told its attributes', async () => {
      const { rig, gfid, old, now } = await moved(storage);
      for (const child of rig.d.children) {
        const { open } = child;
        (child as { open: typeof open }).open = async (call, args) => {
          const { iatt: _, ...reply } = (await open(call, args)) as { ok: true; iatt?: Iatt };
          return reply;
        };
      }
      rig.d.remember(gfid, { kind: 'file', child: old });
      const fd = new Fd(gfid, 2);
      done(await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 2, fd }));
      expect(rig.d.stateOf(gfid)).toMatchObject({ child: now });
      done(await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from('x') }));
      expect((await rig.onBrick(old, '/f'))!.iatt.size).toBe(0);
      fd.release();
    });
  },
);
