import { describe, expect, it } from 'vitest';
import { parseArguments, UsageError } from './getopt.ts';

const specs = {
  server: { short: 's', value: 'required' },
  'server-port': { value: 'required' },
  debug: { value: 'none' },
  quiet: { short: 'q', value: 'none' },
  mode: { short: 'm', value: 'optional' },
} as const;

const parse = (...args: string[]) => {
  const { options, words } = parseArguments(args, specs);
  return { options: options.map(({ name, value }) => [name, value]), words };
};

describe('parseArguments', () => {
  it.each([
    [['--server', 'h'], [['server', 'h']]],
    [['--server=h'], [['server', 'h']]],
    [['--server='], [['server', '']]],
    [['-s', 'h'], [['server', 'h']]],
    [['-sh'], [['server', 'h']]],
    [
      ['-qs', 'h'],
      [
        ['quiet', null],
        ['server', 'h'],
      ],
    ],
    [['--mode'], [['mode', null]]],
    [['--mode=x'], [['mode', 'x']]],
    [['-mx'], [['mode', 'x']]],
    [['--deb'], [['debug', null]]],
    [['--server', '--debug'], [['server', '--debug']]],
  ])('reads %j', (args, options) => {
    expect(parse(...args)).toEqual({ options, words: [] });
  });

  it('gives an optional value only when it is attached', () => {
    expect(parse('--mode', '/mnt')).toEqual({ options: [['mode', null]], words: ['/mnt'] });
    expect(parse('-m', '/mnt')).toEqual({ options: [['mode', null]], words: ['/mnt'] });
  });

  it('finds options behind words, and none behind --', () => {
    expect(parse('/mnt', '--debug', '--', '--server')).toEqual({
      options: [['debug', null]],
      words: ['/mnt', '--server'],
    });
  });

  it('prefers a complete name to those it begins', () => {
    expect(parse('--server=h').options).toEqual([['server', 'h']]);
  });

  it.each([
    [['--bogus'], "unrecognized option '--bogus'"],
    [['--sever=h'], "did you mean '--server'?"],
    [['--serve=h'], 'is ambiguous'],
    [['--server'], 'requires an argument'],
    [['-s'], 'requires an argument'],
    [['--debug=1'], "doesn't allow an argument"],
    [['-x'], "invalid option -- 'x'"],
  ])('refuses %j', (args, message) => {
    expect(() => parse(...args)).toThrow(UsageError);
    expect(() => parse(...args)).toThrow(message);
  });
});
