import { poisonReturnedBytes } from '@mortar/core';
import { addressOf, bind } from '@mortar/libc/native.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { ReceiveBuffers } from './receive-buffers.ts';

afterEach(() => poisonReturnedBytes(false));

describe('receive buffers', () => {
  it.each([4096, 131_072, 1 << 20, 1_000_000])(
    'of a max_write of %i hold it and a page, its data on a page',
    (size) => {
      const bytes = new ReceiveBuffers(size).take();
      expect(bytes.length).toBe(size + 4096);
      expect((Number(addressOf(bytes)) + 80) % 4096).toBe(0);
      expect(bytes.byteOffset % 4).toBe(0);
    },
  );

  it('serve again when nobody looks into them any more, the last one first', () => {
    const buffers = new ReceiveBuffers(4096);
    const [a, b, c] = [buffers.take(), buffers.take(), buffers.take()];
    buffers.giveBack(a, true);
    buffers.giveBack(b, false);
    buffers.giveBack(c, true);
    expect(buffers.take()).toBe(c);
    expect(buffers.take()).toBe(a);
    expect(buffers.take()).not.toBe(b);
  });

  it('are plain memory while they do not come back', () => {
    const buffers = new ReceiveBuffers(1 << 20);
    expect(buffers.take().buffer.byteLength).toBeGreaterThan(2 << 20);
    buffers.giveBack(buffers.take(), false);
    expect(buffers.take().buffer.byteLength).toBe((1 << 20) + 4096);
  });

  it('are spare until a few are out', () => {
    const buffers = new ReceiveBuffers(4096);
    const out: Buffer[] = [];
    while (buffers.spare) out.push(buffers.take());
    expect(out.length).toBeGreaterThan(2);
    buffers.giveBack(out[0]!, true);
    expect(buffers.spare).toBe(true);
  });

  it('are kept for as many requests at a time as there were lately', () => {
    const buffers = new ReceiveBuffers(4096, { keptMax: 20 });
    const round = (count: number) => {
      const taken = Array.from({ length: count }, () => buffers.take());
      for (const bytes of taken.toReversed()) buffers.giveBack(bytes, true);
      return taken;
    };
    const first = round(30);
    // No more than is allowed.
    expect(round(30).filter((bytes) => first.includes(bytes)).length).toBe(20);
    const second = round(20);
    expect(round(20).every((bytes, i) => bytes === second[i])).toBe(true);
    // Of a burst nothing is left after some thousand requests that were fewer at a time.
    for (let i = 0; i < 2048; i++) round(1);
    expect(round(20).filter((bytes) => second.includes(bytes)).length).toBe(19);
    for (let i = 0; i < 20_000; i++) round(1);
    expect(round(20).filter((bytes) => second.includes(bytes)).length).toBe(8);
  });

  it('are overwritten when they come back, if a test wants that', () => {
    poisonReturnedBytes(true);
    const buffers = new ReceiveBuffers(4096);
    const bytes = buffers.take();
    buffers.giveBack(bytes, true);
    expect(bytes.every((byte) => byte === 0xdb)).toBe(true);
  });

  it('have all their pages in memory if they must', () => {
    const mincore = bind('mincore', 'int', ['size_t', 'size_t', '_Out_ uint8_t *']);
    // Without huge pages, one of which would make all present.
    const bytes = new ReceiveBuffers(256 * 1024, { present: true }).take();
    const pages = Math.floor(bytes.length / 4096);
    const found = new Uint8Array(pages);
    const begin = Math.ceil(Number(addressOf(bytes)) / 4096) * 4096;
    expect(mincore(begin, (pages - 1) * 4096, found)).toBe(0);
    expect(found.subarray(0, pages - 1).every((one) => (one & 1) === 1)).toBe(true);
  });

  it('do not come back more often than they were taken', () => {
    const buffers = new ReceiveBuffers(4096);
    const bytes = buffers.take();
    buffers.giveBack(bytes, true);
    expect(() => buffers.giveBack(bytes, true)).toThrow('more buffers came back');
  });
});
