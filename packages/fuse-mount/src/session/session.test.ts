import { type Call, Errno, fail, type Reply, type Subvolume } from '@mortar/core';
import { settle } from '@mortar/xlators/lib/translator-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { opcodes } from '../protocol/index.ts';
import { mounted, text, u32, u64 } from './session-rig.ts';

describe('bounds and bad input', () => {
  it('an exception becomes EIO, and the session lives', async () => {
    const { rig, top } = mounted();
    void rig.session.setGraph({ ...top, statfs: () => Promise.reject(new Error('a bug')) });
    expect((await rig.ask('statfs', 1)).errno).toBe(Errno.EIO);
    expect(rig.session.stats).toMatchObject({ exceptions: 1, inFlight: 0 });
    expect((await rig.ask('lookup', 1, text('a'))).errno).toBe(Errno.ENOENT);
  });

  it('ENOSYS of a brick does not switch an operation off in the kernel', async () => {
    const { rig, top } = mounted();
    void rig.session.setGraph({ ...top, getxattr: async () => fail(Errno.ENOSYS) });
    expect((await rig.ask('getxattr', 1, u32(9, 0), text('user.a'))).errno).toBe(Errno.EOPNOTSUPP);
  });

  it('says when enough requests are in flight, and when there is room again', async () => {
    const { rig, top } = mounted({ maxInFlight: 2 });
    let calls: Call[] = [];
    const finish: ((reply: Reply<'lookup'>) => void)[] = [];
    const lookup: Subvolume['lookup'] = (call) => {
      calls = [...calls, call];
      return new Promise((resolve) => finish.push(resolve));
    };
    void rig.session.setGraph({ ...top, lookup });
    let relieved = 0;
    rig.session.onRelief = () => relieved++;
    rig.send('lookup', 1, text('a'));
    expect(rig.session.saturated).toBe(false);
    rig.send('lookup', 1, text('b'));
    expect(rig.session.saturated).toBe(true);
    await settle();
    finish[0]!(fail(Errno.ENOENT));
    await settle();
    expect([rig.session.saturated, relieved]).toEqual([false, 1]);
  });

  it('refuses what it does not know without ending', async () => {
    const { rig } = mounted();
    expect((await rig.ask(4000, 1)).errno).toBe(Errno.ENOSYS);
    expect((await rig.ask('ioctl', 1, u64(0))).errno).toBe(Errno.ENOTTY);
    expect((await rig.ask('poll', 1)).errno).toBe(Errno.ENOSYS);
    expect((await rig.ask('read', 1, u32(1))).errno).toBe(Errno.EINVAL);
    rig.send('forget', 1);
    expect(rig.session.stats.malformed).toBe(2);
  });

  it('answers every request that it can read, whatever its bytes', async () => {
    const names = Object.keys(opcodes) as (keyof typeof opcodes)[];
    const silent = new Set(['forget', 'batchForget', 'interrupt', 'notifyReply', 'setlkw']);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(4), fc.uint8Array({ maxLength: 120 })), { maxLength: 15 }),
        async (requests) => {
          const { rig } = mounted();
          await rig.create('a');
          const expected = requests.map(([op, node, body]) => ({ op, unique: rig.send(op, node, Buffer.from(body)) }));
          await settle();
          await settle();
          for (const { op, unique } of expected) if (!silent.has(op)) expect(rig.answerTo(unique), op).toBeDefined();
          expect(rig.session.stats).toMatchObject({ exceptions: 0, inFlight: 0 });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('for the device', () => {
  it('says when the request that came last has been answered, and only then', async () => {
    const { rig } = mounted();
    let answered = 0;
    rig.session.onAnswered = () => answered++;
    const { node } = await rig.create('a');
    answered = 0;
    rig.send('getattr', node, u32(0, 0), u64(0));
    expect(rig.session.settled).toBe(false);
    rig.send('getattr', node, u32(0, 0), u64(0));
    await settle();
    expect(rig.session.settled).toBe(true);
    expect(answered).toBe(1);
  });

  it('is settled after a request without an answer', async () => {
    const { rig } = mounted();
    const { node } = await rig.create('a');
    rig.send('getattr', node, u32(0, 0), u64(0));
    rig.send('forget', node, u64(1));
    expect(rig.session.settled).toBe(true);
    await settle();
  });

  it('shares a look at the clock within a turn, and looks again in the next', async () => {
    const { rig, services } = mounted();
    let looks = 0;
    const clock = services.clock as { wall(): { sec: number; nsec: number } };
    const wall = clock.wall.bind(clock);
    clock.wall = () => {
      looks++;
      return wall();
    };
    rig.session.turn();
    for (let i = 0; i < 16; i++) rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(1);
    rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(2);
    rig.session.turn();
    rig.send('getattr', 1, u32(0, 0), u64(0));
    await settle();
    expect(looks).toBe(3);
  });
});
