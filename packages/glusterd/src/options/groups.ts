/** Groups of options for `volume set V group G`: files with one key=value a line. */

/** A group is a file in management's `groups` directory, so its name is one component of a path. */
export function isGroupName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name);
}

/** The options of a group file. Throws Error naming the line that is none. */
export function parseGroup(text: string): [key: string, value: string][] {
  const pairs: [string, string][] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const match = /^([^=\s]+)\s*=\s*(.+)$/.exec(trimmed);
    if (!match) throw new Error(`line ${index + 1} is not key=value: ${trimmed.slice(0, 80)}`);
    pairs.push([match[1]!, match[2]!]);
  }
  return pairs;
}
