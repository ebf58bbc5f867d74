import { Errno, emptyIatt, Fd, fail, fopNames, locAt, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { describeArgs } from './describe.ts';
import { xlator } from './index.ts';

const call = rigCall('client', { uid: 1000 });
const fd = new Fd(rootGfid, 2);

describe('trace', () => {
  it('writes an operation and its reply', async () => {
    const r = await rig(xlator, { 'log-file': 'on' });
    r.child.answers.lookup = async () => fail(Errno.ENOENT);
    await r.xlator.ops.lookup(call, { loc: locAt(rootGfid, 'caf\xc3\xa9\n'), want: ['user.*'] });
    expect(r.services.lines.map((line) => line.text)).toEqual([
      "1: LOOKUP uid=1000 gid=0 pid=1 loc=00000000-0000-0000-0000-000000000001/café\\x0a want=['user.*']",
      '1: LOOKUP => ENOENT',
    ]);
  });

  it('tells sizes of data, not data', async () => {
    const r = await rig(xlator, { 'log-file': 'on' });
    r.child.answers.readv = async () => ({ ok: true, data: Buffer.from('secret'), iatt: emptyIatt(rootGfid) });
    await r.xlator.ops.readv(call, { fd, size: 10, offset: 7 });
    const text = r.services.lines.map((line) => line.text).join('\n');
    expect(text).toContain('size=10 offset=7');
    expect(text).toContain('data=<6 bytes>');
    expect(text).not.toContain('secret');
  });

  it('traces what it is told to, and nothing when off', async () => {
    const lines = async (options: Record<string, string>) => {
      const r = await rig(xlator, options);
      await r.xlator.ops.flush(call, { fd });
      await r.xlator.ops.writev(call, { fd, offset: 0, data: new Uint8Array(3) });
      return r.services.lines.map((line) => line.text.split(' ')[1]);
    };
    expect(await lines({})).toEqual([]);
    expect(await lines({ 'log-file': 'on', 'include-ops': 'WRITE' })).toEqual(['WRITE', 'WRITE']);
    expect(await lines({ 'log-file': 'on', exclude: 'writev' })).toEqual(['FLUSH', 'FLUSH']);
  });

  it('keeps the latest for the state dump', async () => {
    const r = await rig(xlator, { 'log-history': 'on', 'history-size': '4' });
    for (let i = 0; i < 20; i++) await r.xlator.ops.flush(call, { fd });
    const dump = Object.values(r.xlator.dump());
    expect(dump).toHaveLength(4);
    expect(dump.at(-1)).toBe('20: FLUSH => ok');
    expect(r.services.lines).toEqual([]);
  });

  it('can print every operation', () => {
    for (const fop of fopNames) expect(describeArgs(fop, {})).toBe('');
    expect(describeArgs('compound', { steps: [{ fop: 'flush', args: { fd } }] })).toBe(
      'steps=[flush(fd=00000000-0000-0000-0000-000000000001(flags 02))]',
    );
  });
});
