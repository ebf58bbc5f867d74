import { describe, expect, it } from 'vitest';
import { claimHolds, withClaim } from './layout-claim.ts';

describe('what an operation believes of a directory', () => {
  const xattrs: Record<string, Uint8Array> = { 'trusted.a': Uint8Array.of(1, 2), 'trusted.b=c': Uint8Array.of() };
  const holds = (claim: string) => claimHolds(claim, (name) => xattrs[name]);
  const claim = (name: string, ...bytes: number[]) =>
    withClaim<{ xdata?: { layout?: string } }>({}, name, Uint8Array.from(bytes)).xdata!.layout!;

  it('holds if no xattr is there that says something else', () => {
    expect(holds(claim('trusted.a', 1, 2))).toBe(true);
    expect(holds(claim('trusted.b=c'))).toBe(true);
    expect(holds(claim('trusted.a', 1, 3))).toBe(false);
    expect(holds(claim('trusted.none', 1))).toBe(true);
    const both = withClaim({ xdata: { fence: 3, layout: claim('trusted.b=c') } }, 'trusted.a', Uint8Array.of(1, 2));
    expect(both.xdata.fence).toBe(3);
    expect(holds(both.xdata.layout)).toBe(true);
    expect(holds(`${both.xdata.layout}0`)).toBe(false);
  });

  it('does not hold when it is no claim', () => {
    for (const bad of ['', '=', '=01', 'trusted.a', `trusted.a=${'0'.repeat(10000)}`, 'trusted.a=0102\n'])
      expect(holds(bad), bad).toBe(false);
  });
});
