import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hash32, NameHasher } from './hash.ts';
import { childOfHash, decodeRange, layoutOf } from './layout.ts';

const vectors = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/dht/dht-name-hash.json', import.meta.url), 'utf8'),
) as {
  extra_regex: string;
  layouts: Record<string, { subvols: Record<string, { dht: string }> }>;
  names: {
    hex: string;
    hashed_as_hex: string;
    hash: string;
    raw_hash_unmunged: string;
    hash_with_extra_regex: string;
    subvol: Record<string, number>;
  }[];
};
const bytesOf = (hex: string) => Buffer.from(hex, 'hex').toString('latin1');

describe('the hash of a name', () => {
  it('is the reference hash for every vector, unmunged', () => {
    for (const v of vectors.names) expect(hash32(bytesOf(v.hex)), v.hex).toBe(Number(v.raw_hash_unmunged));
  });

  it('ignores the decorations of temporary names', () => {
    const hasher = new NameHasher();
    for (const v of vectors.names) {
      expect(Buffer.from(hasher.munge(bytesOf(v.hex)), 'latin1').toString('hex')).toBe(v.hashed_as_hex);
      expect(hasher.hash(bytesOf(v.hex)), v.hex).toBe(Number(v.hash));
    }
  });

  it('tries the extra pattern first', () => {
    const hasher = new NameHasher(vectors.extra_regex);
    for (const v of vectors.names) expect(hasher.hash(bytesOf(v.hex)), v.hex).toBe(Number(v.hash_with_extra_regex));
  });

  it('does not munge when switched off', () => {
    const hasher = new NameHasher('', 'none');
    expect(hasher.munge('.file.Xy12')).toBe('.file.Xy12');
  });

  it('places every name on the child that the reference client chose', () => {
    for (const [key, { subvols }] of Object.entries(vectors.layouts)) {
      const layout = layoutOf(
        Object.keys(subvols).map((_, i) => {
          const { dht } = Object.entries(subvols).find(([name]) => name.endsWith(`-client-${i}`))![1];
          return { state: 'range', range: decodeRange(Buffer.from(dht, 'hex'))! };
        }),
      );
      const hasher = new NameHasher(key.endsWith('extra') ? vectors.extra_regex : '');
      for (const v of vectors.names)
        expect(childOfHash(layout, hasher.hash(bytesOf(v.hex))), `${key} ${v.hex}`).toBe(v.subvol[key]);
    }
  });
});

describe('a pattern', () => {
  const munge = (pattern: string, name: string) => new NameHasher(pattern, 'none').munge(name);

  it('is a POSIX extended one', () => {
    expect(munge('^([[:alpha:]]+)[[:digit:]]+$', 'file123')).toBe('file');
    expect(munge('^([^]]+)]x$', 'ab]x')).toBe('ab');
    expect(munge('^(.+)\\.tmp$', 'a.tmp')).toBe('a');
    expect(munge('^(.+)[.]tmp$', 'axtmp')).toBe('axtmp');
  });

  it('that is none is refused', () => {
    expect(() => new NameHasher('([')).toThrow('extra-hash-regex');
    expect(() => new NameHasher('', 'a\\')).toThrow('rsync-hash-regex');
  });
});
