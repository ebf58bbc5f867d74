/** Notices about a file, while the kernel is being told its attributes. */
import type { Gfid, Subvolume } from '@mortar/core';
import { rigServices, settle } from '@mortar/xlators/lib/translator-rig.ts';
import { describe, expect, it } from 'vitest';
import { invalidateByUpcall } from './invalidate.ts';
import type { SessionOptions } from './options.ts';
import { lockBody, memory, SessionRig, u32, u64 } from './session-rig.ts';

/** A volume that answers a stat when it is let go. */
function mounted(options: Partial<SessionOptions>) {
  const services = rigServices();
  const { ops } = memory(services);
  const waiting: (() => void)[] = [];
  const stat: Subvolume['stat'] = async (call, args) => {
    await new Promise<void>((go) => waiting.push(go));
    return ops.stat(call, args);
  };
  return { services, waiting, rig: new SessionRig(services, options, { ...ops, stat }) };
}

const getattr = (rig: SessionRig, node: number) => rig.send('getattr', node, u32(0, 0), u64(0));
/** Offsets of notices: 0 drops the pages, too. Those of another thread, and those written at once. */
const dropped = (rig: SessionRig) => rig.channel.notices.map((notice) => notice.readBigInt64LE(24));
const written = (rig: SessionRig) =>
  rig.channel.answers.filter(({ unique }) => unique === 0).map(({ body }) => body.readBigInt64LE(8));
/** For how long the kernel may believe the attributes that it was told. */
const validity = (rig: SessionRig, unique: number) => {
  const { body } = rig.channel.answers.find((one) => one.unique === unique)!;
  return Number(body.readBigUInt64LE(0)) + body.readUInt32LE(8) / 1e9;
};

describe('a notice about a file', () => {
  async function opened(options: Partial<SessionOptions> = {}) {
    const { services, waiting, rig } = mounted(options);
    const { node, fh } = await rig.create('a');
    const { gfid } = rig.session.nodes.byId(node)!;
    const upcall = (what: 'metadata' | 'data', of: Gfid = gfid) =>
      invalidateByUpcall(rig.session, { type: 'upcall', gfid: of, what });
    const asks = async () => {
      const before = waiting.length;
      const unique = getattr(rig, node);
      await settle();
      expect(waiting).toHaveLength(before + 1);
      return unique;
    };
    const answers = async () => {
      waiting.shift()!();
      await settle();
    };
    return { services, waiting, rig, node, fh, upcall, asks, answers };
  }

  it('is written at once, once; of data the pages go where nobody asks for attributes', async () => {
    const { services, rig, upcall } = await opened();
    upcall('data');
    upcall('data');
    upcall('metadata');
    expect(written(rig)).toEqual([-1n]);
    expect(dropped(rig)).toEqual([]);
    await services.clock.advance(250);
    expect(dropped(rig)).toEqual([0n]);
    expect(services.clock.pending).toBe(0);
  });

  it('leaves the pages to the kernel where it is told the attributes: it sees what has changed', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    upcall('data');
    const unique = await asks();
    await answers();
    expect(validity(rig, unique)).toBe(1);
    await services.clock.advance(1000);
    expect(dropped(rig)).toEqual([]);
  });

  it('drops the pages where the kernel does not see to that', async () => {
    const { services, rig, upcall } = await opened({ autoInvalidation: false });
    upcall('data');
    upcall('metadata');
    expect([written(rig), dropped(rig)]).toEqual([[-1n], [0n]]);
    expect(services.clock.pending).toBe(0);
  });

  it('is not written while somebody asks: what he is told is believed for no time', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    const uniques = [await asks(), await asks()];
    upcall('metadata');
    upcall('data');
    upcall('metadata');
    uniques.push(await asks());
    for (const _ of uniques) await answers();
    expect(uniques.map((unique) => validity(rig, unique))).toEqual([0, 0, 0]);
    expect(written(rig)).toEqual([]);
    // Of a change that he was not told of the kernel may still have pages.
    await services.clock.advance(1000);
    expect(dropped(rig)).toEqual([0n]);
    const last = await asks();
    await answers();
    expect(validity(rig, last)).toBe(1);
    expect(rig.session.stats.inFlight).toBe(0);
    expect(services.clock.pending).toBe(0);
  });

  it('lets who was just told wake up first', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    await asks();
    await answers();
    upcall('metadata');
    expect(written(rig)).toEqual([]);
    await services.clock.advance(60);
    expect(written(rig)).toEqual([-1n]);
  });

  it('is not needed any more where somebody asked behind what it tells of', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    await asks();
    await answers();
    upcall('data');
    const unique = await asks();
    await services.clock.advance(60);
    expect(written(rig)).toEqual([]);
    await answers();
    expect(validity(rig, unique)).toBe(1);
    await services.clock.advance(1000);
    expect([written(rig), dropped(rig)]).toEqual([[], []]);
    expect(services.clock.pending).toBe(0);
  });

  it('does not wait for a volume that does not answer, nor where a lock is granted', async () => {
    const { services, rig, node, fh, upcall, asks, answers } = await opened();
    await asks();
    upcall('data');
    await services.clock.advance(600);
    expect(written(rig)).toEqual([-1n]);
    await answers();
    await asks();
    upcall('data');
    expect((await rig.ask('setlk', node, ...lockBody(fh, 1, 0, 9, 1))).errno).toBe(0);
    expect(written(rig)).toEqual([-1n, -1n]);
    // Nor do the pages: who was granted it reads what others wrote under theirs.
    expect(dropped(rig)).toEqual([0n]);
    await answers();
  });

  it('does not wait longer for a volume that does not answer, however many changes come', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    await asks();
    for (let i = 0; i < 6; i++) {
      upcall('metadata');
      await services.clock.advance(100);
    }
    expect(written(rig)).toEqual([-1n]);
    await answers();
  });

  it('of who was just told waits no longer either for who asks next and is not answered', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    await asks();
    await answers();
    upcall('metadata');
    await asks();
    await services.clock.advance(100);
    expect(written(rig)).toEqual([]);
    await services.clock.advance(500);
    expect(written(rig)).toEqual([-1n]);
    await answers();
  });

  it('is forgotten when the mount ends', async () => {
    const { services, rig, upcall, asks, answers } = await opened();
    upcall('data');
    await asks();
    upcall('data');
    rig.session.end();
    expect(services.clock.pending).toBe(0);
    await answers();
    expect(dropped(rig)).toEqual([]);
  });

  it('of an open that shows other data is written before its answer, and those who ask are told for no time', async () => {
    const { rig, node, asks, answers } = await opened();
    const asking = await asks();
    rig.session.nodes.byId(node)!.stamp = 0;
    const unique = rig.send('open', node, u32(0, 0));
    await settle();
    const order = rig.channel.answers.map((one) => one.unique);
    expect(order.indexOf(0)).toBe(order.indexOf(unique) - 1);
    await answers();
    expect(validity(rig, asking)).toBe(0);
  });
});
