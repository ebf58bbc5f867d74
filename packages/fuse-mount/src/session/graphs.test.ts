import { Errno, type Fd, fail, parseOptions, type Reply, type Subvolume } from '@mortar/core';
import { rigServices, settle } from '@mortar/xlators/lib/translator-rig.ts';
import { xlator as writeBehind } from '@mortar/xlators/performance/write-behind/index.ts';
import { describe, expect, it } from 'vitest';
import { lockBody, memory, mounted, SessionRig, text, u32, u64 } from './session-rig.ts';

describe('graphs', () => {
  it('requests wait for the first one', async () => {
    const services = rigServices();
    const { ops: top } = memory(services);
    const rig = new SessionRig(services);
    const waiting = rig.send('lookup', 1, text('a'));
    await settle();
    expect(rig.answerTo(waiting)).toBeUndefined();
    void rig.session.setGraph(top);
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.ENOENT);
  });

  it('requests get ENOTCONN when none comes in time', async () => {
    const services = rigServices();
    const rig = new SessionRig(services, { graphWaitMs: 1000 });
    const waiting = rig.send('lookup', 1, text('a'));
    await services.clock.advance(999);
    expect(rig.answerTo(waiting)).toBeUndefined();
    await services.clock.advance(1);
    expect(rig.answerTo(waiting)?.errno).toBe(Errno.ENOTCONN);
  });

  /** A second graph over the same storage that notes what was opened on it. */
  function secondGraph(top: Subvolume) {
    const opened: number[] = [];
    const locked: string[] = [];
    const next: Subvolume = {
      ...top,
      open: async (call, args) => {
        opened.push(args.flags);
        return top.open(call, args);
      },
      lk: async (call, args) => {
        if (args.command === 'set') locked.push(`${args.flock.type} ${args.flock.start}+${args.flock.length}`);
        return top.lk(call, args);
      },
    };
    return { next, opened, locked };
  }

  it('open files move to a new one with their locks, and the old one is then unused', async () => {
    const { rig, top } = mounted();
    const { node, fh } = await rig.create('a', 0o1002);
    await rig.write(fh, node, 'kept');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 2, 5, 1));
    const { next, opened, locked } = secondGraph(top);
    await rig.session.setGraph(next);
    expect(opened).toEqual([0o2]);
    expect(locked).toEqual(['write 2+4']);
    expect((await rig.read(fh, node)).body.toString()).toBe('kept');
  });

  it('writes that the old one has answered, and that failed, are told by the new one', async () => {
    const { rig, services, top } = mounted();
    const behind = async (below: Subvolume) => {
      const texts = new Map([['answer-ahead', 'on']]);
      const { values: options } = parseOptions(writeBehind.options, texts);
      const made = writeBehind.create({ name: 'behind', type: writeBehind.type, options, texts, services });
      made.bind([below], undefined);
      return made.ops;
    };
    const full: Subvolume = { ...top, writev: async () => fail(Errno.ENOSPC) };
    await rig.session.setGraph(await behind(full));
    const { node, fh } = await rig.create('a', 0o2);
    const others = await Promise.all(['b', 'c'].map((name) => rig.create(name, 0o2)));
    for (const file of [{ node, fh }, ...others]) expect((await rig.write(file.fh, file.node, 'lost')).errno).toBe(0);
    await rig.session.setGraph(await behind(top));
    const flush = (file: { node: number; fh: number }) => rig.ask('flush', file.node, u64(file.fh), u32(0, 0), u64(0));
    const fsync = (file: { node: number; fh: number }) => rig.ask('fsync', file.node, u64(file.fh), u32(0, 0));
    const told = [
      await flush({ node, fh }),
      await fsync(others[0]!),
      await rig.write(others[1]!.fh, others[1]!.node, 'x'),
    ];
    expect(told.map(({ errno }) => errno)).toEqual([Errno.ENOSPC, Errno.ENOSPC, Errno.ENOSPC]);
    // Once.
    expect([await flush({ node, fh }), await fsync(others[0]!)].map(({ errno }) => errno)).toEqual([0, 0]);
    expect((await rig.write(others[1]!.fh, others[1]!.node, 'y')).errno).toBe(0);
  });

  it('a request under way keeps the old one until it ends', async () => {
    const { rig, top } = mounted();
    let finish: (reply: Reply<'lookup'>) => void = () => {};
    void rig.session.setGraph({ ...top, lookup: () => new Promise((resolve) => (finish = resolve)) });
    const slow = rig.send('lookup', 1, text('a'));
    let drained = false;
    void rig.session.setGraph(top).then(() => {
      drained = true;
    });
    await settle();
    expect([drained, rig.answerTo(slow)]).toEqual([false, undefined]);
    finish(fail(Errno.ENOENT));
    await settle();
    expect([drained, rig.answerTo(slow)?.errno]).toEqual([true, Errno.ENOENT]);
  });

  it('a listing under way goes on with what it has open in the old one, the next with what is open in the new one', async () => {
    const { rig, top } = mounted();
    for (const name of ['a', 'b', 'c']) await rig.create(name);
    const used = { first: new Set<Fd>(), second: new Set<Fd>() };
    let goOn: () => void = () => {};
    const waits = new Promise<void>((resolve) => (goOn = resolve));
    const listing = (fds: Set<Fd>, before?: Promise<void>): Subvolume => ({
      ...top,
      readdir: async (call, args) => {
        await before;
        fds.add(args.fd);
        const reply = await top.readdir(call, args);
        return reply.ok && reply.entries.length > 1
          ? { ...reply, entries: reply.entries.slice(0, 1), end: false }
          : reply;
      },
    });
    void rig.session.setGraph(listing(used.first, waits));
    const fh = (await rig.expect('opendir', 1, u32(0, 0))).readUInt32LE(0);
    const parts = (offset: number) => [u64(fh), u64(offset), u32(4096, 0), u64(0), u32(0, 0)];
    const slow = rig.send('readdir', 1, ...parts(0));
    await settle();
    const switched = rig.session.setGraph(listing(used.second));
    await settle();
    goOn();
    await switched;
    await settle();
    expect(rig.answerTo(slow)?.body.includes('c')).toBe(true);
    await rig.expect('readdir', 1, ...parts(0));
    expect([used.first.size, used.second.size]).toEqual([1, 1]);
    expect([...used.first][0]).not.toBe([...used.second][0]);
  });

  it('a lock wait begins again on the new one', async () => {
    const { rig, top } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('setlk', node, ...lockBody(fh, 1, 0, 9, 1));
    const waiting = rig.send('setlkw', node, ...lockBody(fh, 2, 0, 9, 1));
    await settle();
    await rig.session.setGraph(secondGraph(top).next);
    expect(rig.answerTo(waiting)).toBeUndefined();
    await rig.expect('flush', node, u64(fh, 0, 1));
    await settle();
    expect(rig.answerTo(waiting)?.errno).toBe(0);
  });
});
