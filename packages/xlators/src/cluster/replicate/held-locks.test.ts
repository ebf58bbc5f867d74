/** Locks of callers over bricks that forget them, and requests that come to nothing. */
import { Errno, Fd, type Flock, type Gfid } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { describe, expect, it } from 'vitest';
import { create, rig, rigs, until } from './test-rig.ts';

type Range = readonly [start: number, length: number];
const whole: Range = [0, 0];

function flock(type: Flock['type'], [start, length]: Range, owner = 'aa'): Flock {
  return { type, start, length, owner, pid: 1 };
}

const lk = (who: RigClient, fd: Fd, type: Flock['type'], range = whole, command: 'set' | 'wait' = 'set') =>
  who.ops.lk({ ...who.call, lockOwner: 'aa' }, { fd, command, flock: flock(type, range) });

/** Two clients that have one file open. */
async function scene() {
  const set = await rig();
  const [a, b] = [await set.client(), await set.client()];
  const { fd, gfid } = await create(a, 'f', 'x');
  await a.xlator.drain();
  return { set, a, b, fd, gfid, other: new Fd(gfid, 2) };
}

/** The locks that a brick has given. */
async function onBrick(brick: number, gfid: Gfid): Promise<string[]> {
  return (await given(brick, gfid)).map((one) => `${one.type} ${one.start}+${one.length}`);
}

async function given(brick: number, gfid: Gfid): Promise<Record<string, unknown>[]> {
  const { ops } = rigs.at(-1)!.bricks[brick]!;
  const call = { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: 'stranger', time: { sec: 0, nsec: 0 } };
  const reply = await ops.ipc(call, { operation: 'locks.list', data: Buffer.alloc(0) });
  if (!reply.ok || !reply.data) throw new Error('nothing is known');
  const all = JSON.parse(Buffer.from(reply.data).toString()) as Record<string, unknown>[];
  return all.filter((one) => one.kind === 'posix' && one.gfid === gfid && one.state === 'granted');
}

/** A brick process is killed and started again: all its clients find that it has forgotten them. */
function restart(clients: readonly RigClient[], brick: number): void {
  for (const { gates } of clients) gates[brick]!.shutDoor();
  for (const { gates, xlator } of clients) {
    xlator.notify({ type: 'session-lost' }, gates[brick]!);
    gates[brick]!.openDoor();
  }
}

describe('a lock that is held', () => {
  it('is nobody else’s when one brick after the other is started again', async () => {
    const { a, b, fd, other, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    for (const brick of [0, 1, 2]) {
      restart([a, b], brick);
      await until(async () => (await onBrick(brick, gfid)).length === 1).catch(() => undefined);
      expect(await lk(b, other, 'write')).toEqual({ ok: false, errno: Errno.EAGAIN });
    }
    await lk(a, fd, 'unlock');
    expect(await lk(b, other, 'write')).toMatchObject({ ok: true });
  });

  it('is had again in all of its parts', async () => {
    const { a, b, fd, gfid } = await scene();
    expect(await lk(a, fd, 'write', [0, 100])).toMatchObject({ ok: true });
    await lk(a, fd, 'unlock', [40, 20]);
    restart([a, b], 0);
    await until(async () => (await onBrick(0, gfid)).sort().join() === 'write 0+40,write 60+40');
  });

  it('is nobody else’s either when somebody waits for it meanwhile', async () => {
    const { a, b, fd, other, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    let hasIt = false;
    const waiting = lk(b, other, 'write', whole, 'wait').finally(() => (hasIt = true));
    await until(async () => (b.gates[0]!.counts.get('lk') ?? 0) > 0);
    for (const brick of [0, 1, 2, 0, 1, 2]) {
      restart([a, b], brick);
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const one of [0, 1, 2]) expect(await given(one, gfid)).toMatchObject([{ clientId: a.call.clientId }]);
      expect(hasIt).toBe(false);
    }
    await lk(a, fd, 'unlock');
    expect(await waiting).toMatchObject({ ok: true });
    for (const brick of [0, 1, 2]) await until(async () => (await onBrick(brick, gfid)).length === 1);
  });

  it('is had again by a replica that was asked for it first by who waits for it', async () => {
    const { a, b, fd, other, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    a.gates[0]!.shutDoor();
    expect(await onBrick(0, gfid)).toEqual([]);
    const waiting = lk(b, other, 'write', whole, 'wait');
    await until(async () => (b.gates[1]!.counts.get('lk') ?? 0) > 0);
    a.xlator.notify({ type: 'session-lost' }, a.gates[0]!);
    a.gates[0]!.openDoor();
    await until(async () => (await given(0, gfid)).some(({ clientId }) => clientId === a.call.clientId));
    await lk(a, fd, 'unlock');
    expect(await waiting).toMatchObject({ ok: true });
    for (const brick of [0, 1, 2]) expect(await given(brick, gfid)).toMatchObject([{ clientId: b.call.clientId }]);
  });

  it('is got by one after the other of those who ask for it at once', async () => {
    const { a, b, fd, other, gfid } = await scene();
    for (let i = 0; i < 20; i++) {
      const both = [
        lk(a, fd, 'write', whole, 'wait').then(() => a),
        lk(b, other, 'write', whole, 'wait').then(() => b),
      ];
      const first = await Promise.race(both);
      for (const brick of [0, 1, 2])
        expect(await given(brick, gfid)).toMatchObject([{ clientId: first.call.clientId }]);
      await lk(first, first === a ? fd : other, 'unlock');
      const second = first === a ? b : a;
      await Promise.all(both);
      await lk(second, second === a ? fd : other, 'unlock');
    }
  });

  it('is not got again, and is told of, where the client was away so long that all have forgotten it', async () => {
    const { set, a, b, fd, other, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    for (const gate of a.gates) gate.shutDoor();
    expect(await lk(b, other, 'write')).toMatchObject({ ok: true });
    expect(await lk(b, other, 'unlock')).toMatchObject({ ok: true });
    for (const gate of a.gates) {
      a.xlator.notify({ type: 'session-lost' }, gate);
      gate.openDoor();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const brick of [0, 1, 2]) expect(await onBrick(brick, gfid)).toEqual([]);
    expect(set.lines.filter((line) => line.includes('1 lock(s)'))).toHaveLength(1);
  });

  it('is got again where the client was cut off from all, and one of them has forgotten it', async () => {
    const { a, fd, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    for (const gate of a.gates) gate.shutDoor(gate === a.gates[0]);
    for (const gate of a.gates) {
      if (gate === a.gates[0]) a.xlator.notify({ type: 'session-lost' }, gate);
      gate.openDoor();
    }
    await until(async () => (await onBrick(0, gfid)).length === 1);
  });

  it('is had by a replica that comes while others are waited for', async () => {
    const { a, b, fd, other, gfid } = await scene();
    expect(await lk(a, fd, 'write')).toMatchObject({ ok: true });
    b.gates[2]!.shutDoor();
    const waiting = lk(b, other, 'write', whole, 'wait');
    await until(async () => (b.gates[0]!.counts.get('lk') ?? 0) > 0);
    b.gates[2]!.openDoor();
    await lk(a, fd, 'unlock');
    expect(await waiting).toMatchObject({ ok: true });
    await until(async () => (await onBrick(2, gfid)).length === 1);
  });

  it.each([{ again: [0] }, { again: [0, 1] }])(
    'is had by replicas that were started again while it was waited for on others ($again)',
    async ({ again }) => {
      const { b, other, gfid } = await scene();
      const { ops } = rigs[0]!.bricks[2]!;
      const stranger = { ...b.call, clientId: 'stranger' };
      const last = { fd: new Fd(gfid), command: 'set' as const };
      await ops.lk(stranger, { ...last, flock: flock('write', whole) });
      const waiting = lk(b, other, 'write', whole, 'wait');
      await until(async () => (b.gates[2]!.counts.get('lk') ?? 0) > 0);
      for (const brick of again) restart([b], brick);
      await ops.lk(stranger, { ...last, flock: flock('unlock', whole) });
      expect(await waiting).toMatchObject({ ok: true });
      for (const brick of [0, 1, 2]) await until(async () => (await onBrick(brick, gfid)).length === 1);
    },
  );

  it('is not got again by who has given it back or closed the file before the brick gave it', async () => {
    const { a, b, fd, other, gfid } = await scene();
    const second = new Fd(gfid, 2);
    expect(await lk(a, fd, 'write', [0, 10])).toMatchObject({ ok: true });
    expect(await lk(a, second, 'write', [10, 10])).toMatchObject({ ok: true });
    a.gates[2]!.shutDoor();
    expect(await onBrick(2, gfid)).toEqual([]);
    // Somebody tries for it, and is to be refused by the others.
    expect(
      await rigs[0]!.bricks[2]!.ops.lk(
        { ...b.call, clientId: 'b' },
        { fd: new Fd(gfid), command: 'set', flock: flock('write', whole) },
      ),
    ).toMatchObject({ ok: true });
    a.xlator.notify({ type: 'session-lost' }, a.gates[2]!);
    a.gates[2]!.openDoor();
    await lk(a, fd, 'unlock', [0, 5]);
    second.release();
    await rigs[0]!.bricks[2]!.ops.lk(
      { ...b.call, clientId: 'b' },
      { fd: new Fd(gfid), command: 'set', flock: flock('unlock', whole) },
    );
    await until(async () => (await onBrick(2, gfid)).join() === 'write 5+5');
    await lk(a, fd, 'unlock');
    expect(await lk(b, other, 'write')).toMatchObject({ ok: true });
  });
});

describe('a request for a lock that one replica refuses', () => {
  it('leaves each with what the owner had before', async () => {
    const { a, b, fd, other, gfid } = await scene();
    await lk(a, fd, 'read', [0, 10]);
    await lk(a, fd, 'write', [20, 5]);
    const before = ['read 0+10', 'write 20+5'];
    // Another reader has given his lock back, and one replica has not heard of it yet.
    a.gates[1]!.fault = (fop) => (fop === 'lk' ? Errno.EAGAIN : 'pass');
    for (const command of ['set', 'wait'] as const)
      expect(await lk(a, fd, 'write', [5, 30], command)).toEqual({ ok: false, errno: Errno.EAGAIN });
    a.gates[1]!.fault = () => 'pass';
    for (const brick of [0, 1, 2]) expect(await onBrick(brick, gfid)).toEqual(before);
    expect(await lk(b, other, 'write', [0, 10])).toEqual({ ok: false, errno: Errno.EAGAIN });
    for (const brick of [0, 1, 2]) expect(await onBrick(brick, gfid)).toEqual(before);
    expect(await lk(b, other, 'write', [10, 10])).toMatchObject({ ok: true });
  });
});
