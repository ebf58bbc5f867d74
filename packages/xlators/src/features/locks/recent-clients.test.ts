import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quietMs, RecentClients } from './recent-clients.ts';

describe('clients that asked for a lock lately', () => {
  it('are told apart by file, for as long as it takes to be quiet again', () => {
    const visit = fc.record({
      afterMs: fc.integer({ min: 0, max: quietMs }),
      file: fc.constantFrom('f', 'g'),
      client: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(visit, { maxLength: 30 }), (visits) => {
        let now = 0;
        const recent = new RecentClients({ nowMs: () => now });
        const past: { atMs: number; file: string; client: string }[] = [];
        for (const { afterMs, file, client } of visits) {
          now += afterMs;
          const others = past.filter((one) => one.file === file && one.client !== client && now - one.atMs < quietMs);
          expect(recent.isShared(file, client)).toBe(others.length > 0);
          past.push({ atMs: now, file, client });
        }
      }),
    );
  });

  it('are forgotten where too many files are asked for', () => {
    const recent = new RecentClients({ nowMs: () => 0 });
    for (let i = 0; i < 10_000; i++) recent.isShared(`f${i}`, 'a');
    expect(recent.size).toBe(8192);
    expect(recent.isShared('f0', 'b')).toBe(false);
    expect(recent.isShared('f9999', 'b')).toBe(true);
  });
});
