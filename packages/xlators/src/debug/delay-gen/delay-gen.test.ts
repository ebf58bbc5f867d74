import { Fd, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const call = rigCall('client');
const fd = new Fd(rootGfid);

describe('delay-gen', () => {
  it('holds an operation back for the time given, and only those it is told to', async () => {
    const r = await rig(xlator, { 'delay-percentage': '100', 'delay-duration': '5000', enable: 'WRITE,stat' });
    const slow = r.xlator.ops.stat(call, { loc: locOf(rootGfid) });
    await r.xlator.ops.flush(call, { fd });
    expect(r.child.calls.map((one) => one.fop)).toEqual(['flush']);
    await r.services.clock.advance(4);
    expect(r.child.calls).toHaveLength(1);
    await r.services.clock.advance(1);
    expect((await slow).ok).toBe(true);
    expect(r.child.calls.map((one) => one.fop)).toEqual(['flush', 'stat']);
  });

  it('delays the share that it is told to', async () => {
    const r = await rig(xlator, { 'delay-percentage': '25%', 'delay-duration': '1000' });
    for (let i = 0; i < 400; i++) void r.xlator.ops.flush(call, { fd });
    await settle();
    const delayed = 400 - r.child.calls.length;
    expect(delayed).toBeGreaterThan(50);
    expect(delayed).toBeLessThan(150);
    await r.services.clock.advance(1);
    expect(r.child.calls).toHaveLength(400);
  });

  it('passes a compound whole, after the delays of its steps', async () => {
    const r = await rig(xlator, { 'delay-percentage': '100', 'delay-duration': '1000', enable: 'writev' });
    const step = { fop: 'writev', args: { fd, offset: 0, data: new Uint8Array(1) } };
    void r.xlator.ops.compound(call, { steps: [step, { fop: 'flush', args: { fd } }, step] });
    await r.services.clock.advance(1);
    expect(r.child.calls).toEqual([]);
    await r.services.clock.advance(1);
    expect(r.child.calls.map((one) => one.fop)).toEqual(['compound']);
  });

  it('takes new options at once, and refuses a fop that there is not', async () => {
    const r = await rig(xlator, { 'delay-percentage': '100' });
    r.reconfigure({ 'delay-percentage': '0' });
    await r.xlator.ops.flush(call, { fd });
    expect(r.child.calls).toHaveLength(1);
    await expect(rig(xlator, { enable: 'wrote' })).rejects.toThrow("'wrote'");
  });
});
