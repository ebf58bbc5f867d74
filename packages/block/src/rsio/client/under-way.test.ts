import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { payloadsMax, requestsMax } from '../bounds.ts';
import { FrameType } from '../frame.ts';
import type { Request } from './session.ts';
import { UnderWay } from './under-way.ts';

const largest = Buffer.alloc(1024 * 1024);
const request = (tag: number, device: number, bytes: number): Request => ({
  frame: { type: FrameType.WRITE, flags: 0, device, tag, offset: 0, length: bytes },
  payload: bytes === 0 ? null : largest.subarray(0, bytes),
  bytes: bytes + 512,
  wasSent: false,
  path: null,
  settle: () => undefined,
});
const asked = fc.record({
  device: fc.nat(5),
  bytes: fc.constantFrom(0, 512, 65536, largest.length),
  // So many at once: what fills it quickly.
  times: fc.constantFrom(1, 1, 40, 400),
  /** Others are answered first. */
  answered: fc.constantFrom(0, 0, 3, 300),
});

describe('what is under way on a path', () => {
  it('keeps to the bounds of a connection, and leaves something for a device that has nothing there', () => {
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 40 }), (all) => {
        const underWay = new UnderWay();
        const model = new Map<number, Request>();
        let tag = 0;
        for (const { device, bytes, times, answered } of all) {
          for (const one of [...model.values()].slice(0, answered)) {
            underWay.drop(one);
            model.delete(one.frame.tag);
          }
          for (let i = 0; i < times; i++) {
            const one = request(++tag, device, bytes);
            if (!underWay.hasRoomFor(one)) break;
            underWay.add(one);
            model.set(tag, one);
          }
          const sum = (of: (one: Request) => number) => [...model.values()].reduce((total, one) => total + of(one), 0);
          expect(underWay.count).toBe(model.size);
          expect(underWay.count).toBeLessThan(requestsMax);
          expect(underWay.weight).toBe(sum((one) => one.bytes));
          expect(sum((one) => one.payload?.length ?? 0)).toBeLessThan(payloadsMax);
          expect(underWay.hasRoomFor(request(++tag, 99, 512))).toBe(true);
        }
        const byTag = (a: Request, b: Request) => a.frame.tag - b.frame.tag;
        expect([...underWay.takeAll()].sort(byTag)).toEqual([...model.values()]);
        expect([underWay.count, underWay.weight]).toEqual([0, 0]);
        expect(underWay.hasRoomFor(request(++tag, 1, largest.length))).toBe(true);
      }),
    );
  });

  it('takes one that is larger than all bounds when it has nothing else', () => {
    const underWay = new UnderWay();
    const one = { ...request(1, 1, 0), payload: Buffer.alloc(payloadsMax + 1) };
    expect(underWay.hasRoomFor(one)).toBe(true);
    underWay.add(request(2, 2, 0));
    expect(underWay.hasRoomFor(one)).toBe(false);
  });
});
