import { Errno, Fd, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall, rigServices } from '../../lib/translator-rig.ts';
import { likelyErrors } from './errors.ts';
import { xlator } from './index.ts';

const call = rigCall('client');
const fd = new Fd(rootGfid);
const write = { fd, offset: 0, data: Buffer.from('0123456789') };

describe('error-gen', () => {
  it('fails the operations it is told to with the error it is told, without passing them down', async () => {
    const r = await rig(xlator, { failure: '100', 'error-no': 'ENOSPC', 'error-fops': 'write' });
    expect(await r.xlator.ops.writev(call, write)).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect((await r.xlator.ops.flush(call, { fd })).ok).toBe(true);
    expect(r.child.calls.map((one) => one.fop)).toEqual(['flush']);
  });

  it('fails the share that it is told to, with errors that fit, the same under the same seed', async () => {
    const run = async () => {
      const r = await rig(xlator, { failure: '20' }, rigServices());
      const errnos: number[] = [];
      for (let i = 0; i < 500; i++) {
        const reply = await r.xlator.ops.flush(call, { fd });
        errnos.push(reply.ok ? 0 : reply.errno);
      }
      return errnos;
    };
    const errnos = await run();
    const failed = errnos.filter((errno) => errno !== 0);
    expect(failed.length).toBeGreaterThan(50);
    expect(failed.length).toBeLessThan(150);
    for (const errno of failed) expect(likelyErrors('flush')).toContain(errno);
    expect(await run()).toEqual(errnos);
  });

  it('fails at intervals of 3 to 44 with random-failure', async () => {
    const r = await rig(xlator, { 'random-failure': 'on', failure: '100' });
    const at: number[] = [];
    for (let i = 1; i <= 300; i++) if (!(await r.xlator.ops.flush(call, { fd })).ok) at.push(i);
    expect(at[0]).toBe(3);
    const gaps = at.slice(1).map((one, i) => one - at[i]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(3);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(44);
  });

  it('carries a write out by half', async () => {
    const r = await rig(xlator, { failure: '100', 'error-no': 'GF_ERROR_SHORT_WRITE' });
    await r.xlator.ops.writev(call, write);
    expect((r.child.calls[0]!.args as typeof write).data.toString()).toBe('01234');
    expect((await r.xlator.ops.flush(call, { fd })).ok).toBe(true);
  });

  it('ends a compound at the step that fails; those before it are carried out', async () => {
    const r = await rig(xlator, { failure: '100', 'error-no': 'EIO', enable: 'flush' });
    r.child.answers.compound = async (_call, { steps }) => ({ ok: true, replies: steps.map(() => ({ ok: true })) });
    const steps = ['writev', 'flush', 'fsync'].map((fop) => ({ fop, args: write }));
    expect(await r.xlator.ops.compound(call, { steps })).toEqual({
      ok: true,
      replies: [{ ok: true }, { ok: false, errno: Errno.EIO }],
    });
    expect((r.child.calls[0]!.args as { steps: { fop: string }[] }).steps.map((step) => step.fop)).toEqual(['writev']);
    expect(await r.xlator.ops.compound(call, { steps: steps.slice(1) })).toMatchObject({ replies: [{ ok: false }] });
    expect(r.child.calls).toHaveLength(1);
  });
});
