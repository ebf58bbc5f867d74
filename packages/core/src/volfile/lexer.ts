import { VolfileError } from './error.ts';
import { type Located, positionOf, type Source } from './source.ts';

export const keywords = ['volume', 'type', 'option', 'subvolumes', 'end-volume'] as const;
export type Keyword = (typeof keywords)[number];

export type Token =
  | { kind: 'keyword'; keyword: Keyword; text: string; at: Located }
  | { kind: 'word'; text: string; quoted: boolean; at: Located }
  | { kind: 'end'; text: ''; at: Located };

/** The keyword that an unquoted word is. The S of `subvolumes` may be upper case, nothing else. */
export function keywordOf(word: string): Keyword | undefined {
  if (word === 'subvolumeS') return 'subvolumes';
  return keywords.find((keyword) => keyword === word);
}

// Sticky: each matches at `lastIndex` only. A run is consumed by one match, so that lexing takes linear time.
const blank = /[ \t\r\n]+/y;
const comment = /#[^\n]*/y;
const word = /[^ \t\r\n"\\]+/y;
const stringRun = /[^\n"\\]+/y;

/** All tokens of a volfile, an `end` token last. */
export function tokenize(source: Source): Token[] {
  const tokens: Token[] = [];
  const { text } = source;
  let at: Located | undefined;
  let offset = 0;
  const matched = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    return pattern.exec(text)?.[0];
  };
  while (offset < text.length) {
    // A backslash outside of quotes belongs to no token, it only splits words.
    const skipped = text[offset] === '\\' ? '\\' : (matched(blank) ?? matched(comment));
    if (skipped !== undefined) {
      offset += skipped.length;
      continue;
    }
    at = positionOf(source, offset, at);
    if (text[offset] === '"') {
      const string = readString(source, offset, at);
      tokens.push({ kind: 'word', text: string.text, quoted: true, at });
      offset = string.end;
      continue;
    }
    const found = matched(word)!;
    const keyword = keywordOf(found);
    tokens.push(
      keyword ? { kind: 'keyword', keyword, text: found, at } : { kind: 'word', text: found, quoted: false, at },
    );
    offset += found.length;
  }
  tokens.push({ kind: 'end', text: '', at: positionOf(source, text.length, at) });
  return tokens;
}

/** The string that begins at `open`: `\x` stands for x, newlines are dropped. `end` is after its closing quote. */
function readString(source: Source, open: number, at: Located): { text: string; end: number } {
  const { text } = source;
  const parts: string[] = [];
  let offset = open + 1;
  while (offset < text.length) {
    const char = text[offset]!;
    if (char === '"') return { text: parts.join(''), end: offset + 1 };
    if (char === '\n') offset++;
    else if (char === '\\') {
      // A backslash before a newline or at the end stands for nothing.
      const next = text.codePointAt(offset + 1);
      const escaped = next === undefined || next === 0x0a ? '' : String.fromCodePoint(next);
      parts.push(escaped);
      offset += 1 + escaped.length;
    } else {
      stringRun.lastIndex = offset;
      const run = stringRun.exec(text)![0];
      parts.push(run);
      offset += run.length;
    }
  }
  throw new VolfileError('EVOLFILE_SYNTAX', at, `a string that is not closed; expected '"'`, 'a closing quote');
}
