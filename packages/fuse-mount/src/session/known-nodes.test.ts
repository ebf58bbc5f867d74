/** What the kernel knows of files, and for how long. */
import { Errno } from '@mortar/core';
import { settle } from '@mortar/xlators/lib/translator-rig.ts';
import { describe, expect, it } from 'vitest';
import { mounted, text, u32, u64 } from './session-rig.ts';

describe('nodes', () => {
  it('count lookups and go when all are forgotten', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('lookup', 1, text('a'));
    expect(rig.session.stats).toMatchObject({ nodes: 2, openNodes: 1 });
    rig.send('forget', node, u64(1));
    expect(rig.session.stats.nodes).toBe(2);
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    expect(rig.session.stats).toMatchObject({ nodes: 2, openNodes: 0 });
    rig.send('batchForget', 0, u32(1, 0), u64(node, 1));
    expect(rig.session.stats.nodes).toBe(1);
    expect((await rig.ask('getattr', node, u32(0, 0), u64(0))).errno).toBe(Errno.ESTALE);
  });

  it('are not counted when the kernel did not take the reply', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    rig.send('forget', node, u64(1));
    rig.channel.refuseWith = Errno.ENOENT;
    rig.send('lookup', 1, text('a'));
    await settle();
    expect(rig.session.stats).toMatchObject({ nodes: 1, undelivered: 1, inFlight: 0 });
  });

  it('are held and named in the inode table, so that directories have paths', async () => {
    const { rig, services } = mounted();
    const body = await rig.expect('mkdir', 1, u32(0o755, 0), text('d'));
    await rig.expect('mkdir', Number(body.readBigUInt64LE(0)), u32(0o755, 0), text('e'));
    const deepest = [...services.inodes.all()].find(({ name }) => name === 'e')!;
    expect(services.inodes.pathOf(deepest.gfid)).toBe('/d/e');
    expect(deepest.holds).toBe(1);
  });

  it('never get the number of an earlier one', async () => {
    const { rig } = mounted();
    const first = await rig.create('a');
    await rig.expect('release', first.node, u64(first.fh), u32(0, 0), u64(0));
    rig.send('forget', first.node, u64(1));
    const again = await rig.expect('lookup', 1, text('a'));
    expect(Number(again.readBigUInt64LE(0))).toBeGreaterThan(first.node);
  });

  it('remember absent names only if asked to', async () => {
    expect((await mounted().rig.ask('lookup', 1, text('none'))).errno).toBe(Errno.ENOENT);
    const body = await mounted({ negativeTimeout: 2 }).rig.expect('lookup', 1, text('none'));
    expect([body.readBigUInt64LE(0), body.readBigUInt64LE(16)]).toEqual([0n, 2n]);
  });
});

describe('the number of nodes', () => {
  it('beyond the limit makes the kernel forget, oldest first, but not what is open', async () => {
    const { rig, services } = mounted({ lruLimit: 20 });
    const opened = await rig.create('open');
    const nodes: number[] = [];
    for (let i = 0; i < 60; i++) {
      const { node, fh } = await rig.create(`f${i}`);
      await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
      nodes.push(node);
    }
    const asked = () => rig.channel.notices.map((notice) => notice.toString('latin1', 32, notice.length - 1));
    const first = asked();
    expect(first.length).toBeGreaterThan(0);
    for (const [i, name] of first.entries()) {
      expect(name).toBe(`f${i}`);
      rig.send('forget', nodes[i]!, u64(1));
    }
    await services.clock.advance(100);
    for (let i = 0; i < 64; i++) await rig.expect('getattr', opened.node, u32(0, 0), u64(0));
    for (const name of asked().slice(first.length)) rig.send('forget', nodes[Number(name.slice(1))]!, u64(1));
    for (let i = 0; i < 10; i++) {
      rig.channel.notices.length = 0;
      await services.clock.advance(100);
      for (const name of asked()) rig.send('forget', nodes[Number(name.slice(1))]!, u64(1));
    }
    expect(rig.session.stats.nodes).toBe(20);
    expect(services.clock.pending).toBe(0);
  });
});
