import {
  Errno,
  type Fop,
  fail,
  type GraphEvent,
  locAt,
  type OptionValues,
  option,
  rootGfid,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import type { VolfileSource } from '@mortar/host';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ConnectOptions, connect } from './connect.ts';
import { CountingClock, checkedVolfile, codeOf, inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

const opened: Volume[] = [];
afterEach(async () => {
  for (const volume of opened.splice(0)) await volume.close();
});

async function volumeWith(options: ConnectOptions = {}): Promise<Volume> {
  const volume = await inMemory(options);
  opened.push(volume);
  return volume;
}

const options = { label: option.text('', { description: 'makes another graph', live: false }) };
type Values = OptionValues<typeof options>;

/** What all tops of a test share: a storage that outlives graphs, and how requests are held up. */
class Held {
  readonly storage: Xlator;
  readonly seen: string[] = [];
  tops: Top[] = [];
  under = 0;
  most = 0;
  held: Promise<void> | null = null;
  release: () => void = () => undefined;
  /** Fails the next call of this name. */
  failing: { fop: string; errno: Errno } | null = null;
  throwing = '';

  constructor(init: XlatorInit) {
    this.storage = memory.create({ ...init, options: { size: 2 ** 32 } } as never);
    this.storage.bind([], memory.fops);
  }

  /** Of the next call of this name: it is done, or answered, when the function that comes back is called. */
  late: { fop: string; until: Promise<void>; when: 'before' | 'after' } | null = null;

  answerLate(fop: string, when: 'before' | 'after' = 'after'): () => void {
    let go = () => {};
    const until = new Promise<void>((resolve) => {
      go = resolve;
    });
    this.late = { fop, until, when };
    return go;
  }

  hold(): void {
    this.held = new Promise((resolve) => {
      this.release = () => {
        this.held = null;
        resolve();
      };
    });
  }
}

class Top extends Xlator {
  readonly state: Held;
  readonly label: string;

  constructor(init: XlatorInit<typeof options>, state: Held) {
    super(init);
    this.state = state;
    this.label = init.options.label;
    state.tops.push(this);
  }

  override async init(): Promise<void> {
    this.propagate({ type: 'child-up' });
  }

  override async fini(): Promise<void> {
    this.state.seen.push(`fini ${this.label}`);
  }

  protected override bindFop(name: never): never {
    const { state } = this;
    const next = state.storage.ops[name as 'stat'] as Fop<'stat'>;
    const run: Fop<'stat'> = async (call, args) => {
      state.seen.push(`${this.label} ${name}`);
      if (state.throwing === name) throw new Error('a bug');
      if (state.failing?.fop === name) {
        const { errno } = state.failing;
        state.failing = null;
        return fail(errno);
      }
      state.most = Math.max(state.most, ++state.under);
      try {
        if (state.held) await state.held;
        if (state.late?.fop !== (name as string)) return await next(call, args);
        const { until, when } = state.late;
        state.late = null;
        if (when === 'before') await until;
        const reply = await next(call, args);
        await until;
        return reply;
      } finally {
        state.under--;
      }
    };
    return run as never;
  }
}

/** A volume over such a top, whose volfile can be changed. */
async function controlled(more: ConnectOptions = {}) {
  let state: Held | undefined;
  const type: XlatorType<typeof options> = {
    type: 'test/top',
    description: 'a storage that stays',
    options,
    subvolumes: { min: 0, max: 0 },
    create: (init: XlatorInit<typeof options> & { options: Values }) => {
      state ??= new Held(init as XlatorInit);
      return new Top(init, state);
    },
  };
  let label = 'a';
  let changed = () => {};
  const source: VolfileSource = {
    fetch: async () => ({
      text: `volume top\n type test/top\n option label ${label}\nend-volume`,
      name: 'test',
    }),
    watch: (back) => {
      changed = back;
      return () => undefined;
    },
  };
  const volume = await volumeWith({ volfile: source, loaders: { 'test/top': async () => type as never }, ...more });
  const switchTo = (next: string) => {
    label = next;
    changed();
  };
  return { volume, state: state!, switchTo };
}

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

describe('names', () => {
  it('on the way are believed, and last ones asked for', async () => {
    const { volume: v, state } = await controlled();
    await v.mkdir('/a/b', { recursive: true });
    await v.writeFile('/a/b/f', 'x');
    state.seen.length = 0;
    await v.stat('/a/b/f');
    await v.readFile('/a/b/f');
    expect(state.seen).toEqual(['a lookup', 'a open', 'a readv']);
  });

  it('are not believed when they are told not to be', async () => {
    const { volume: v, state } = await controlled({ entryTimeoutMs: 0 });
    await v.mkdir('/a/b', { recursive: true });
    state.seen.length = 0;
    await v.stat('/a/b');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
  });

  it('that proved wrong are asked for once more', async () => {
    const { volume: v, state } = await controlled();
    const { storage } = state;
    await v.mkdir('/d');
    await v.writeFile('/d/f', 'old');
    // Somebody else replaces the directory.
    const elsewhere = v.as({ uid: 0, gid: 0 });
    await elsewhere.stat('/d');
    const call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: '', time: { sec: 1, nsec: 0 } };
    const from = locAt(rootGfid, 'd');
    expect(await storage.ops.rename(call, { from, to: locAt(rootGfid, 'e'), flags: 0 })).toMatchObject({ ok: true });
    await elsewhere.mkdir('/g');
    expect(await codeOf(v.unlink('/d/none'))).toBe('ENOENT');
    expect(await v.readFile('/e/f', 'utf8')).toBe('old');
    state.failing = { fop: 'open', errno: Errno.ESTALE };
    expect(await v.readFile('/e/f', 'utf8')).toBe('old');
  });

  it('end by upcalls, own changes, and are bounded', async () => {
    const { volume: v, state } = await controlled({ nameCacheLimit: 3 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) await v.mkdir(`/${name}/x`, { recursive: true });
    state.seen.length = 0;
    await v.stat('/a/x');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
    await v.stat('/a/x');
    const event: GraphEvent = { type: 'upcall', gfid: rootGfid, what: 'entry', name: 'a' };
    state.tops[0]!.propagate(event);
    state.seen.length = 0;
    await v.stat('/a/x');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
    await v.rename('/a', '/z');
    expect(await codeOf(v.stat('/a/x'))).toBe('ENOENT');
    expect((await v.stat('/z/x')).isDirectory()).toBe(true);
  });
});

describe('a name that was asked for before this client took it away', () => {
  const ways: [string, (v: Volume) => Promise<void>][] = [
    ['rename', (v) => v.rename('/f', '/h')],
    ['unlink', (v) => v.unlink('/f')],
    ['rm', (v) => v.rm('/f', { force: true })],
  ];

  async function linked() {
    const { volume: v, state } = await controlled();
    await v.writeFile('/f', 'x');
    await v.link('/f', '/other');
    const isNotThere = async () => {
      expect(await codeOf(v.readFile('/f'))).toBe('ENOENT');
      expect(await v.readFile('/other', 'utf8')).toBe('x');
    };
    return { v, state, isNotThere };
  }

  it.each(ways)('is not believed when the answer comes after that: %s', async (_way, take) => {
    const { v, state, isNotThere } = await linked();
    const arrive = state.answerLate('lookup');
    const looking = v.stat('/f');
    await take(v);
    arrive();
    await looking;
    await isNotThere();
  });

  it.each(ways)('is not believed when the answer comes while it did: %s', async (way, take) => {
    const { v, state, isNotThere } = await linked();
    const arrive = state.answerLate(way === 'rename' ? 'rename' : 'unlink', 'before');
    const taking = take(v);
    await vi.waitFor(() => expect(state.late).toBeNull());
    await v.stat('/f');
    arrive();
    await taking;
    await isNotThere();
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
