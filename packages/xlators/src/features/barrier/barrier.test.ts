import { Errno, Fd, type Fop, type FopName, type Gfid, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { errnoOfReply, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { type Barrier, xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const args = { loc: locOf(gfid), fd: new Fd(gfid), data: new Uint8Array(1), steps: [] };

function make(options: Record<string, string> = {}) {
  return rig<typeof xlator.options, Barrier>(xlator, options);
}

type Made = Awaited<ReturnType<typeof make>>;

/** Sends a fop; the returned function tells whether its reply has come. */
function send(r: Made, name: FopName, more: object = {}): () => boolean {
  let come = false;
  void (r.xlator.ops[name] as Fop<FopName>)(rigCall('c'), { ...args, ...more } as never).then(() => {
    come = true;
  });
  return () => come;
}

describe('features/barrier', () => {
  it('does the operations, and holds their replies until it is lifted', async () => {
    const r = await make({ barrier: 'enable' });
    const replies = (['unlink', 'rename', 'fsync', 'truncate'] as const).map((name) => send(r, name));
    const write = send(r, 'writev');
    const synced = send(r, 'writev', { sync: true });
    const dsync = send(r, 'writev', { fd: new Fd(gfid, 0o10001) });
    await settle();
    expect(r.child.calls).toHaveLength(7);
    expect(replies.map((come) => come())).toEqual([false, false, false, false]);
    expect([write(), synced(), dsync()]).toEqual([true, false, false]);
    expect(r.xlator.dump()).toMatchObject({ enabled: true, waiting: 6 });
    r.reconfigure({ barrier: 'disable' });
    await settle();
    expect([...replies, synced, dsync].every((come) => come())).toBe(true);
    expect(r.services.clock.pending).toBe(0);
  });

  it('holds what was sent before, and steps of a compound', async () => {
    const r = await make();
    let finish: () => void = () => {};
    r.child.answers.fsync = () =>
      new Promise((resolve) => {
        finish = () => resolve({ ok: true } as never);
      });
    const before = send(r, 'fsync');
    const compound = send(r, 'compound', { steps: [{ fop: 'unlink', args }] });
    await settle();
    expect(compound()).toBe(true);
    r.xlator.lower();
    finish();
    const after = send(r, 'compound', { steps: [{ fop: 'unlink', args }] });
    await settle();
    expect([before(), after()]).toEqual([false, false]);
    r.xlator.lift();
    await settle();
    expect([before(), after()]).toEqual([true, true]);
  });

  it('lifts itself after the timeout, and when the graph ends', async () => {
    const r = await make({ barrier: 'on', 'barrier-timeout': '10' });
    const reply = send(r, 'unlink');
    await r.services.clock.advance(9999);
    expect(reply()).toBe(false);
    await r.services.clock.advance(1);
    expect(reply()).toBe(true);
    expect(r.services.lines).toMatchObject([{ level: 'CRITICAL' }]);
    r.xlator.lower();
    const second = send(r, 'unlink');
    await settle();
    await r.xlator.drain();
    await settle();
    expect(second()).toBe(true);
  });

  it('takes orders from root', async () => {
    const r = await make();
    const order = async (operation: string, uid = 0) =>
      errnoOfReply(await r.xlator.ops.ipc(rigCall('c', { uid }), { operation }));
    expect(await order('barrier.close', 7)).toBe(Errno.EPERM);
    expect(await order('barrier.close')).toBe(0);
    expect(await order('barrier.close')).toBe(Errno.EALREADY);
    expect(await order('barrier.open')).toBe(0);
    expect(await order('barrier.open')).toBe(Errno.EALREADY);
  });
});
