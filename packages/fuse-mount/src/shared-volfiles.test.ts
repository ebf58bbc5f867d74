import { parseVolfile, printVolfile } from '@mortar/core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SharedVolfiles } from './shared-volfiles.ts';

const text = (name: string, options: Record<string, string>) =>
  [
    'volume disk\n  type storage/posix\n  option directory /d\nend-volume\n',
    `volume ${name}\n  type debug/io-stats`,
    ...Object.entries(options).map(([key, value]) => `  option ${key} ${value}`),
    '  subvolumes disk\nend-volume\n',
  ].join('\n');
const parsed = (name: string, options: Record<string, string>) => parseVolfile(text(name, options), 'v.vol');

it('are printed as they were, and have what is the same once', () => {
  const option = fc.constantFrom('a', 'b', 'c');
  const options = fc.dictionary(option, fc.constantFrom('1', '2'));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('s', 't'), options), { minLength: 1, maxLength: 20 }), (files) => {
      const shared = new SharedVolfiles();
      const kept = files.map(([name, set]) => shared.share(parsed(name, set)));
      expect(kept.map(printVolfile)).toEqual(files.map(([name, set]) => printVolfile(parsed(name, set))));
      expect(new Set(kept.map(({ volumes }) => volumes[0])).size).toBe(1);
      const different = new Set(files.map(([name, set]) => printVolfile(parsed(name, set))));
      expect(shared.size).toBe(1 + different.size);
    }),
    { numRuns: 50 },
  );
});

it('are the same whatever version of the volume they were made of', () => {
  const shared = new SharedVolfiles();
  const of = (version: string) => shared.share(parsed('s', { a: '1', 'placement-version': version })).volumes[1];
  expect(of('7')).toBe(of('8'));
  expect([...of('9')!.options]).toEqual([['a', '1']]);
});

it('keep nothing of those that are gone', () => {
  const shared = new SharedVolfiles();
  shared.share(parsed('s', { a: '1' }));
  const last = shared.share(parsed('s', { a: '2' }));
  expect(shared.size).toBe(3);
  shared.keepOnly([last]);
  expect(shared.size).toBe(2);
  expect(shared.share(parsed('s', { a: '2' })).volumes[1]).toBe(last.volumes[1]);
});
