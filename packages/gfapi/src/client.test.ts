import { Errno, locAt, rootGfid } from '@mortar/core';
import { ManualClock } from '@mortar/xlators/lib/translator-rig.ts';
import { describe, expect, it, vi } from 'vitest';
import { type ConnectOptions, connect } from './connect.ts';
import { controlled, volumeWith } from './controlled-rig.ts';
import { CountingClock, checkedVolfile, codeOf, inMemory } from './gfapi-rig.ts';

describe('a switch of graphs', () => {
  it('takes open files, their locks and listings along', async () => {
    const { volume: v, state, switchTo } = await controlled();
    await v.writeFile('/f', 'text');
    for (let i = 0; i < 20; i++) await v.writeFile(`/n${i}`, '');
    const [file, other] = [await v.open('/f', 'r+'), await v.open('/f', 'r+')];
    await file.lock({ type: 'write', length: 4 });
    const dir = await v.opendir('/');
    await dir.read();
    const waiting = other.lock({ type: 'read', wait: true });
    await v.unlink('/f');
    switchTo('b');
    await vi.waitFor(() => expect(state.seen).toContain('fini a'));
    state.seen.length = 0;
    await file.write('TEXT', 0);
    expect((await other.read({ position: 0 })).buffer.subarray(0, 4).toString()).toBe('TEXT');
    while (await dir.read());
    expect(state.seen.filter((line) => line.startsWith('a '))).toEqual([]);
    await file.unlock();
    await waiting;
    expect(await other.lockInTheWay({ type: 'read' })).toBeNull();
    for (const one of [file, other, dir]) await one.close();
    expect(v.graph.openFiles).toBe(0);
  });

  it('tells of a write that was answered ahead and failed, also when that took longer than requests may stay', async () => {
    const clock = new ManualClock();
    const onTop = [{ type: 'performance/write-behind', options: { 'answer-ahead': 'on' } }];
    const { volume: v, state, switchTo } = await controlled({ clock, onTop });
    const file = await v.open('/f', 'w+');
    const fails = state.answerLate('writev', 'before', Errno.ENOSPC);
    await file.write('lost', 0);
    switchTo('b');
    await vi.waitFor(() => expect(state.tops).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await clock.advance(45_000);
    fails();
    await vi.waitFor(() => expect(state.seen).toContain('fini a'));
    expect(await codeOf(file.sync())).toBe('ENOSPC');
  });

  it('under load loses and repeats nothing', async () => {
    const { volume: v, state, switchTo } = await controlled();
    const files = await Promise.all(Array.from({ length: 8 }, (_, i) => v.open(`/f${i}`, 'a+')));
    let stop = false;
    const counts = await Promise.all([
      ...files.map(async (file, i) => {
        let count = 0;
        for (; !stop; count++) {
          await file.write(`${i}`);
          await new Promise((resolve) => setImmediate(resolve));
        }
        return count;
      }),
      (async () => {
        for (const next of ['b', 'c', 'd', 'e']) {
          switchTo(next);
          await vi.waitFor(() => expect(state.seen).toContain(`fini ${String.fromCharCode(next.charCodeAt(0) - 1)}`));
        }
        stop = true;
        return 0;
      })(),
    ]);
    for (const [i, file] of files.entries()) {
      expect((await file.stat()).size).toBe(counts[i]);
      await file.close();
    }
    expect(counts.slice(0, 8).every((count) => count > 4)).toBe(true);
  });

  it('waits for what is under way, also for an open', async () => {
    const { volume: v, state, switchTo } = await controlled();
    await v.writeFile('/f', 'text');
    state.hold();
    const opening = v.open('/f', 'r');
    await vi.waitFor(() => expect(state.under).toBe(1));
    switchTo('b');
    await vi.waitFor(() => expect(state.tops).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(state.seen).not.toContain('fini a');
    state.release();
    const file = await opening;
    await vi.waitFor(() => expect(state.seen).toContain('fini a'));
    state.seen.length = 0;
    expect((await file.read()).bytesRead).toBe(4);
    expect(state.seen).toEqual(['b readv']);
  });
});

describe('bounds', () => {
  it('hold requests back, in turn', async () => {
    const { volume: v, state } = await controlled({ maxInFlight: 4 });
    await v.writeFile('/f', 'x');
    state.most = 0;
    state.hold();
    const all = Promise.all(Array.from({ length: 40 }, () => v.stat('/f')));
    await vi.waitFor(() => expect(state.under).toBe(4));
    expect([v.graph.inFlight, v.graph.waiting]).toEqual([4, 36]);
    state.release();
    await all;
    expect([state.most, v.graph.inFlight, v.graph.waiting]).toEqual([4, 0, 0]);
  });

  it('end a call by its signal, and by its time', async () => {
    const clock = new CountingClock();
    const { volume: v, state } = await controlled({ clock });
    await v.writeFile('/f', 'x');
    const file = await v.open('/f', 'r+');
    state.hold();
    const stop = new AbortController();
    const calls = [
      v.stat('/f', { signal: stop.signal }),
      file.read({ position: 0, signal: stop.signal }),
      v.readFile('/f', { signal: stop.signal }),
      v.mkdir('/d/e', { recursive: true, signal: stop.signal }),
    ].map(codeOf);
    const late = [v.stat('/f', { timeoutMs: 10 }), file.write('y', 0, 'utf8', { timeoutMs: 10 })].map(codeOf);
    expect(await Promise.all(late)).toEqual(['ETIMEDOUT', 'ETIMEDOUT']);
    stop.abort();
    expect(await Promise.all(calls)).toEqual(['ABORT_ERR', 'ABORT_ERR', 'ABORT_ERR', 'ABORT_ERR']);
    expect(await codeOf(v.stat('/f', { signal: stop.signal }))).toBe('ABORT_ERR');
    state.release();
    await file.close();
    await vi.waitFor(() => expect([v.graph.inFlight, v.graph.openFiles]).toEqual([0, 0]));
    expect(clock.running.size).toBe(0);
  });

  it('leave nothing open when an open is given up', async () => {
    const { volume: v, state } = await controlled();
    await v.writeFile('/f', 'x');
    state.hold();
    expect(await codeOf(v.open('/f', 'r', 0, { timeoutMs: 10 }))).toBe('ETIMEDOUT');
    state.release();
    await vi.waitFor(() => expect(v.graph.inFlight).toBe(0));
    expect(v.graph.openFiles).toBe(0);
  });

  it('of time hold for every call', async () => {
    const { volume: v, state } = await controlled({ timeoutMs: 30 });
    state.hold();
    expect(await codeOf(v.stat('/'))).toBe('ETIMEDOUT');
    state.release();
  });
});

describe('closing', () => {
  it('waits for what is under way, and leaves neither file nor timer', async () => {
    const clock = new CountingClock();
    const { volume: v, state } = await controlled({ clock });
    const file = await v.open('/f', 'w');
    state.hold();
    const writing = file.write('text');
    const whole = v.writeFile('/g', 'whole');
    await vi.waitFor(() => expect(state.under).toBe(2));
    const closing = v.close();
    expect(await codeOf(v.stat('/'))).toBe('ESHUTDOWN');
    expect((await v.graph.run((ops, call) => ops.stat(call, { loc: locAt(rootGfid, 'f') }))).ok).toBe(false);
    state.release();
    expect([await writing, await codeOf(whole)]).toMatchObject([{ bytesWritten: 4 }, 'ok']);
    await closing;
    expect(state.seen.at(-1)).toBe('fini a');
    expect([v.graph.openFiles, clock.running.size]).toEqual([0, 0]);
    await v.close();
  });

  it('does not wait for ever', async () => {
    const { volume: v, state } = await controlled({ closeTimeoutMs: 20 });
    state.hold();
    const stuck = codeOf(v.stat('/'));
    await vi.waitFor(() => expect(state.under).toBe(1));
    await v.close();
    state.release();
    await stuck;
  });

  it('ends who waits for a lock', async () => {
    const v = await volumeWith();
    await v.writeFile('/f', '');
    const [one, two] = [await v.open('/f', 'r+'), await v.open('/f', 'r+')];
    await one.lock({ type: 'write' });
    const waiting = codeOf(two.lock({ type: 'write', wait: true }));
    await v.stat('/');
    await v.close();
    expect(await waiting).not.toBe('ok');
  });
});

describe('a client', () => {
  it('says EIO of a bug, with a line in the log', async () => {
    const lines: string[] = [];
    const { volume: v, state } = await controlled({ log: (line) => lines.push(line) });
    state.throwing = 'lookup';
    expect(await codeOf(v.stat('/f'))).toBe('EIO');
    expect(lines.join('\n')).toContain('a bug');
    expect(v.graph.inFlight).toBe(0);
  });

  it('has neighbours that do not know of it', async () => {
    const [a, b] = [await volumeWith(), await volumeWith()];
    await a.writeFile('/f', 'a');
    await b.writeFile('/f', 'b');
    await a.close();
    expect(await b.readFile('/f', 'utf8')).toBe('b');
  });

  it('acts in a name, and the bricks say what it may', async () => {
    const v = await volumeWith({ volfile: { text: checkedVolfile } });
    const alice = v.as({ uid: 1, gid: 1 });
    const bob = v.as({ uid: 2, gid: 2, groups: [1], umask: 0 });
    await v.mkdir('/home', { mode: 0o777 });
    await v.chmod('/home', 0o777);
    await alice.mkdir('/home/a', 0o750);
    await alice.writeFile('/home/a/f', 'x', { mode: 0o640 });
    const { uid, gid } = await v.stat('/home/a/f');
    expect([uid, gid]).toEqual([1, 1]);
    expect(await bob.readFile('/home/a/f', 'utf8')).toBe('x');
    expect(await codeOf(bob.writeFile('/home/a/f', 'y'))).toBe('EACCES');
    expect(await codeOf(bob.writeFile('/home/a/g', 'y'))).toBe('EACCES');
    expect(await codeOf(bob.chmod('/home/a/f', 0o777))).toBe('EPERM');
    expect(await codeOf(v.as({ uid: 3, gid: 3 }).stat('/home/a/f'))).toBe('EACCES');
    expect(await codeOf(bob.setxattr('/home/a/f', 'trusted.x', 'y'))).toBe('EPERM');
    await bob.writeFile('/home/b', 'x', { mode: 0o666 });
    expect((await v.stat('/home/b')).mode & 0o777).toBe(0o666);
  });

  it('does not begin in a directory that is not there', async () => {
    expect(await codeOf(inMemory({ subdirectory: '/none' }))).toBe('ENOENT');
  });

  it('puts translators on top, which survive a switch', async () => {
    const v = await volumeWith({ onTop: [{ type: 'debug/io-stats', options: { 'count-fop-hits': 'on' } }] });
    await v.writeFile('/f', 'x');
    expect(await v.readFile('/f', 'utf8')).toBe('x');
    const bad = { type: 'debug/io-stats', options: { 'count-fop-hits': 'maybe' } };
    expect(await codeOf(inMemory({ onTop: [bad] }))).toBe('EGRAPH');
    expect(await codeOf(inMemory({ onTop: [{ type: 'debug/none' }] }))).toBe('EGRAPH');
  });

  it('gives fops and files by gfid, with replies for answers', async () => {
    const v = await volumeWith();
    await v.writeFile('/f', 'text');
    const found = await v.graph.run((ops, call) => ops.lookup(call, { loc: locAt(rootGfid, 'f') }));
    if (!found.ok) throw new Error('no f');
    const opened = await v.graph.open(found.iatt.gfid, 2);
    if (!opened.ok) throw new Error('not opened');
    const { file } = opened;
    expect(await file.writev(4, Buffer.from(' more'), { xdata: { keepTimes: true }, sync: true })).toMatchObject({
      ok: true,
      written: 5,
    });
    const read = await file.readv(0, 100);
    expect(read.ok && Buffer.from(read.data).toString()).toBe('text more');
    expect(await v.graph.open(rootGfid, 2)).toMatchObject({ ok: false, errno: Errno.EISDIR });
    await file.close();
    expect(await file.readv(0, 1)).toMatchObject({ ok: false, errno: Errno.EBADF });
  });

  it.each([
    ['no volume', {}, 'ERR_INVALID_ARG_VALUE'],
    ['no servers', { volume: 'v' }, 'ERR_INVALID_ARG_VALUE'],
    ['a name that is none', { volume: '../v', servers: [{ host: 'h' }] }, 'ERR_INVALID_ARG_VALUE'],
    ['a volfile that is not there', { volfile: { path: '/none' } }, 'EVOLFILESOURCE'],
    ['a server that is not there', { volume: 'v', servers: [{ socket: '/none' }] }, 'EVOLFILESOURCE'],
  ])('says what is wrong with %s', async (_, given, code) => {
    expect(await codeOf(connect(given as ConnectOptions))).toBe(code);
  });
});
