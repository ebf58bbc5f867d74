import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { serverSessionLimits } from './limits.ts';
import { Load } from './load.ts';

const limits = { ...serverSessionLimits, outstanding: 8, outstandingBytes: 1000, lockWaiters: 3 };

let load: Load;
let heard: string[];

const reader = { pauseReading: () => void heard.push('pause'), resumeReading: () => void heard.push('resume') };
const begin = (times = 1, bytes = 0) => {
  for (let i = 0; i < times; i++) load.count(false, bytes, 1);
};
const end = (times = 1, bytes = 0) => {
  for (let i = 0; i < times; i++) load.count(false, bytes, -1);
};

beforeEach(() => {
  heard = [];
  load = new Load(limits);
  load.readBy(reader);
});

describe('a client', () => {
  it('is not read from at the bound, and again below three quarters of it', () => {
    begin(7);
    expect(heard).toEqual([]);
    begin(3);
    expect(heard).toEqual(['pause']);
    end(4);
    expect(heard).toEqual(['pause']);
    end(1);
    expect(heard).toEqual(['pause', 'resume']);
    begin(2);
    expect(heard).toEqual(['pause', 'resume']);
  });

  it('is held back by bytes alone, those of locks among them', () => {
    begin(1, 600);
    load.count(true, 400, 1);
    expect(heard).toEqual(['pause']);
    end(1, 600);
    expect(heard).toEqual(['pause', 'resume']);
  });

  it('may have locks that wait however much runs, up to their own bound', () => {
    for (let i = 0; i < 3; i++) {
      expect(load.hasAllLocks).toBe(false);
      load.count(true, 0, 1);
    }
    expect([load.hasAllLocks, heard]).toEqual([true, []]);
    load.count(true, 0, -1);
    expect(load.hasAllLocks).toBe(false);
    begin(7);
    expect(heard).toEqual([]);
  });

  it('that comes by another connection is held back there too, as long as what it began still runs', () => {
    begin(8);
    load.unread();
    load.readBy(reader);
    expect(heard).toEqual(['pause', 'pause']);
    load.unread();
    end(8);
    load.readBy(reader);
    begin(1);
    expect(heard).toEqual(['pause', 'pause']);
  });
});

it('pausing and reading on take turns, and who has nothing running is read from', () =>
  fc.assert(
    fc.property(
      fc.array(fc.record({ bytes: fc.nat(400), isLock: fc.boolean(), endsFirst: fc.boolean() })),
      (requests) => {
        heard = [];
        load = new Load(limits);
        load.readBy(reader);
        const running: typeof requests = [];
        const endOldest = () => {
          const oldest = running.shift();
          if (oldest) load.count(oldest.isLock, oldest.bytes, -1);
        };
        for (const request of requests) {
          if (request.endsFirst) endOldest();
          running.push(request);
          load.count(request.isLock, request.bytes, 1);
        }
        while (running.length > 0) endOldest();
        expect(heard).toEqual(heard.map((_, i) => (i % 2 === 0 ? 'pause' : 'resume')));
        expect(heard.length % 2).toBe(0);
      },
    ),
  ));
