import { Errno, emptyIatt, Fd, fail, locOf, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { type RigServices, rig, rigCall, rigServices } from '../../lib/translator-rig.ts';
import { type IoStats, xlator } from './index.ts';

const call = rigCall('client');
const fd = new Fd(rootGfid, 2);
const on = { 'count-fop-hits': 'on', 'latency-measurement': 'on' };

async function setUp(options: Record<string, string>, services: RigServices = rigServices()) {
  const r = await rig<typeof xlator.options, IoStats>(xlator, options, services);
  const after = async (ms: number) => {
    await services.clock.advance(ms);
  };
  r.child.answers = {
    readv: async (_call, { size }) => {
      await after(2);
      return { ok: true, data: new Uint8Array(size), iatt: emptyIatt(rootGfid) };
    },
    writev: async (_call, { data }) => {
      await after(4);
      return { ok: true, written: data.length, pre: emptyIatt(rootGfid), post: emptyIatt(rootGfid) };
    },
    stat: async () => fail(Errno.ENOENT),
  };
  return r;
}

describe('io-stats', () => {
  it('counts operations, their latencies and the sizes of reads and writes', async () => {
    const r = await setUp(on);
    for (const size of [1, 4096, 5000]) await r.xlator.ops.readv(call, { fd, size, offset: 0 });
    await r.xlator.ops.writev(call, { fd, offset: 0, data: new Uint8Array(8192) });
    await r.xlator.ops.stat(call, { loc: locOf(rootGfid) });
    const { cumulative } = r.xlator.profile('info');
    expect(cumulative).toEqual({
      durationSeconds: 0,
      bytesRead: 9097,
      bytesWritten: 8192,
      blocks: [
        { size: 1, reads: 1, writes: 0 },
        { size: 4096, reads: 2, writes: 0 },
        { size: 8192, reads: 0, writes: 1 },
      ],
      fops: [
        { fop: 'readv', hits: 3, avgMicros: 2000, minMicros: 2000, maxMicros: 2000 },
        { fop: 'writev', hits: 1, avgMicros: 4000, minMicros: 4000, maxMicros: 4000 },
        { fop: 'stat', hits: 1, avgMicros: 0, minMicros: 0, maxMicros: 0 },
      ],
      upcalls: [],
    });
  });

  it('counts notices to clients while it counts at all', async () => {
    const r = await setUp(on);
    const notice = { type: 'upcall', gfid: rootGfid } as const;
    r.xlator.notify({ ...notice, what: 'metadata' }, null);
    r.xlator.notify({ ...notice, what: 'metadata' }, null);
    r.xlator.notify({ ...notice, what: 'data' }, null);
    expect(r.xlator.profile('cumulative').cumulative!.upcalls).toEqual([
      { name: 'CI_XATTR', hits: 2 },
      { name: 'CI_STAT', hits: 1 },
    ]);
    const silent = await setUp({});
    silent.xlator.notify({ ...notice, what: 'data' }, null);
    expect(silent.xlator.profile('cumulative').cumulative!.upcalls).toEqual([]);
  });

  it('begins a new interval when asked, but not for a peek', async () => {
    const r = await setUp(on);
    await r.xlator.ops.readv(call, { fd, size: 10, offset: 0 });
    expect(r.xlator.profile('peek')).toMatchObject({ interval: { number: 0, bytesRead: 10 } });
    expect(r.xlator.profile('incremental')).toMatchObject({ interval: { number: 0, bytesRead: 10 } });
    await r.services.clock.advance(3500);
    expect(r.xlator.profile('info')).toMatchObject({
      interval: { number: 1, bytesRead: 0, durationSeconds: 3 },
      cumulative: { bytesRead: 10 },
    });
    expect(r.xlator.profile('clear')).toEqual({ cleared: true });
    expect(r.xlator.profile('cumulative')).toMatchObject({ cumulative: { bytesRead: 0, fops: [] } });
  });

  it('counts nothing while off, and can be switched on and off in the same graph', async () => {
    const r = await setUp({});
    const { readv } = r.xlator.ops;
    await readv(call, { fd, size: 10, offset: 0 });
    expect(r.xlator.profile('cumulative').cumulative!.fops).toEqual([]);
    r.reconfigure({ 'count-fop-hits': 'on' });
    await readv(call, { fd, size: 10, offset: 0 });
    r.reconfigure({ 'count-fop-hits': 'off' });
    await readv(call, { fd, size: 10, offset: 0 });
    expect(r.xlator.profile('cumulative').cumulative!.fops).toMatchObject([{ fop: 'readv', hits: 1, avgMicros: 0 }]);
  });

  it('passes a compound whole and counts its steps', async () => {
    const r = await setUp(on);
    r.child.answers.compound = async () => ({
      ok: true,
      replies: [{ ok: true, written: 100 } as { ok: boolean }, { ok: false }],
    });
    const steps = ['writev', 'flush', 'fsync'].map((fop) => ({ fop, args: { fd } }));
    await r.xlator.ops.compound(call, { steps });
    expect(r.child.calls.map((one) => one.fop)).toEqual(['compound']);
    const { cumulative } = r.xlator.profile('cumulative');
    expect(cumulative!.bytesWritten).toBe(100);
    expect(cumulative!.fops.map(({ fop, hits }) => [fop, hits])).toEqual([
      ['compound', 1],
      ['writev', 1],
      ['flush', 1],
    ]);
  });

  it('feeds the metrics of the process', async () => {
    const services = rigServices();
    const seen: string[] = [];
    const metrics = {
      counter: (name: string, labels?: Record<string, string>) => ({
        add: (amount = 1) => seen.push(`${name} ${labels?.fop ?? ''} ${amount}`),
      }),
      histogram: (name: string) => ({ record: (micros: number) => seen.push(`${name} ${micros}`) }),
    };
    const r = await setUp(on, { ...services, metrics });
    await r.xlator.ops.readv(call, { fd, size: 10, offset: 0 });
    expect(seen).toEqual(['mortar_fops_total READ 1', 'mortar_fop_latency_micros 2000', 'mortar_read_bytes_total  10']);
  });

  it("sets the process's log level, but not from the default in a volfile", async () => {
    const levels: string[] = [];
    const services = rigServices();
    const log = { ...services.log, setLevel: (level: string) => levels.push(level) };
    const r = await setUp({ 'log-level': 'INFO' }, { ...services, log: log as unknown as RigServices['log'] });
    expect(levels).toEqual([]);
    r.reconfigure({ 'log-level': 'DEBUG' });
    r.reconfigure({ 'log-level': 'DEBUG' });
    r.reconfigure({ 'log-level': 'INFO' });
    expect(levels).toEqual(['DEBUG', 'INFO']);
  });

  it('knows the busiest files of a brick, most first, and forgets them when told', async () => {
    const r = await setUp({ ...on, 'unique-id': '/d/brick' });
    r.child.answers.getxattr = async () => fail(Errno.ENODATA);
    const other = new Fd('00000000-0000-0000-0000-000000000002' as typeof rootGfid, 2);
    for (const one of [fd, other, other]) await r.xlator.ops.readv(call, { fd: one, size: 10, offset: 0 });
    expect((await r.xlator.top('read', 100))!.members).toEqual([
      { name: `<gfid:${other.gfid}>`, value: 2 },
      { name: '/', value: 1 },
    ]);
    expect((await r.xlator.top('read', 1))!.members).toHaveLength(1);
    // 10 bytes in 2 ms.
    expect((await r.xlator.top('read-perf', 1))!.members[0]).toMatchObject({ value: 0.005 });
    expect(await r.xlator.top('clear', 1)).toMatchObject({ cleared: true, members: [] });
    expect((await r.xlator.top('read', 100))!.members).toEqual([]);
  });

  it('names files of a brick as its disk does where nobody has told the name', async () => {
    const r = await setUp({ ...on, 'unique-id': '/d/brick' });
    const asked: string[] = [];
    r.child.answers.getxattr = async (_call, { name }) => {
      asked.push(name!);
      return name === 'glusterfs.gfidtopath'
        ? { ok: true, xattrs: { [name]: Buffer.from('/dir/12:30.log:/other\0') } }
        : fail(Errno.ENODATA);
    };
    const other = new Fd('00000000-0000-0000-0000-000000000002' as typeof rootGfid, 2);
    for (const one of [fd, other, other]) await r.xlator.ops.readv(call, { fd: one, size: 10, offset: 0 });
    expect((await r.xlator.top('read', 1))!.members).toEqual([{ name: '/dir/12:30.log', value: 2 }]);
    expect((await r.xlator.top('read-perf', 2))!.members.map(({ name }) => name)).toContain('/dir/12:30.log');
    expect(asked).toEqual(['glusterfs.gfidtopath', 'glusterfs.gfidtopath']);
  });

  it('counts open files of a brick until they are closed', async () => {
    const r = await setUp({ 'unique-id': '/d/brick' });
    r.child.answers.open = async () => ({ ok: true });
    const opened = new Fd(rootGfid, 2);
    await r.xlator.ops.open(call, { loc: locOf(rootGfid), flags: 2, fd: opened });
    expect(await r.xlator.top('open', 9)).toMatchObject({ openNow: 1, openMax: 1, members: [{ name: '/', value: 1 }] });
    opened.release();
    expect(await r.xlator.top('open', 9)).toMatchObject({ openNow: 0, openMax: 1 });
  });

  it.each([
    ['a client', {}, 1],
    ['a brick', { 'unique-id': '/d/brick' }, 0],
  ])('writes its statistics for root when told by an attribute: %s', async (_who, options, passedOn) => {
    const services = rigServices();
    const files = new Map<string, string>();
    const port = () => ({ write: (name: string, text: string) => files.set(name, text) });
    const r = await setUp(options, { ...services, port } as unknown as RigServices);
    r.child.answers.setxattr = async () => ({ ok: true });
    const xattrs = { 'trusted.io-stats-dump': Buffer.from('/a/../b') };
    const args = { loc: locOf(rootGfid), xattrs, flags: 0 };
    expect(await r.xlator.ops.setxattr({ ...call, uid: 1000 }, args)).toEqual(fail(Errno.EPERM));
    expect(await r.xlator.ops.setxattr({ ...call, uid: 0 }, args)).toEqual({ ok: true });
    expect([...files.keys()]).toEqual([`a-..-b.${r.xlator.name}`]);
    expect(r.child.calls).toHaveLength(passedOn);
  });
});
