import type { Subvolume } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { mounted, type SessionRig, text, u32, u64 } from './session-rig.ts';

describe('directories', () => {
  async function list(rig: SessionRig, size: number, plus: boolean): Promise<string[]> {
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const names: string[] = [];
    let offset = Buffer.alloc(8);
    for (;;) {
      const parts = [u64(fh), offset, u32(size, 0), u64(0), u32(0, 0)];
      const body = await rig.expect(plus ? 'readdirplus' : 'readdir', 1, ...parts);
      if (body.length === 0) return names;
      for (let at = 0; at < body.length; ) {
        if (plus) at += 128;
        const length = body.readUInt32LE(at + 16);
        names.push(body.toString('latin1', at + 24, at + 24 + length));
        offset = Buffer.from(body.subarray(at + 8, at + 16));
        at += (24 + length + 7) & ~7;
      }
    }
  }

  it.each([
    [300, false],
    [300, true],
    [4096, false],
    [65536, true],
  ])('list every name once, with answers of %i bytes (plus: %s)', async (size, plus) => {
    const { rig } = mounted();
    const names = Array.from({ length: 300 }, (_, i) => `file-${i}`);
    for (const name of names) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(name));
    const listed = await list(rig, size, plus);
    expect(listed.slice(0, 2)).toEqual(['.', '..']);
    expect(listed.slice(2).sort()).toEqual(names.sort());
  });

  it.each([0, 1, 40])('tell their end once without asking for it (%i names)', async (count) => {
    const { rig, top } = mounted();
    let asked = 0;
    const readdir: Subvolume['readdir'] = (call, args) => {
      asked++;
      return top.readdir(call, args);
    };
    const readdirp: Subvolume['readdirp'] = (call, args) => {
      asked++;
      return top.readdirp(call, args);
    };
    await rig.session.setGraph({ ...top, readdir, readdirp });
    for (let i = 0; i < count; i++) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(`f${i}`));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const page = (offset: Buffer, plus: boolean) =>
      rig.expect(plus ? 'readdirplus' : 'readdir', 1, u64(fh), offset, u32(4096, 0), u64(0), u32(0, 0));
    for (const plus of [false, true]) {
      asked = 0;
      let offset = Buffer.alloc(8);
      // As the kernel does it, the first page has attributes.
      for (let isPlus = true; ; isPlus = plus) {
        const body = await page(offset, isPlus);
        if (body.length === 0) break;
        const before = isPlus ? 128 : 0;
        for (let at = before; at < body.length; at += before + ((24 + body.readUInt32LE(at + 16) + 7) & ~7))
          offset = Buffer.from(body.subarray(at + 8, at + 16));
      }
      const pages = asked;
      expect(pages).toBeGreaterThan(0);
      // Whoever reads on behind the end sees what came since.
      await page(offset, plus);
      expect(asked).toBe(pages + 1);
      expect(pages).toBe(count < 40 ? 1 : 2);
    }
  });

  it('never show attributes that are older than the question', async () => {
    const { rig } = mounted();
    const names = Array.from({ length: 40 }, (_, i) => `f${i}`);
    const files = new Map<string, { node: number; fh: number }>();
    for (const name of names) files.set(name, await rig.create(name));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    let offset = Buffer.alloc(8);
    for (let pages = 0; ; pages++) {
      const body = await rig.expect('readdirplus', 1, u64(fh), offset, u32(1000, 0), u64(0), u32(0, 0));
      if (body.length === 0) break;
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32LE(at + 128 + 16);
        const name = body.toString('latin1', at + 152, at + 152 + length);
        if (files.has(name)) expect([name, Number(body.readBigUInt64LE(at + 48))]).toEqual([name, pages]);
        offset = Buffer.from(body.subarray(at + 136, at + 144));
        at += 128 + ((24 + length + 7) & ~7);
      }
      // Every file grows by a byte between two pages.
      for (const { node, fh: file } of files.values()) await rig.write(file, node, 'x', { offset: pages });
    }
  });

  it('go on behind an entry that was removed meanwhile', async () => {
    const { rig } = mounted();
    const names = Array.from({ length: 50 }, (_, i) => `f${i}`);
    for (const name of names) await rig.expect('mknod', 1, u32(0o100644, 0, 0, 0), text(name));
    const fh = Number((await rig.expect('opendir', 1, u32(0, 0))).readBigUInt64LE(0));
    const page = async (offset: Buffer) => rig.expect('readdir', 1, u64(fh), offset, u32(200, 0), u64(0), u32(0, 0));
    const seen: string[] = [];
    let offset = Buffer.alloc(8);
    for (let body = await page(offset); body.length > 0; body = await page(offset)) {
      let last = '';
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32LE(at + 16);
        last = body.toString('latin1', at + 24, at + 24 + length);
        seen.push(last);
        offset = Buffer.from(body.subarray(at + 8, at + 16));
        at += (24 + length + 7) & ~7;
      }
      if (!last.startsWith('.')) await rig.expect('unlink', 1, text(last));
    }
    expect(seen.filter((name) => !name.startsWith('.')).sort()).toEqual(names.sort());
  });
});
