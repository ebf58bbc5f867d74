import { describe, expect, it } from 'vitest';
import { option, optionNamed, parseOptions, parseSize, parseTime } from './options.ts';

const table = {
  'self-heal-daemon': option.bool('on', { description: 'd' }),
  'ping-timeout': option.time('42', { description: 'd', min: 0, max: 1013 }),
  'cache-size': option.size('32MB', { description: 'd', aliases: ['size'] }),
  'log-level': option.choice(['DEBUG', 'WARNING', 'ERROR', 'INFO', 'CRITICAL', 'NONE', 'TRACE'], 'INFO', {
    description: 'd',
  }),
  'min-free-disk': option.percentOrSize('10%', { description: 'd' }),
  allow: option.addressList('*', { description: 'd' }),
};

const parse = (texts: Record<string, string>) => parseOptions(table, new Map(Object.entries(texts)));

describe('options', () => {
  it('have typed values, given or by default', () => {
    expect(parse({ 'cache-size': '64MB', 'ping-timeout': '2min', 'min-free-disk': '1GB' }).values).toEqual({
      'self-heal-daemon': true,
      'ping-timeout': 120,
      'cache-size': 67108864,
      'log-level': 'INFO',
      'min-free-disk': { bytes: 1073741824 },
      allow: ['*'],
    });
  });

  it.each([
    ['self-heal-daemon', 'maybe', "option self-heal-daemon maybe: 'maybe' is not a valid boolean value"],
    ['ping-timeout', '99999', "'99999' in 'option ping-timeout 99999' is out of range [0 - 1013]"],
    ['ping-timeout', '-1', 'invalid time format "-1" in "option ping-timeout"'],
    ['cache-size', 'abc', 'invalid number format "abc" in option "cache-size"'],
    [
      'log-level',
      'LOUD',
      "option log-level LOUD: 'LOUD' is not valid (possible options are DEBUG, WARNING, ERROR, INFO, CRITICAL, NONE, TRACE.)",
    ],
    ['min-free-disk', '200%', "'200.000000' in 'option min-free-disk 200%' is out of range [0 - 100]"],
    ['allow', '300.1.1.1,@@', "option allow 300.1.1.1,@@: '300.1.1.1,@@' is not a valid internet-address-list"],
  ])('refuse %s %s as GlusterFS does', (name, text, message) => {
    expect(() => parse({ [name]: text })).toThrow(message);
  });

  it('name the nearest known one for an unknown one, and are found by alias', () => {
    expect(parse({ 'ping-timout': '1' }).unknown).toEqual([{ name: 'ping-timout', nearest: 'ping-timeout' }]);
    expect(optionNamed(table, 'size')).toBe('cache-size');
  });

  it('read a leading zero as octal, as the C library does', () => {
    const masks = { mask: option.int('0777', { description: 'd' }) };
    expect(parseOptions(masks, new Map([['mask', '0022']])).values.mask).toBe(0o22);
    expect(parseOptions(masks, new Map()).values.mask).toBe(0o777);
  });

  it('understand sizes and times with units', () => {
    expect([parseSize('1.5KB'), parseSize('0x10'), parseSize('12'), parseSize('1KiB'), parseSize('')]).toEqual([
      1536,
      16,
      12,
      undefined,
      undefined,
    ]);
    expect([parseTime('10'), parseTime('1hr'), parseTime('1days'), parseTime('1wk'), parseTime('1y')]).toEqual([
      10,
      3600,
      86400,
      604800,
      undefined,
    ]);
  });
});
