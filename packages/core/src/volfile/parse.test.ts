import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VolfileError } from './error.ts';
import { maxVolfileLength, parseVolfile } from './parse.ts';
import { printVolfile } from './print.ts';
import type { Volfile, VolumeNode } from './types.ts';

const fixtures = new URL('../../../../test/fixtures/', import.meta.url);
const vectors = JSON.parse(readFileSync(new URL('vectors/volfile-parser.json', fixtures), 'utf8')) as {
  cases: { case: string; volfile: string; result: 'accepted' | 'rejected'; parsed_options: string[] }[];
};

function errorOf(text: string): VolfileError {
  try {
    parseVolfile(text, 'x.vol');
  } catch (error) {
    if (error instanceof VolfileError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

const posix = 'volume p\n type storage/posix\n option directory /b\nend-volume\n';

describe('what the GlusterFS parser accepts and rejects', () => {
  for (const vector of vectors.cases) {
    it(`${vector.result}: ${vector.case}`, () => {
      const run = (command: string) => (command.startsWith('echo hi there') ? 'hi-there\n' : '');
      const read = () => parseVolfile(vector.volfile, vector.case, { expandBackticks: run });
      if (vector.result === 'rejected') {
        expect(read).toThrow(VolfileError);
        return;
      }
      // The vectors' working directory /data/work was shortened to /data, except where a newline hides it.
      const given = read().volumes.flatMap((volume) =>
        [...volume.options].map(([k, v]) => `option ${k} ${v.replace('/data/work', '/data')}`),
      );
      for (const line of vector.parsed_options) expect(given).toContain(line);
    });
  }
});

describe('volfiles written by glusterd', () => {
  const folder = new URL('volfiles/', fixtures);
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.vol'))) {
    it(`${file} is read and written back byte by byte`, () => {
      const text = readFileSync(new URL(file, folder), 'utf8');
      expect(printVolfile(parseVolfile(text, file))).toBe(text);
    });
  }
});

describe('errors say where and what', () => {
  it('counts lines from 1 and columns in bytes', () => {
    const error = errorOf('volume p\n type x/é "é" option\n');
    expect(error).toMatchObject({ code: 'EVOLFILE_SYNTAX', file: 'x.vol', line: 2, column: 12 });
    expect(error.message).toMatch(/^x\.vol:2:12: expected 'option' or 'subvolumes', found 'é'/);
  });
  it('names the keyword that was nearly written', () => {
    expect(errorOf(`${posix}volume t\n type debug/trace\n subvolume p\nend-volume`).message).toBe(
      "x.vol:7:2: expected 'option' or 'subvolumes', found 'subvolume'; did you mean 'subvolumes'?",
    );
    expect(errorOf(posix.replace('end-volume', 'endvolume')).message).toMatch(/did you mean 'end-volume'\?$/);
    expect(errorOf(posix.toUpperCase()).message).toMatch(/did you mean 'volume'\?$/);
    expect(errorOf(`${posix}volume t\n type debug/trace\n subvolumes p\nend-volum`).message).toMatch(
      /did you mean 'end-volume'\?$/,
    );
  });
  it('says that a value with blanks must be quoted', () => {
    expect(errorOf('volume p type a/b option foo a b end-volume').message).toMatch(/must be quoted$/);
  });
  it('says that a keyword as a word must be quoted', () => {
    expect(errorOf('volume p type a/b option foo type end-volume').message).toMatch(/must be quoted$/);
  });
  it('names the volume nearest to an unknown subvolume', () => {
    const error = errorOf(`${posix.replace('volume p', 'volume brick')}volume t type a/b subvolumes brik end-volume`);
    expect(error.code).toBe('EVOLFILE_UNKNOWN_SUBVOLUME');
    expect(error.message).toMatch(/did you mean 'brick'\?$/);
  });
  it('refuses a volume as its own subvolume', () => {
    expect(errorOf('volume p type a/b subvolumes p end-volume').message).toContain('itself');
  });
  it('tells where a repeated volume was first defined', () => {
    expect(errorOf(`\n${posix}${posix}`)).toMatchObject({ code: 'EVOLFILE_DUPLICATE_VOLUME', line: 6 });
  });
  it('points at the quote that is never closed', () => {
    expect(errorOf('volume "p\n type x')).toMatchObject({ line: 1, column: 8 });
  });
  it('refuses NUL bytes and files beyond the limit', () => {
    expect(errorOf(`volume p\0`).column).toBe(9);
    expect(errorOf(' '.repeat(maxVolfileLength + 1)).code).toBe('EVOLFILE_TOO_LARGE');
  });
  it('never spends long on a suggestion', () => {
    const long = 'v'.repeat(2 ** 20);
    expect(errorOf(`volume ${long} type a/b option a b end-volume volume b type c/d subvolumes ${long}w`).code).toBe(
      'EVOLFILE_UNKNOWN_SUBVOLUME',
    );
  });
});

describe('corners of the lexer', () => {
  const readValue = (value: string) =>
    parseVolfile(`volume p type a/b option x ${value}\nend-volume`, 'x').volumes[0]!.options.get('x');
  it('takes subvolumeS for the keyword, and no other capital', () => {
    const text = `${posix}volume t type a/b subvolumeS p end-volume`;
    expect(parseVolfile(text, 'x').volumes[1]!.subvolumes).toEqual(['p']);
    expect(errorOf(text.replace('subvolumeS', 'Subvolumes')).code).toBe('EVOLFILE_SYNTAX');
  });
  it('lets a backslash before a newline in a string stand for nothing', () => {
    expect(readValue('"a\\\nb"')).toBe('ab');
    expect(readValue('"a\\nb"')).toBe('anb');
  });
  it('splits words at a backslash, after which # begins a comment', () => {
    expect(readValue('a\\# rest')).toBe('a');
    expect(readValue('"a"# rest')).toBe('a');
  });
  it('keeps # as a part of what a command printed', () => {
    const options = { expandBackticks: () => 'a' };
    const text = 'volume p type a/b option x `echo`#`echo`\nend-volume';
    expect(parseVolfile(text, 'x', options).volumes[0]!.options.get('x')).toBe('a#a');
  });
});

describe('what is read but hardly meant', () => {
  it('warns of an option given twice and takes the last', () => {
    const warnings: string[] = [];
    const text = 'volume p type a/b option x 1 option x 2 option y "" end-volume';
    const volfile = parseVolfile(text, 'x', { warn: (at, what) => warnings.push(`${at.column} ${what}`) });
    expect([...volfile.volumes[0]!.options]).toEqual([['x', '2']]);
    expect(warnings).toEqual([
      "37 option 'x' is given again, its last value is taken",
      '48 an option without a name or value is ignored',
    ]);
  });
});

describe('back-ticks', () => {
  const text = posix.replace('/b', '`hostname -f`');
  it('are refused by name and place', () => {
    expect(errorOf(text)).toMatchObject({ code: 'EVOLFILE_BACKTICK', line: 3, column: 19 });
    expect(errorOf(text).message).toContain('`hostname -f`');
  });
  it('are replaced by the output without its last newline, and places stay those of the file', () => {
    const broken = `${text}volume p`;
    const run = () => '/a\n\n\n/b/c\n';
    expect(() => parseVolfile(broken, 'x', { expandBackticks: run })).toThrow(/^x:3:19: expected .* found '\/b\/c'/);
    expect(() => parseVolfile(broken, 'x', { expandBackticks: () => '/a\n' })).toThrow(/^x:5:8: /);
  });
  it('that fail are reported with their cause', () => {
    const run = () => {
      throw new Error('exit code 3');
    };
    expect(() => parseVolfile(text, 'x', { expandBackticks: run })).toThrow(/^x:3:19: .* failed: exit code 3$/);
  });
  it('are no commands in comments, nor after a backslash', () => {
    const volfile = parseVolfile(`# \`rm\`\n${posix.replace('/b', '"\\`a\\`"')}`, 'x');
    expect(volfile.volumes[0]!.options.get('directory')).toBe('`a`');
    expect(errorOf(posix.replace('/b', 'a#`b`')).code).toBe('EVOLFILE_BACKTICK');
    expect(errorOf(posix.replace('/b', '`b')).message).toContain('unterminated');
  });
});

const at = { file: 'x', line: 1, column: 1 };
const text = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.string({ unit: fc.constantFrom(...'ab \t\r"\\`#/.-'), minLength: 1 }),
    fc.constantFrom('volume', 'type', 'option', 'subvolumes', 'subvolumeS', 'end-volume', '#'),
  )
  .filter((value) => !/[\n\0]/.test(value));
const volfiles = fc
  .uniqueArray(text, { minLength: 1, maxLength: 6 })
  .chain((names) =>
    fc.tuple(
      ...names.map((name, i) =>
        fc.record({
          name: fc.constant(name),
          type: text,
          options: fc.array(fc.tuple(text, text), { maxLength: 4 }).map((pairs) => new Map(pairs)),
          subvolumes: i === 0 ? fc.constant([]) : fc.array(fc.constantFrom(...names.slice(0, i)), { maxLength: 3 }),
          at: fc.constant(at),
        }),
      ),
    ),
  )
  .map((volumes): Volfile => ({ volumes }));

function withoutPlaces(volfile: Volfile): unknown {
  return volfile.volumes.map(({ name, type, options, subvolumes }: VolumeNode) => ({
    name,
    type,
    options: [...options],
    subvolumes,
  }));
}

describe('printing', () => {
  it('is undone by parsing, for any names and values', () => {
    fc.assert(
      fc.property(volfiles, (volfile) => {
        expect(withoutPlaces(parseVolfile(printVolfile(volfile), 'x'))).toEqual(withoutPlaces(volfile));
      }),
    );
  });
  it('refuses what no volfile can hold', () => {
    const node = { name: 'p', type: 'a/b', options: new Map([['x', 'a\nb']]), subvolumes: [], at };
    expect(() => printVolfile({ volumes: [node] })).toThrow(/newline/);
    expect(() => printVolfile({ volumes: [{ ...node, options: new Map(), name: '' }] })).toThrow(/empty/);
  });
});

describe('random input', () => {
  const words = fc.constantFrom(
    'volume ',
    'type ',
    'option ',
    'subvolumes ',
    'end-volume ',
    'a ',
    '"',
    '\\',
    '`',
    '#',
    '\n',
  );
  const inputs = fc.oneof(
    fc.array(words, { maxLength: 60 }).map((parts) => parts.join('')),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  );
  it('is parsed or refused with a VolfileError', () => {
    fc.assert(
      fc.property(inputs, fc.boolean(), (input, run) => {
        try {
          parseVolfile(input, 'x', run ? { expandBackticks: (command) => command } : {});
        } catch (error) {
          expect(error).toBeInstanceOf(VolfileError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
