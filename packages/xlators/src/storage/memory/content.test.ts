/** What is read stays as it was read, and what is written reads back, wherever the chunks lie in memory. */
import { returnBytes } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Content } from './content.ts';

const chunk = 64 * 1024;
const fileBytes = 40 * chunk;

const at = fc.oneof(
  fc.nat(fileBytes),
  fc.nat(39).map((number) => number * chunk),
);
const size = fc.oneof(fc.nat(3 * chunk), fc.constantFrom(4096, chunk, 2 * chunk, 16 * chunk));
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write'), at, size }) },
  // As a program copies: one piece behind the other.
  { weight: 2, arbitrary: fc.record({ do: fc.constant('append'), at, size }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read'), at, size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('return'), at, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize'), at, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('punch'), at, size }) },
);

describe('content that is read and changed at the same time', () => {
  it('is what a plain array of bytes would be, and what was read does not change', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const content = new Content();
        const model = Buffer.alloc(2 * fileBytes);
        let length = 0;
        const held: { bytes: Buffer; copy: Buffer }[] = [];
        const write = (offset: number, data: Buffer) => {
          content.write(offset, data);
          data.copy(model, offset);
          length = Math.max(length, offset + data.length);
        };
        steps.forEach((s, i) => {
          if (s.do === 'write') write(s.at, Buffer.alloc(s.size, i + 1));
          else if (s.do === 'append') for (let n = 0; n < 3; n++) write(length % fileBytes, Buffer.alloc(chunk, i + n));
          else if (s.do === 'resize') {
            content.resize(s.at);
            model.fill(0, s.at);
            length = s.at;
          } else if (s.do === 'punch') {
            content.punch(s.at, s.at + s.size);
            model.fill(0, s.at, s.at + s.size);
          } else if (s.do === 'read') {
            const bytes = content.read(s.at, s.size);
            expect(bytes.equals(model.subarray(s.at, Math.max(s.at, Math.min(s.at + s.size, length))))).toBe(true);
            held.push({ bytes, copy: Buffer.from(bytes) });
          } else if (held.length > 0) returnBytes(held.splice(s.at % held.length, 1)[0]!.bytes);
        });
        for (const { bytes, copy } of held) expect(bytes.equals(copy)).toBe(true);
        expect(content.size).toBe(length);
        expect(content.read(0, 2 * fileBytes).equals(model.subarray(0, length))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('is lent where it was written in order, and not to those who never give back', () => {
    const content = new Content();
    for (let number = 0; number < 32; number++) content.write(number * chunk, Buffer.alloc(chunk, number));
    const memoryOf = (bytes: Buffer) => bytes.buffer;
    const first = content.read(16 * chunk, 16 * chunk);
    const again = content.read(16 * chunk, 16 * chunk);
    expect(memoryOf(again)).toBe(memoryOf(first));
    for (let i = 0; i < 100; i++) content.read(16 * chunk, 16 * chunk);
    expect(memoryOf(content.read(16 * chunk, 16 * chunk))).not.toBe(memoryOf(first));
  });

  it('stays in one piece when it is written over after all was given back', () => {
    const content = new Content();
    for (let number = 0; number < 32; number++) content.write(number * chunk, Buffer.alloc(chunk, number));
    const before = content.read(0, 16 * chunk);
    returnBytes(before);
    content.write(0, Buffer.alloc(16 * chunk, 9));
    expect(content.read(0, 16 * chunk).buffer).toBe(before.buffer);
  });
});
