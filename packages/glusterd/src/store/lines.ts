/** GlusterFS's text files: `key=value` lines; the first `=` separates. */

export type Lines = [key: string, value: string][];

export function parseLines(text: string): Lines {
  const lines: Lines = [];
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) lines.push([line.slice(0, equals), line.slice(equals + 1)]);
  }
  return lines;
}

export function printLines(lines: Lines): string {
  return lines.map(([key, value]) => `${key}=${value}\n`).join('');
}

/** A whole number at least 0, or the alternative when it is absent or no number. */
export function numberIn(lines: ReadonlyMap<string, string>, key: string, otherwise = 0): number {
  const value = lines.get(key);
  return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : otherwise;
}
