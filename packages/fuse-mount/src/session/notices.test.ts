/** Notices about a file, while the kernel is being told its attributes. */
import type { Gfid, Subvolume } from '@mortar/core';
import { rigServices, settle } from '@mortar/xlators/lib/translator-rig.ts';
import { describe, expect, it } from 'vitest';
import { invalidateByUpcall } from './invalidate.ts';
import { lockBody, memory, SessionRig, u32, u64 } from './session-rig.ts';

/** A volume that answers a stat when it is let go. */
function mounted() {
  const services = rigServices();
  const { ops } = memory(services);
  const waiting: (() => void)[] = [];
  const stat: Subvolume['stat'] = async (call, args) => {
    await new Promise<void>((go) => waiting.push(go));
    return ops.stat(call, args);
  };
  return { services, waiting, rig: new SessionRig(services, {}, { ...ops, stat }) };
}

const getattr = (rig: SessionRig, node: number) => rig.send('getattr', node, u32(0, 0), u64(0));
const told = (rig: SessionRig) => rig.channel.notices.map((notice) => notice.readBigInt64LE(24));

describe('a notice about a file', () => {
  async function asked() {
    const { services, waiting, rig } = mounted();
    const { node, fh } = await rig.create('a');
    const { gfid } = rig.session.nodes.byId(node)!;
    const upcall = (what: 'metadata' | 'data', of: Gfid = gfid) =>
      invalidateByUpcall(rig.session, { type: 'upcall', gfid: of, what });
    const unique = getattr(rig, node);
    await settle();
    expect(waiting).toHaveLength(1);
    return { services, waiting, rig, node, fh, upcall, unique };
  }

  it('waits for the answer to who asks for its attributes, and says all that came meanwhile at once', async () => {
    const { services, waiting, rig, upcall, unique } = await asked();
    upcall('metadata');
    upcall('data');
    upcall('metadata');
    expect(told(rig)).toEqual([]);
    const { notices, answers } = rig.channel;
    const order: string[] = [];
    rig.channel.notify = (message) => {
      order.push(`notice after ${answers.some((one) => one.unique === unique)}`);
      notices.push(message);
    };
    waiting.shift()!();
    await settle();
    expect(told(rig)).toEqual([0n]);
    expect(order).toEqual(['notice after true']);
    expect(services.clock.pending).toBe(0);
    upcall('metadata');
    expect(told(rig)).toEqual([0n, -1n]);
  });

  it('waits for all who ask', async () => {
    const { waiting, rig, node, upcall } = await asked();
    getattr(rig, node);
    await settle();
    upcall('metadata');
    waiting.shift()!();
    await settle();
    expect(told(rig)).toEqual([]);
    waiting.shift()!();
    await settle();
    expect(told(rig)).toEqual([-1n]);
    expect(rig.session.stats.inFlight).toBe(0);
  });

  it('does not wait for a volume that does not answer, nor where a lock is granted', async () => {
    const { services, waiting, rig, node, fh, upcall } = await asked();
    upcall('data');
    await services.clock.advance(600);
    expect(told(rig)).toEqual([0n]);
    upcall('data');
    expect((await rig.ask('setlk', node, ...lockBody(fh, 1, 0, 9, 1))).errno).toBe(0);
    expect(told(rig)).toEqual([0n, 0n]);
    waiting.shift()!();
    await settle();
    expect(told(rig)).toEqual([0n, 0n]);
  });

  it('is forgotten when the mount ends', async () => {
    const { services, rig, upcall } = await asked();
    upcall('data');
    rig.session.end();
    expect(services.clock.pending).toBe(0);
    expect(told(rig)).toEqual([]);
  });
});
