import { Fd, type Fop, type FopName, fopNames, fops, type Gfid, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { xlator } from './index.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const args = { loc: locOf(gfid), fd: new Fd(gfid), flags: 0, steps: [] };
const never = { sec: 0, nsec: 0 };

describe('features/utime', () => {
  it('stamps every change that has no time, and keeps a time that is there', async () => {
    const r = await rig(xlator);
    const changes = fopNames.filter((name) => ['data', 'metadata', 'entry'].includes(fops[name].class));
    for (const name of changes) {
      const fop = r.xlator.ops[name] as Fop<FopName>;
      await fop(rigCall('c', { time: never }), args as never);
      await fop(rigCall('c', { time: { sec: 5, nsec: 6 } }), args as never);
    }
    const times = r.child.calls.map(({ call }) => call.time);
    expect(times).toEqual(changes.flatMap(() => [r.services.clock.wall(), { sec: 5, nsec: 6 }]));
  });

  it('leaves to reads what counts as one', async () => {
    const r = await rig(xlator);
    const open = () => r.xlator.ops.open(rigCall('c'), { loc: locOf(gfid), flags: 0, fd: new Fd(gfid), contents: 10 });
    await open();
    r.reconfigure({ noatime: 'off' });
    await open();
    expect(r.child.calls.map(({ args }) => (args as { contents?: number }).contents)).toEqual([10, undefined]);
  });

  it('asks for access times only when noatime is off', async () => {
    const r = await rig(xlator);
    const read = () =>
      r.xlator.ops.readv(rigCall('c'), { fd: new Fd(gfid), size: 1, offset: 0, xdata: { heal: true } });
    await read();
    r.reconfigure({ noatime: 'off' });
    await read();
    await r.xlator.ops.stat(rigCall('c'), { loc: locOf(gfid) });
    expect(r.child.calls.map((call) => (call.args as { xdata?: object }).xdata)).toEqual([
      { heal: true },
      { heal: true, touchAtime: true },
      undefined,
    ]);
  });
});
