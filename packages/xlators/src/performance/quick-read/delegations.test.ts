/** Files that are opened without the bricks, while these would ask before another client changes them. */
import {
  emptyIatt,
  Fd,
  FileType,
  type Gfid,
  type GraphEvent,
  locAt,
  locOf,
  parseOptions,
  rootGfid,
  Xlator,
} from '@mortar/core';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { xlator as upcall } from '../../features/upcall/index.ts';
import { FileModel, gfid } from '../../lib/data-cache/rig.ts';
import { answerRecall } from '../../lib/delegation.ts';
import { RigChild, rigCall, rigServices, settle } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const O_RDWR = 2;
const other = '22222222-2222-4222-8222-222222222222' as Gfid;

/** The way between a client and the brick: what the brick says takes a while, and so does what is said to it. */
class Way extends Xlator {
  delayMs = 0;

  protected override bindFop(name: never, next: never): never {
    const down = next as (call: object, args: object) => Promise<unknown>;
    const run = async (call: object, args: object) => {
      await this.#time();
      const reply = await down({ ...call, clientId: 'here' }, args);
      await this.#time();
      return reply;
    };
    return (name === 'lookup' ? next : run) as never;
  }

  #time(): Promise<void> | undefined {
    return this.delayMs > 0 ? this.services.clock.sleep(this.delayMs) : undefined;
  }

  override notify(event: GraphEvent): void {
    if (event.type !== 'upcall' || event.what !== 'recalled' || event.clientId !== 'here') return;
    const tell = () =>
      answerRecall(
        event,
        (told) => this.propagate(told),
        (args) => this.ops.ipc(rigCall('here'), args),
      );
    void (this.delayMs > 0 ? this.services.clock.sleep(this.delayMs).then(tell) : tell());
  }
}

async function make() {
  const services = rigServices();
  const model = new FileModel();
  const init = (name: string) => ({ name, type: `test/${name}`, options: {}, texts: new Map(), services });
  const storage = new RigChild(init('storage'));
  storage.answers = {
    ...model.answers,
    lookup: async (_call, { loc }) =>
      loc.name === 'f' || loc.gfid === gfid
        ? { ok: true, iatt: model.iatt(), postParent: emptyIatt(rootGfid, FileType.directory), xattrs: {} }
        : { ok: false, errno: 2 },
  };
  storage.bind([], undefined);
  const texts = new Map([
    ['delegation-timeout', '1'],
    ['delegation-rest', '0'],
  ]);
  const brick = upcall.create({ ...init('brick'), options: parseOptions(upcall.options, texts).values, texts });
  brick.bind([storage.ops], undefined);
  const way = new Way(init('way'));
  way.bind([brick.ops], undefined);
  brick.parents = [way];
  const asked = new Map([['read-delegations', 'on']]);
  const cache = xlator.create({ ...init('cache'), options: parseOptions(xlator.options, asked).values, texts: asked });
  cache.bind([way.ops], undefined);
  way.parents = [cache];
  await services.clock.advance(1000);
  const there = rigCall('there');
  return {
    services,
    model,
    storage,
    way,
    cache,
    ops: cache.ops,
    write: (text: string) => brick.ops.writev(there, { fd: new Fd(gfid), offset: 0, data: Buffer.from(text) }),
    remove: () => brick.ops.unlink(there, { loc: locAt(rootGfid, 'f') }),
    opened: () => storage.calls.filter(({ fop, call }) => fop === 'open' && call.clientId === 'here').length,
  };
}

let r: Awaited<ReturnType<typeof make>>;
beforeEach(async () => {
  r = await make();
  r.model.set(Buffer.from('0123456789'));
});

async function open(call = rigCall('user'), flags = 0): Promise<Fd> {
  const fd = new Fd(gfid, flags);
  expect(await r.ops.open(call, { loc: locOf(gfid), flags, fd })).toMatchObject({ ok: true, iatt: { gfid } });
  return fd;
}

async function read(fd: Fd): Promise<string> {
  const reply = await r.ops.readv(rigCall('user'), { fd, offset: 0, size: 4096 });
  if (!reply.ok) throw new Error(`readv: ${reply.errno}`);
  return Buffer.from(reply.data).toString('latin1');
}

describe('a file that is opened again', () => {
  it('is not opened on the bricks', async () => {
    await open();
    expect(await read(await open())).toBe('0123456789');
    expect(r.opened()).toBe(1);
  });

  it('is, when the time is over for which they would ask', async () => {
    await open();
    await r.services.clock.advance(900);
    await open();
    expect(r.opened()).toBe(2);
  });

  it('is, when another client has changed it', async () => {
    await open();
    await r.write('x');
    expect(await read(await open())).toBe('x123456789');
    expect(r.opened()).toBe(2);
  });

  it('is, when another client asked while it was opened for the first time', async () => {
    r.way.delayMs = 10;
    const opening = open();
    // The brick has answered, and its answer is on the way.
    await r.services.clock.advance(10);
    r.way.delayMs = 0;
    await r.write('x');
    await r.services.clock.advance(10);
    await opening;
    expect(await read(await open())).toBe('x123456789');
    expect(r.opened()).toBe(2);
  });

  it('is, when this client changed it while it was opened', async () => {
    const change = () => r.ops.setattr(rigCall('user'), { loc: locOf(gfid), attr: { mode: 0o600 } });
    // Opened before the change is made, answered after it.
    r.way.delayMs = 5;
    const opening = open();
    r.way.delayMs = 100;
    await r.services.clock.advance(5);
    r.way.delayMs = 0;
    await change();
    await r.services.clock.advance(100);
    await opening;
    await open();
    expect(r.opened()).toBe(2);
  });

  it('is, when this client was about to change it when it was opened', async () => {
    r.way.delayMs = 10;
    const changing = r.ops.setattr(rigCall('user'), { loc: locOf(gfid), attr: { mode: 0o600 } });
    r.way.delayMs = 0;
    await open();
    await r.services.clock.advance(10);
    await changing;
    await open();
    expect(r.opened()).toBe(2);
  });

  it('is, when this client has changed it, or a file of which it knows the name only', async () => {
    const call = rigCall('user');
    const changes = [
      () => r.ops.setattr(call, { loc: locOf(gfid), attr: { mode: 0o600 } }),
      () => r.ops.writev(call, { fd: new Fd(gfid, O_RDWR), offset: 0, data: Buffer.from('y') }),
      () => r.ops.ftruncate(call, { fd: new Fd(gfid, O_RDWR), size: 5 }),
      () => r.ops.unlink(call, { loc: locAt(rootGfid, 'some') }),
      () => r.ops.compound(call, { steps: [{ fop: 'setattr', args: { loc: locOf(gfid), attr: {} } }] }),
    ];
    for (const [i, change] of changes.entries()) {
      await open();
      await r.services.clock.advance(1);
      const before = r.opened();
      await change();
      await open();
      expect(r.opened(), `change ${i}`).toBe(before + 1);
      await r.services.clock.advance(1000);
    }
  });

  it('is by somebody else: bricks have not said that he may', async () => {
    await open();
    await open(rigCall('user', { uid: 7 }));
    await open(rigCall('user', { uid: 7, groups: [1] }));
    expect(r.opened()).toBe(3);
    await open(rigCall('user', { uid: 7, groups: [1] }));
    expect(r.opened()).toBe(3);
  });

  it('is for writing, past caches, to be executed, or by another translator', async () => {
    await open();
    for (const flags of [1, 2, 0o40000, 0o1000, 0o40])
      await r.ops.open(rigCall('user'), { loc: locOf(gfid), flags, fd: new Fd(gfid, flags) });
    expect(r.opened()).toBe(6);
  });
});

describe('a file that was opened here alone', () => {
  it('is opened on the bricks for what they have to do', async () => {
    await open();
    const fd = await open();
    await r.ops.lk(rigCall('user'), { fd, command: 'set', flock: {} as never });
    expect(r.opened()).toBe(2);
    await r.ops.fgetxattr(rigCall('user'), { fd });
    expect(r.opened()).toBe(2);
  });

  it('before another client removes it', async () => {
    await open();
    const fd = await open();
    const removal = r.remove();
    await settle();
    expect(r.opened()).toBe(2);
    await removal;
    const last = r.storage.calls.filter(({ fop }) => fop === 'open' || fop === 'unlink').map(({ fop }) => fop);
    expect(last).toEqual(['open', 'open', 'unlink']);
    expect(await read(fd)).toBe('0123456789');
  });

  it('or before the bricks would not ask any more, so that it can be read when another client has removed it', async () => {
    const { open: opens, readv } = r.storage.answers;
    const known = new Set<Fd>();
    let isGone = false;
    r.storage.answers.open = async (call, args) => {
      if (isGone) return { ok: false, errno: 2 };
      known.add(args.fd);
      return opens!(call, args);
    };
    r.storage.answers.readv = async (call, args) =>
      isGone && !known.has(args.fd) ? { ok: false, errno: 116 } : readv!(call, args);
    r.storage.answers.unlink = async () => {
      isGone = true;
      return { ok: true, preParent: emptyIatt(rootGfid), postParent: emptyIatt(rootGfid) };
    };
    await open();
    for (const ageMs of [0, 500, 890]) {
      await r.services.clock.advance(ageMs);
      known.clear();
      isGone = false;
      const fd = await open();
      await r.services.clock.advance(2000);
      await r.remove();
      expect(await read(fd), `opened after ${ageMs} ms`).toBe('0123456789');
      isGone = false;
      await open();
    }
    expect(r.services.clock.pending).toBe(0);
  });

  it('and before this one does', async () => {
    await open();
    await open();
    await r.ops.unlink(rigCall('user'), { loc: locAt(rootGfid, 'f') });
    expect(r.storage.calls.map(({ fop }) => fop).filter((fop) => fop === 'open' || fop === 'unlink')).toEqual([
      'open',
      'open',
      'unlink',
    ]);
  });

  it('is not, once it is closed', async () => {
    await open();
    const fd = await open();
    fd.release();
    await r.remove();
    expect(r.opened()).toBe(1);
  });

  it('is read from the bricks when what is kept is too old', async () => {
    await open();
    const fd = await open();
    await r.services.clock.advance(5000);
    r.model.set(Buffer.from('new'));
    expect(await read(fd)).toBe('new');
    expect(r.opened()).toBe(2);
  });
});

describe('what is read from a file that has just been opened', () => {
  const action = fc.oneof(
    fc.record({ what: fc.constant('read' as const) }),
    fc.record({ what: fc.constant('read' as const) }),
    fc.record({ what: fc.constant('there' as const) }),
    fc.record({ what: fc.constant('here' as const) }),
    fc.record({ what: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 400 }) }),
    fc.record({ what: fc.constant('far' as const), ms: fc.constantFrom(0, 1, 20, 300, 5000) }),
  );

  it('is what it was at some moment since, however long messages take', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 50, size: 'max' }), async (actions) => {
        r = await make();
        r.model.set(Buffer.from('-'));
        const { clock } = r.services;
        const work: Promise<unknown>[] = [];
        /** Values in the order in which they were acknowledged. */
        const told = ['-'];
        const begun = new Set(['-']);
        const put = async (value: string, writing: Promise<{ ok: boolean }>) => {
          begun.add(value);
          if ((await writing).ok) told.push(value);
        };
        const look = async () => {
          // Of those acknowledged before, only the last may be seen; any that was under way, or came later.
          const old = told.slice(0, -1);
          const fd = new Fd(gfid, 0);
          const opened = await r.ops.open(rigCall('user'), { loc: locOf(gfid), flags: 0, fd });
          if (!opened.ok) return;
          const found = await read(fd);
          fd.release();
          const isLater = !old.includes(found);
          expect([found, isLater, begun.has(found)]).toEqual([found, true, true]);
        };
        const ended = async (all: readonly Promise<unknown>[]) => {
          const state = { isOver: false };
          const over = Promise.all(all).finally(() => {
            state.isOver = true;
          });
          for (let ms = 0; !state.isOver; ms = Math.min(500, ms * 2 + 1)) await clock.advance(ms);
          await over;
        };
        let serial = 0;
        for (const act of actions) {
          if (act.what === 'read') work.push(look());
          else if (act.what === 'wait') await clock.advance(act.ms);
          else if (act.what === 'far') r.way.delayMs = act.ms;
          else {
            // Each value once, and one write at a time, so that there is an order.
            await ended(work);
            work.length = 0;
            const value = String.fromCharCode(0x30 + serial++);
            const data = Buffer.from(value);
            if (act.what === 'there') work.push(put(value, r.write(value) as never));
            else {
              const fd = new Fd(gfid, O_RDWR);
              work.push(put(value, r.ops.writev(rigCall('user'), { fd, offset: 0, data })));
            }
          }
        }
        await ended(work);
      }),
    );
  });
});

it('a directory that was listed is known by its small files only', async () => {
  const entry = (name: string, file: Gfid, size: number, type: FileType = FileType.regular) =>
    ({ name, gfid: file, type, offset: 0, iatt: { ...emptyIatt(file, type), size }, xattrs: null }) as never;
  r.storage.answers.readdirp = async () => ({
    ok: true,
    end: true,
    entries: [
      entry('d', other, 10, FileType.directory),
      entry('e', '33333333-3333-4333-8333-333333333333' as Gfid, 0),
      entry('f', gfid, 10),
      entry('g', '44444444-4444-4444-8444-444444444444' as Gfid, 10_000_000),
    ],
  });
  await r.ops.readdirp(rigCall('user'), { fd: new Fd(rootGfid), size: 4096, offset: 0 });
  await open();
  expect(r.opened()).toBe(1);
});
