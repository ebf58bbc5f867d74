import { Errno, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdleWheel } from './idle-wheel.ts';
import { create, mkdir, rig, rigs } from './test-rig.ts';

const find = async (client: RigClient, parent: Gfid, name: string) => {
  const reply = await client.ops.lookup(client.call, { loc: locAt(parent, name) });
  return reply.ok || reply.errno;
};
const frames = (client: RigClient) => client.gates.map((gate) => [...gate.counts.values()].reduce((a, b) => a + b, 0));
const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('names of a directory whose lease is held', () => {
  it('that are not there are not asked for: none in a new directory, after a listing none in any', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const fresh = await mkdir(client, 'new');
    const before = frames(client);
    for (let i = 0; i < 20; i++) {
      expect(await find(client, fresh, `f${i}`)).toBe(Errno.ENOENT);
      await create(client, `f${i}`, '', fresh);
      expect(await find(client, fresh, '..')).toBe(true);
    }
    // A creation and a lookup of '..' each.
    expect(frames(client).map((n, i) => n - before[i]!)).toEqual([40, 40, 40]);
    await client.xlator.drain();
    for (let i = 0; i < 12; i++) {
      await find(client, fresh, `g${i}`);
      await create(client, `g${i}`, '', fresh);
    }
    await settled();
    const listed = frames(client);
    expect(await find(client, fresh, 'h')).toBe(Errno.ENOENT);
    expect(frames(client)).toEqual(listed);
    for (const name of ['f3', 'g3', 'g11']) expect(await find(client, fresh, name)).toBe(true);
  });

  it('are seen when another client makes them, or we did by other means', async () => {
    await rig();
    const [one, other] = [await rigs[0]!.client(), await rigs[0]!.client()];
    const parent = await mkdir(one, 'd');
    const { gfid } = await create(one, 'a', '', parent);
    await create(other, 'theirs', '', parent);
    expect(await find(one, parent, 'theirs')).toBe(true);
    await one.ops.link(one.call, { from: { ...locAt(parent, 'a'), gfid }, to: locAt(parent, 'linked') });
    await create(one, 'moved', '', rootGfid);
    await one.ops.rename(one.call, { from: locAt(rootGfid, 'moved'), to: locAt(parent, 'here'), flags: 0 });
    for (const name of ['linked', 'here', 'a']) expect(await find(one, parent, name)).toBe(true);
    await one.ops.unlink(one.call, { loc: locAt(parent, 'a') });
    expect(await find(one, parent, 'a')).toBe(Errno.ENOENT);
  });

  it('are asked for where a replica is away or has been', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const parent = await mkdir(client, 'd');
    await create(client, 'a', '', parent);
    rigs[0]!.cut(2);
    await settled();
    const before = frames(client);
    expect(await find(client, parent, 'b')).toBe(Errno.ENOENT);
    expect(frames(client).map((n, i) => n - before[i]!)).toEqual([1, 1, 0]);
  });
});

describe('what idles', () => {
  it('ends after its time and soon after, together with what is due then, unless it is stopped', () => {
    const action = fc.record({
      item: fc.integer({ max: 5, min: 0 }),
      ms: fc.integer({ max: 3000, min: 0 }),
      stop: fc.boolean(),
      wait: fc.integer({ max: 400, min: 0 }),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        let now = 0;
        let timers: { at: number; run: () => void }[] = [];
        const clock = {
          nowMs: () => now,
          after: (ms: number, run: () => void) => {
            const timer = { at: now + ms, run };
            timers.push(timer);
            const cancel = () => {
              timers = timers.filter((one) => one !== timer);
            };
            return { cancel };
          },
        };
        const due = new Map<number, number>();
        const wheel = new IdleWheel<number>(clock, (items) => {
          for (const item of items) {
            const at = due.get(item)!;
            expect(now).toBeGreaterThanOrEqual(at);
            expect(now).toBeLessThanOrEqual(at + 50);
            due.delete(item);
          }
        });
        const pass = (ms: number) => {
          const end = now + ms;
          for (;;) {
            const next = timers.sort((a, b) => a.at - b.at)[0];
            if (!next || next.at > end) break;
            timers.shift();
            now = next.at;
            next.run();
          }
          now = end;
        };
        for (const { item, ms, stop, wait } of actions) {
          if (stop) {
            wheel.stop(item);
            due.delete(item);
          } else {
            due.set(item, now + ms);
            wheel.start(item, ms);
          }
          pass(wait);
        }
        pass(4000);
        expect(due.size).toBe(0);
        expect(timers).toEqual([]);
      }),
    );
  });
});

describe('a name that is not there by a layout', () => {
  const xattr = 'trusted.glusterfs.dht';
  const claimOf = (value: string) => ({ layout: `${xattr}=${Buffer.from(value).toString('hex')}` });
  const findBy = async (client: RigClient, parent: Gfid, name: string, layout: string) => {
    const reply = await client.ops.lookup(client.call, { loc: locAt(parent, name), xdata: claimOf(layout) });
    return reply.ok || reply.errno;
  };
  const layOut = async (client: RigClient, gfid: Gfid, value: string) => {
    const set = { loc: locOf(gfid), xattrs: { [xattr]: Buffer.from(value) }, flags: 0 };
    expect(await client.ops.setxattr(client.call, set)).toMatchObject({ ok: true });
  };

  it('is not said to be nowhere when the directory is laid out otherwise, be its names known or not', async () => {
    await rig();
    const [client, other] = [await rigs[0]!.client({ 'post-op-delay-secs': '60' }), await rigs[0]!.client()];
    const gfid = await mkdir(client, 'd');
    await layOut(client, gfid, 'one');
    expect(await findBy(client, gfid, 'a', 'one')).toBe(Errno.ENOENT);
    const before = frames(client);
    expect(await findBy(client, gfid, 'b', 'one')).toBe(Errno.ENOENT);
    expect(frames(client)).toEqual(before);
    expect(await findBy(client, gfid, 'b', 'two')).toBe(Errno.EREMCHG);
    await layOut(other, gfid, 'two');
    expect(await findBy(client, gfid, 'a', 'one')).toBe(Errno.EREMCHG);
    expect(await findBy(client, gfid, 'a', 'two')).toBe(Errno.ENOENT);
    await create(client, 'there', '', gfid);
    expect(await findBy(client, gfid, 'there', 'one')).toBe(true);
    expect(await findBy(other, gfid, 'there', 'one')).toBe(true);
  });

  it('is not, either, by one replica that is laid out otherwise', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client();
    const gfid = await mkdir(client, 'd');
    await layOut(client, gfid, 'one');
    await client.xlator.drain();
    const old = { loc: locOf(gfid), xattrs: { [xattr]: Buffer.from('old') }, flags: 0 };
    expect(await bricks[0]!.ops.setxattr(client.call, old)).toMatchObject({ ok: true });
    for (const layout of ['one', 'old']) expect(await findBy(client, gfid, 'a', layout)).toBe(Errno.EREMCHG);
  });
});
