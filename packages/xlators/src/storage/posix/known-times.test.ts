import type { Gfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { KnownTimes } from './known-times.ts';
import { allTimes } from './mdata.ts';

const gfid = '00000000-0000-0000-0000-0000000000aa' as Gfid;
const then = allTimes({ sec: 1, nsec: 2 });

describe('times that are known', () => {
  it('are those that were set', () => {
    const known = new KnownTimes();
    known.set(gfid, then, 7);
    expect(known.get(gfid, 7)).toBe(then);
    expect(known.get('00000000-0000-0000-0000-0000000000ab' as Gfid, 7)).toBeNull();
  });

  it('are not those of another inode of the same gfid', () => {
    const known = new KnownTimes();
    known.set(gfid, then, 7);
    expect(known.get(gfid, 8)).toBeNull();
    expect(known.get(gfid, 7)).toBeNull();
  });

  it('belong to the first inode that is asked for when set without one', () => {
    const known = new KnownTimes();
    known.set(gfid, then);
    expect(known.get(gfid, 7)).toBe(then);
    expect(known.get(gfid, 8)).toBeNull();
  });

  it.each<[string, (known: KnownTimes) => unknown]>([
    ['it has gone', (known) => known.forget(gfid)],
    ['any may have gone', (known) => known.clear()],
    ['another inode has its gfid', (known) => known.get(gfid, 8)],
  ])('are forgotten when %s, and who wrote last, too', (_what, forget) => {
    const known = new KnownTimes();
    const times = allTimes({ sec: 1, nsec: 2 });
    known.set(gfid, times, 7);
    known.writers.raise(times, gfid, 'a', { sec: 5, nsec: 0 });
    forget(known);
    expect(known.get(gfid, 7)).toBeNull();
    // It would pass for a change of `a` that was overtaken.
    const later = allTimes({ sec: 5, nsec: 0 });
    known.writers.raise(later, gfid, 'a', { sec: 5, nsec: 0 });
    expect([later.mtime, later.mtimeNsec]).toEqual([5, 1]);
  });
});
