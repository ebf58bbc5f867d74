/**
 * POSIX extended regular expressions as JavaScript ones: bracket expressions, classes and escapes are translated.
 * Alternation takes the first branch that fits, not the longest (docs/distribute.md, limits).
 */
const classes: Record<string, string> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  blank: ' \\t',
  punct: '!-\\/:-@\\[-`{-~',
  xdigit: '0-9A-Fa-f',
  cntrl: '\\x00-\\x1f\\x7f',
  print: '\\x20-\\x7e',
  graph: '\\x21-\\x7e',
};
/** Bytes that are no UTF-8 stand as these code units; a lone one is matched by nothing but itself. */
const undecodable = '\\udc80-\\udcff';
/** Any character: a surrogate pair, or a unit that isn't an undecodable byte. */
const anyCharacter = `(?:[\\ud800-\\udbff][\\udc00-\\udfff]|[^${undecodable}])`;

/** Throws SyntaxError when the pattern is none. */
export function compileEre(source: string): RegExp {
  let js = '';
  for (let at = 0; at < source.length; ) {
    const c = source[at]!;
    if (c === '[') {
      const { text, next } = bracket(source, at);
      js += text;
      at = next;
    } else if (c === '\\') {
      if (at + 1 === source.length) throw new SyntaxError('trailing backslash');
      js += escaped(source[at + 1]!);
      at += 2;
    } else {
      js += c === '.' ? anyCharacter : c;
      at++;
    }
  }
  return new RegExp(js);
}

function bracket(source: string, from: number): { text: string; next: number } {
  let at = from + 1;
  const negated = source[at] === '^';
  if (negated) at++;
  let inside = '';
  for (const start = at; ; ) {
    const c = source[at];
    if (c === undefined) throw new SyntaxError(`unmatched [ in '${source}'`);
    if (c === ']' && at > start) break;
    const named = /^\[:([a-z]+):\]/.exec(source.slice(at));
    if (named) {
      const set = classes[named[1]!];
      if (set === undefined) throw new SyntaxError(`unknown character class '${named[1]}'`);
      inside += set;
      at += named[0].length;
    } else {
      inside += '\\]^['.includes(c) ? `\\${c}` : c;
      at++;
    }
  }
  if (!negated) return { text: `[${inside}]`, next: at + 1 };
  return { text: `(?:[\\ud800-\\udbff][\\udc00-\\udfff]|[^${inside}${undecodable}])`, next: at + 1 };
}

function escaped(c: string): string {
  return /[A-Za-z0-9]/.test(c) ? c : `\\${c}`;
}
