import { poisonReturnedBytes, returnBytes } from '@mortar/core';
import { afterEach, expect, it } from 'vitest';
import { roomFor } from './room.ts';

afterEach(() => poisonReturnedBytes(false));

it.each([1, 4096, 32 * 1024, 100_000, 1_044_480, 1024 * 1024])('has room for %i bytes, again and again', (bytes) => {
  const first = roomFor(bytes);
  expect(first.length).toBe(bytes);
  const place = [first.buffer, first.byteOffset];
  returnBytes(first);
  // Small ones of odd sizes are pieces of something that goes on.
  if (bytes >= 32 * 1024) {
    const second = roomFor(bytes - (bytes % 4096 === 0 ? 0 : 1));
    expect([second.buffer, second.byteOffset]).toEqual(place);
    returnBytes(second);
  }
});

it('is not rounded up where nothing larger serves again', () => {
  expect(roomFor(1024 * 1024 + 512).buffer.byteLength).toBe(1024 * 1024 + 512);
});

it('gives the whole of it back', () => {
  poisonReturnedBytes(true);
  const bytes = roomFor(40_000);
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, 64 * 1024);
  returnBytes(bytes);
  expect(whole.every((byte) => byte === 0xdb)).toBe(true);
  // Once: it may be somebody else's by now.
  const next = roomFor(64 * 1024).fill(1);
  returnBytes(bytes);
  expect(next.every((byte) => byte === 1)).toBe(true);
});
