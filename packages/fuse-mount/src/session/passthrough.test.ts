import { Errno, type Fd } from '@mortar/core';
import { rigServices, settle } from '@mortar/xlators/lib/translator-rig.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InitFlag2, OpenReply } from '../protocol/index.ts';
import type { SessionOptions } from './options.ts';
import type { Backing, BackingSource } from './passthrough.ts';
import { memory, SessionRig, text, u32, u64 } from './session-rig.ts';

const [read, write, readWrite, truncate, create] = [0, 1, 2, 0o1000, 0o100];

/** Gives every file a backing, and counts those that have not come back. */
class Source implements BackingSource {
  inUse = 0;
  ended = new AbortController();
  asked: Fd[] = [];

  backingOf(fd: Fd): Backing {
    this.asked.push(fd);
    this.inUse++;
    return { fd: 0, ended: this.ended.signal, release: () => this.inUse-- };
  }
}

const everything = -1 >>> 0;

async function mounted(more: Partial<SessionOptions> = {}, flags2 = everything) {
  const source = new Source();
  const services = rigServices();
  const storage = memory(services);
  const rig = new SessionRig(services, { backings: source, ...more }, storage.ops);
  const init = await rig.expect('init', 1, u32(7, 45, 131072, everything, flags2), Buffer.alloc(44));
  const agreed = { asked: (init.readUInt32LE(32) & InitFlag2.passthrough) !== 0, depth: init.readUInt32LE(36) };
  const made = await rig.create('a', write);
  await rig.write(made.fh, made.node, 'hello');
  const open = async (flags: number) => {
    const { errno, body } = await rig.ask('open', made.node, u32(flags, 0));
    if (errno !== 0) return { errno, fh: 0, flags: 0, id: 0 };
    return { errno, fh: body.readUInt32LE(0), flags: body.readUInt32LE(8), id: body.readUInt32LE(12) };
  };
  const close = (fh: number) => rig.expect('release', made.node, u64(fh), u32(0, 0), u64(0));
  await close(made.fh);
  return {
    rig,
    storage,
    source,
    logged: services.lines,
    agreed,
    node: made.node,
    open,
    close,
    known: rig.channel.backings,
  };
}

describe('a session with a source of backings', () => {
  it('asks for passthrough, and one without does not', async () => {
    expect((await mounted()).agreed).toEqual({ asked: true, depth: 1 });
    const services = rigServices();
    const rig = new SessionRig(services, {}, memory(services).ops);
    const init = await rig.expect('init', 1, u32(7, 45, 131072, everything, everything), Buffer.alloc(44));
    expect([init.readUInt32LE(32) & InitFlag2.passthrough, init.readUInt32LE(36)]).toEqual([0, 0]);
    expect(rig.session.passthrough).toBeNull();
  });

  it('gives all readers of a file one backing, and the last gives it back', async () => {
    const { source, open, close, known, node, rig } = await mounted({ keepCache: true });
    const first = await open(read);
    const second = await open(read);
    expect(first).toMatchObject({ errno: 0, flags: OpenReply.passthrough, id: 1 });
    expect(second).toMatchObject({ errno: 0, flags: OpenReply.passthrough, id: 1 });
    expect(source.asked.map(({ gfid }) => gfid)).toEqual([rig.session.nodes.byId(node)!.gfid]);
    const third = await rig.expect('create', 1, u32(read | create, 0o644, 0, 0), text('a'));
    expect([third.readUInt32LE(136), third.readUInt32LE(140)]).toEqual([OpenReply.passthrough, 1]);
    await close(third.readUInt32LE(128));
    await close(first.fh);
    expect([source.inUse, known.size]).toEqual([1, 1]);
    await close(second.fh);
    expect([source.inUse, known.size]).toEqual([0, 0]);
    expect(await open(read)).toMatchObject({ id: 2 });
  });

  it('refuses to open a file otherwise that the kernel reads, before anything is truncated', async () => {
    const { open, close, node, rig } = await mounted();
    const reader = await open(read);
    for (const flags of [write, readWrite, read | truncate])
      expect(await open(flags)).toMatchObject({ errno: Errno.ETXTBSY });
    expect(await rig.ask('create', 1, u32(readWrite | create, 0o644, 0, 0), text('a'))).toMatchObject({
      errno: Errno.ETXTBSY,
    });
    expect([rig.session.handles.size, rig.session.nodes.byId(node)!.lookups]).toEqual([1, 1]);
    await close(reader.fh);
    const writer = await open(readWrite);
    expect(writer).toMatchObject({ errno: 0, id: 0 });
    expect((await rig.read(writer.fh, node)).body.toString()).toBe('hello');
  });

  it('refuses a writer that was overtaken by a reader on its way', async () => {
    const { open, storage, rig, node } = await mounted();
    let goOn: () => void = () => {};
    const waits = new Promise<void>((resolve) => (goOn = resolve));
    void rig.session.setGraph({
      ...storage.ops,
      open: async (call, args) => {
        if (args.flags === write) await waits;
        return storage.ops.open(call, args);
      },
    });
    const writer = rig.send('open', node, u32(write, 0));
    expect(await open(read)).toMatchObject({ errno: 0, id: 1 });
    goOn();
    await settle();
    expect(rig.answerTo(writer)).toMatchObject({ errno: Errno.ETXTBSY });
    expect(rig.session.stats).toMatchObject({ handles: 1, inFlight: 0 });
  });

  it('says once that the kernel takes none, and serves the reads', async () => {
    const { rig, source, open, close, node, logged } = await mounted();
    rig.channel.backingsRefusedWith = Errno.ELOOP;
    const first = await open(read);
    await close(first.fh);
    const { fh, id } = await open(read);
    expect([first.id, id, source.asked.length, source.inUse]).toEqual([0, 0, 2, 0]);
    expect((await rig.read(fh, node)).body.toString()).toBe('hello');
    expect(logged).toEqual([{ level: 'WARNING', text: expect.stringContaining('ELOOP') }]);
  });

  it('does without where the kernel is too old or keeps written pages', async () => {
    for (const { agreed, source, open, logged } of [
      await mounted({}, everything & ~InitFlag2.passthrough),
      await mounted({ writebackCache: true }),
    ]) {
      expect(agreed).toEqual({ asked: false, depth: 0 });
      expect(await open(read)).toMatchObject({ errno: 0, id: 0 });
      expect([source.asked.length, logged.length]).toEqual([0, 1]);
    }
  });

  it('gives back what an open had that nobody received, and all when the mount ends', async () => {
    const { rig, source, open, known, node } = await mounted();
    rig.channel.refuseWith = Errno.ENOENT;
    rig.send('open', node, u32(read, 0));
    await settle();
    rig.channel.refuseWith = 0;
    expect([source.asked.length, source.inUse, known.size]).toEqual([1, 0, 0]);
    await open(read);
    rig.session.end();
    expect([source.inUse, known.size]).toEqual([0, 0]);
  });

  it('never answers what the kernel does not take', async () => {
    const flags = fc.constantFrom(read, read, read, write, readWrite, write | truncate);
    const step = fc.oneof(
      fc.record({ do: fc.constant('open'), flags }),
      fc.record({ do: fc.constant('close'), which: fc.nat(9) }),
      fc.record({ do: fc.constantFrom('end', 'unheard') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { rig, source, open, close, known, node } = await mounted();
        /** Opens as the kernel has them: fs/fuse/iomode.c. */
        const files: { fh: number; id: number; flags: number }[] = [];
        let hasEnded = false;
        for (const now of steps) {
          if (now.do === 'end') {
            hasEnded = known.size > 0;
            source.ended.abort();
            source.ended = new AbortController();
          } else if (now.do === 'unheard') {
            rig.channel.refuseWith = Errno.ENOENT;
            rig.send('open', node, u32(read, 0));
            await settle();
            rig.channel.refuseWith = 0;
          } else if ('which' in now) {
            const [file] = files.splice(now.which % Math.max(1, files.length), 1);
            if (file) await close(file.fh);
          } else if ('flags' in now) {
            const isRefused = known.size > 0 && (now.flags !== read || hasEnded);
            const opened = await open(now.flags);
            expect(opened.errno).toBe(isRefused ? Errno.ETXTBSY : 0);
            if (!isRefused) files.push({ ...opened, flags: now.flags });
          }
          if (known.size === 0) hasEnded = false;
          const ids = new Set(files.map(({ id }) => id));
          expect(ids.size).toBeLessThan(2);
          const [id = 0] = ids;
          if (id !== 0) expect(files.every((file) => file.flags === read)).toBe(true);
          expect([...known]).toEqual(id === 0 ? [] : [id]);
          expect(source.inUse).toBe(known.size);
        }
      }),
    );
  });
});
