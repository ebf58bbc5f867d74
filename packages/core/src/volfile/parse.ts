/** Reads a volfile (grammar: docs/volfiles.md). Types and options are the graph builder's matter, not checked here. */
import { nearest } from '../nearest.ts';
import { VolfileError, type VolfileErrorCode } from './error.ts';
import { expandBackticks } from './expand.ts';
import { type Keyword, type Token, tokenize } from './lexer.ts';
import { positionOf, type Source } from './source.ts';
import type { OptionPlace, Position, Volfile, VolumeNode } from './types.ts';

/** Characters of a volfile, before and after expansion. The largest clusters' volfiles have a few million. */
export const maxVolfileLength = 16 * 2 ** 20;

export interface ParseOptions {
  /** Runs a command in back-ticks and returns its output. Without it a volfile with back-ticks is refused. */
  expandBackticks?: (command: string) => string;
  /** Told of what is read but hardly meant: an option given twice, an option without a value. */
  warn?: (at: Position, text: string) => void;
}

/** Throws VolfileError, and nothing else. `file` names the text in messages. */
export function parseVolfile(text: string, file: string, options: ParseOptions = {}): Volfile {
  const source: Source = { file, text };
  checkText(source);
  const expanded = expandBackticks(source, options.expandBackticks);
  checkText(expanded);
  return new Parser(tokenize(expanded), options).volfile();
}

function checkText(source: Source): void {
  const start = { file: source.file, line: 1, column: 1 };
  if (source.text.length > maxVolfileLength)
    throw new VolfileError(
      'EVOLFILE_TOO_LARGE',
      start,
      `the volfile is larger than ${maxVolfileLength} characters`,
      `at most ${maxVolfileLength} characters`,
    );
  const nul = source.text.indexOf('\0');
  if (nul >= 0) throw new VolfileError('EVOLFILE_SYNTAX', positionOf(source, nul), 'a NUL byte; expected text', 'text');
}

type Word = Token & { kind: 'word' };

interface Body {
  options: Map<string, string>;
  optionPlaces: Map<string, OptionPlace>;
  subvolumes: string[];
}

function placeOf({ at: { file, line, column } }: Token): Position {
  return { file, line, column };
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #options: ParseOptions;
  readonly #volumes = new Map<string, VolumeNode>();
  #next = 0;

  constructor(tokens: readonly Token[], options: ParseOptions) {
    this.#tokens = tokens;
    this.#options = options;
  }

  volfile(): Volfile {
    do this.#volume();
    while (this.#token.kind !== 'end');
    return { volumes: [...this.#volumes.values()] };
  }

  #volume(): void {
    this.#keyword('volume');
    const name = this.#word('a name for the volume');
    const before = this.#volumes.get(name.text);
    if (before)
      this.#fail(
        'EVOLFILE_DUPLICATE_VOLUME',
        name,
        `volume '${name.text}' is defined again; it was first defined in line ${before.at.line}`,
        'a name that is not yet used',
      );
    this.#keyword('type');
    const type = this.#word('a translator type such as cluster/replicate');
    const { options, optionPlaces, subvolumes } = this.#body(name.text);
    const places = { type: placeOf(type), options: optionPlaces };
    this.#volumes.set(name.text, { name: name.text, type: type.text, options, subvolumes, at: placeOf(name), places });
  }

  /** Options and at most one subvolumes line in any order, at least one of all, then `end-volume`. */
  #body(name: string): Body {
    const options = new Map<string, string>();
    const optionPlaces = new Map<string, OptionPlace>();
    let subvolumes: string[] | undefined;
    for (let lines = 0; ; lines++) {
      const allowed: Keyword[] = ['option'];
      if (!subvolumes) allowed.push('subvolumes');
      if (lines > 0) allowed.push('end-volume');
      const keyword = this.#keyword(...allowed);
      if (keyword === 'end-volume') return { options, optionPlaces, subvolumes: subvolumes ?? [] };
      if (keyword === 'option') this.#option(options, optionPlaces);
      else subvolumes = this.#subvolumes(name);
    }
  }

  #option(options: Map<string, string>, places: Map<string, OptionPlace>): void {
    const key = this.#word('the name of an option', true);
    const value = this.#word(`a value for option '${key.text}'`, true);
    if (key.text === '' || value.text === '')
      this.#options.warn?.(key.at, 'an option without a name or value is ignored');
    else {
      if (options.has(key.text))
        this.#options.warn?.(key.at, `option '${key.text}' is given again, its last value is taken`);
      options.set(key.text, value.text);
      places.set(key.text, { name: placeOf(key), value: placeOf(value) });
    }
  }

  #subvolumes(owner: string): string[] {
    const names: string[] = [];
    do {
      const word = this.#word('the name of a subvolume');
      if (!this.#volumes.has(word.text)) this.#unknownSubvolume(word, owner);
      names.push(word.text);
    } while (this.#token.kind === 'word' && !this.#looksLikeKeyword(this.#token));
    return names;
  }

  #unknownSubvolume(word: Word, owner: string): never {
    if (word.text === owner)
      this.#fail(
        'EVOLFILE_UNKNOWN_SUBVOLUME',
        word,
        `volume '${owner}' has itself as subvolume; expected a volume defined earlier`,
        'a volume defined earlier',
      );
    const near = this.#nearVolume(word.text);
    this.#fail(
      'EVOLFILE_UNKNOWN_SUBVOLUME',
      word,
      `subvolume '${word.text}' is not defined before it is used in volume '${owner}'${near === undefined ? '' : `; did you mean '${near}'?`}`,
      'a volume defined earlier',
    );
  }

  /** Bounded, since the distance takes the product of the lengths for each volume. */
  #nearVolume(name: string): string | undefined {
    return name.length > 256 || this.#volumes.size > 2000 ? undefined : nearest(name, this.#volumes.keys());
  }

  /** A word after subvolumes that is no volume but nearly a keyword (`end-volum`) is better reported as one. */
  #looksLikeKeyword(word: Word): boolean {
    return (
      !word.quoted &&
      !this.#volumes.has(word.text) &&
      nearKeyword(word.text, ['option', 'end-volume', 'subvolumes']) !== undefined
    );
  }

  get #token(): Token {
    return this.#tokens[this.#next]!;
  }

  #keyword(...allowed: Keyword[]): Keyword {
    const token = this.#token;
    if (token.kind === 'keyword' && allowed.includes(token.keyword)) {
      this.#next++;
      return token.keyword;
    }
    const expected = oneOf(allowed.map((keyword) => `'${keyword}'`));
    const near = token.kind === 'word' && !token.quoted ? nearKeyword(token.text, allowed) : undefined;
    const hint = near === undefined ? this.#hint(token) : `; did you mean '${near}'?`;
    this.#fail('EVOLFILE_SYNTAX', token, `expected ${expected}, found ${shown(token)}${hint}`, expected);
  }

  /** Helps with the common mistake of a value with blanks. */
  #hint(token: Token): string {
    const option = this.#tokens[this.#next - 3];
    const afterOption = option?.kind === 'keyword' && option.keyword === 'option';
    return token.kind === 'word' && afterOption ? '; a value with blanks, quotes or backslashes must be quoted' : '';
  }

  #word(what: string, mayBeEmpty = false): Word {
    const token = this.#token;
    if (token.kind !== 'word') {
      const hint = token.kind === 'keyword' ? `; a keyword as a word must be quoted` : '';
      this.#fail('EVOLFILE_SYNTAX', token, `expected ${what}, found ${shown(token)}${hint}`, what);
    }
    if (token.text === '' && !mayBeEmpty)
      this.#fail('EVOLFILE_SYNTAX', token, `expected ${what}, found an empty string`, what);
    this.#next++;
    return token;
  }

  #fail(code: VolfileErrorCode, token: Token, what: string, expected: string): never {
    throw new VolfileError(code, token.at, what, expected);
  }
}

function nearKeyword(word: string, allowed: readonly Keyword[]): Keyword | undefined {
  return nearest(word.toLowerCase(), allowed) as Keyword | undefined;
}

function oneOf(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function shown(token: Token): string {
  if (token.kind === 'end') return 'the end of the file';
  return `'${token.text.length > 60 ? `${token.text.slice(0, 60)}...` : token.text}'`;
}
