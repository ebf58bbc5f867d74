import { Fd, type Gfid, type GraphEvent, locAt, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { letGoOperation } from '../../lib/delegation.ts';
import { rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const other = '00000000-0000-0000-0000-0000000000bb' as Gfid;
const lifetimeMs = 1000;
const O_TRUNC = 0o1000;

/** `isOld`: the brick was started long ago. */
async function make({ isOld = true, 'delegation-timeout': timeout = '1', rest = '0' } = {}) {
  const made = await rig(xlator, { 'delegation-timeout': timeout, 'delegation-rest': rest });
  if (isOld) await made.services.clock.advance(lifetimeMs);
  const { ops } = made.xlator;
  const open = async (client: string, file = gfid) => {
    const args = { loc: locOf(file), flags: 0, fd: new Fd(file), xdata: { delegate: true } };
    const reply = await ops.open(rigCall(client), args);
    return reply.ok ? reply.xdata?.delegatedMs : reply.errno;
  };
  /** As it was asked last, or says otherwise. */
  const letGo = (client: string, file = gfid, serial = lastSerial(made.events, client)) =>
    ops.ipc(rigCall(client), { operation: letGoOperation, data: Buffer.from(`${file} ${serial}`, 'latin1') });
  /** Begins a change; `isDone` tells whether it has ended. */
  const changing = (client: string, change: () => Promise<unknown> = () => write(client)) => {
    const state = { isDone: false };
    void change().then(() => {
      state.isDone = true;
    });
    return settle().then(() => state);
  };
  const write = (client: string) =>
    ops.writev(rigCall(client), { fd: new Fd(gfid), offset: 0, data: new Uint8Array(1) });
  const reached = (fop: string) => made.child.calls.some((one) => one.fop === fop);
  return { ...made, ops, open, letGo, changing, write, reached };
}

const recalled = (clientId: string, file = gfid) =>
  expect.objectContaining({ type: 'upcall', clientId, gfid: file, what: 'recalled' });

function lastSerial(events: readonly GraphEvent[], client: string): string | undefined {
  const asked = events.filter((event) => event.type === 'upcall' && event.clientId === client);
  return (asked.at(-1) as { domain?: string } | undefined)?.domain;
}

describe('a delegation', () => {
  it('is given to who opens a file and asks for it', async () => {
    const r = await make();
    expect(await r.open('a')).toBe(lifetimeMs);
    const plain = await r.ops.open(rigCall('b'), { loc: locOf(gfid), flags: 0, fd: new Fd(gfid) });
    expect(plain).toEqual({ ok: true });
  });

  it('holds others up until it is given back', async () => {
    const r = await make();
    await r.open('a');
    const write = await r.changing('b');
    expect([write.isDone, r.reached('writev'), r.events]).toEqual([false, false, [recalled('a')]]);
    await r.letGo('a');
    await settle();
    expect([write.isDone, r.reached('writev')]).toEqual([true, true]);
  });

  it('holds nobody up for longer than it lasts', async () => {
    const r = await make();
    await r.open('a');
    const write = await r.changing('b');
    await r.services.clock.advance(lifetimeMs - 1);
    expect(write.isDone).toBe(false);
    await r.services.clock.advance(1);
    expect(write.isDone).toBe(true);
  });

  it('is asked back from all who have one, and once', async () => {
    const r = await make();
    for (const client of ['a', 'b']) await r.open(client);
    const first = await r.changing('c');
    const second = await r.changing('d');
    expect(r.events).toEqual([recalled('a'), recalled('b')]);
    await r.letGo('a');
    await settle();
    expect([first.isDone, second.isDone]).toEqual([false, false]);
    await r.letGo('b');
    await settle();
    expect([first.isDone, second.isDone]).toEqual([true, true]);
  });

  it('does not hold up its own client, nor changes of other files', async () => {
    const r = await make();
    await r.open('a');
    await r.open('b', other);
    expect((await r.changing('a')).isDone).toBe(true);
    expect(r.events).toEqual([]);
  });

  it('is not given while somebody changes the file, or has asked for it', async () => {
    const r = await make();
    let end = () => {};
    r.child.answers.writev = () =>
      new Promise((resolve) => {
        end = () => resolve({ ok: true } as never);
      });
    await r.changing('b');
    expect(await r.open('a')).toBeUndefined();
    expect(await r.open('a', other)).toBe(lifetimeMs);
    end();
    await settle();
    expect(await r.open('a')).toBe(lifetimeMs);
    await r.changing('b');
    expect(await r.open('a')).toBeUndefined();
  });

  it('that is asked for while the open is under way is not told of', async () => {
    const r = await make();
    r.child.answers.open = async () => {
      await r.changing('b');
      return { ok: true };
    };
    expect(await r.open('a')).toBeUndefined();
  });

  it('is not given for a while when somebody had to be asked', async () => {
    const r = await make({ rest: '10' });
    await r.open('a');
    await r.changing('b');
    await r.letGo('a');
    expect([await r.open('a'), await r.open('a', other)]).toEqual([undefined, lifetimeMs]);
    await r.services.clock.advance(10_000);
    expect(await r.open('a')).toBe(lifetimeMs);
    // It was over by itself: nobody was asked.
    await r.services.clock.advance(lifetimeMs);
    await r.changing('b');
    expect(await r.open('a')).toBe(lifetimeMs);
  });

  it('is not taken away by an open that failed, of another user perhaps', async () => {
    const r = await make();
    await r.open('a');
    r.child.answers.open = async () => ({ ok: false, errno: 13 });
    await r.open('a');
    expect((await r.changing('b')).isDone).toBe(false);
  });

  it('is not given back by who lets go of an earlier one', async () => {
    const r = await make();
    await r.open('a');
    await r.changing('b');
    const earlier = lastSerial(r.events, 'a');
    await r.services.clock.advance(lifetimeMs);
    await r.open('a');
    await r.letGo('a', gfid, earlier);
    const write = await r.changing('b');
    expect(write.isDone).toBe(false);
    await r.letGo('a');
    await settle();
    expect(write.isDone).toBe(true);
  });

  it('outlives the session: the client may not know yet that this is over', async () => {
    const r = await make();
    await r.open('a');
    r.xlator.notify({ type: 'session-ended', clientId: 'a' }, null);
    expect((await r.changing('b')).isDone).toBe(false);
  });

  it('of the process before this one may last still', async () => {
    const r = await make({ isOld: false });
    const write = await r.changing('b');
    expect(write.isDone).toBe(false);
    await r.services.clock.advance(lifetimeMs);
    expect(write.isDone).toBe(true);
  });

  it('is not given, and nobody waits, where there are none', async () => {
    const r = await make({ isOld: false, 'delegation-timeout': '0' });
    expect(await r.open('a')).toBeUndefined();
    expect((await r.changing('b')).isDone).toBe(true);
  });

  it('is asked for by all that changes the file', async () => {
    const place = locAt(rootGfid, 'f', gfid);
    const byName = locAt(rootGfid, 'f');
    const step = { fop: 'ftruncate', args: { fd: new Fd(gfid), size: 0 } };
    type Made = Awaited<ReturnType<typeof make>>;
    const changes: ((r: Made) => Promise<unknown>)[] = [
      ({ ops }) => ops.open(rigCall('b'), { loc: place, flags: O_TRUNC, fd: new Fd(gfid) }),
      ({ ops }) => ops.setattr(rigCall('b'), { loc: place, attr: { mode: 0 } }),
      ({ ops }) => ops.setattr(rigCall('b', { internal: 'self-heal' }), { loc: place, attr: { mode: 0 } }),
      ({ ops }) => ops.compound(rigCall('b'), { steps: [step] }),
      ({ ops }) => ops.unlink(rigCall('b'), { loc: place }),
      ({ ops }) => ops.unlink(rigCall('b'), { loc: byName }),
      ({ ops }) => ops.rename(rigCall('b'), { from: locAt(rootGfid, 'x', other), to: byName, flags: 0 }),
      ({ ops }) =>
        ops.create(rigCall('b'), { loc: byName, mode: 0o644, gfid: other, flags: O_TRUNC, fd: new Fd(other) }),
      ({ ops }) => ops.copy_file_range(rigCall('b'), copyTo(gfid)),
    ];
    for (const [i, change] of changes.entries()) {
      const r = await make();
      r.child.answers.lookup = async () => ({ ok: true, iatt: { gfid } }) as never;
      await r.open('a');
      expect((await r.changing('b', () => change(r))).isDone, `change ${i}`).toBe(false);
      expect(r.events).toEqual([recalled('a')]);
    }
  });

  it('refuses a gfid that is none', async () => {
    const r = await make();
    for (const text of ['', 'x'.repeat(1000), gfid.replace('0', 'x')])
      expect(await r.letGo('a', text as Gfid, '1')).toEqual({ ok: false, errno: 22 });
    expect(await r.letGo('a', gfid, '-1')).toEqual({ ok: false, errno: 22 });
  });

  it('is forgotten when it is over', async () => {
    const r = await make();
    for (let i = 0; i < 100; i++) {
      await r.open('a', `00000000-0000-0000-0000-0000000000${i.toString(16).padStart(2, '0')}` as Gfid);
      await r.services.clock.advance(100);
    }
    expect(r.xlator.dump()['delegations.files']).toBeLessThanOrEqual(11);
  });
});

function copyTo(file: Gfid) {
  return { from: new Fd(other), to: new Fd(file), fromOffset: 0, toOffset: 0, size: 1 } as never;
}
