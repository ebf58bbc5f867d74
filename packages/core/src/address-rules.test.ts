import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { directoryPath, isWithin, parseAddressRules } from './address-rules.ts';

describe('lists of addresses', () => {
  it.each([
    ['*', [{ directory: '/', addresses: ['*'] }]],
    ['10.0.*, node7,', [{ directory: '/', addresses: ['10.0.*', 'node7'] }]],
    ['/(10.0.0.1|::1)', [{ directory: '/', addresses: ['10.0.0.1', '::1'] }]],
    [
      '/a/b/(10.0.0.0/24), /ü//c(node7)',
      [
        { directory: '/a/b', addresses: ['10.0.0.0/24'] },
        { directory: '/ü/c', addresses: ['node7'] },
      ],
    ],
  ])('%s', (text, rules) => {
    expect(parseAddressRules(text)).toEqual(rules);
  });

  it.each(['/a', 'a(1.2.3.4)', '/a()', '/a(1.2.3.4', '/a(1.2.3.4)x', '1.2.3.4,/a(1.2.3.4)', '/a/../b(*)', '/a(*),b'])(
    '%s is none',
    (text) => {
      expect(parseAddressRules(text)).toBeNull();
    },
  );

  it('never throws, and every directory of a rule is a clean path', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('/', 'a', '(', ')', '|', ',', '.', ' ') }), (text) => {
        for (const { directory, addresses } of parseAddressRules(text) ?? []) {
          expect(directoryPath(directory)).toBe(directory);
          if (text.includes('(')) expect(addresses.length).toBeGreaterThan(0);
        }
      }),
    );
  });
});

it('a directory is within itself and those above, not within one whose name begins alike', () => {
  expect(isWithin('/a/b', '/a/b')).toBe(true);
  expect(isWithin('/a/b', '/a')).toBe(true);
  expect(isWithin('/a/b', '/')).toBe(true);
  expect(isWithin('/ab', '/a')).toBe(false);
  expect(isWithin('/a', '/a/b')).toBe(false);
});
