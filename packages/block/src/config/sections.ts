/**
 * The text form of RSIO's configuration files: `[KIND NAME]` begins a section, `KEY = VALUE` lines follow; in `[clients]`
 * each line is a name and a key. `#` begins a comment. No meaning here: what is allowed where is the schema's affair.
 */

/** What is wrong in a configuration file, as `FILE:LINE: text`, one line for each. */
export class ConfigError extends Error {
  readonly code = 'ECONFIG';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

export interface Section {
  /** `namespace`, `device`... */
  readonly kind: string;
  /** Empty for a section without one. */
  readonly name: string;
  readonly line: number;
  readonly entries: readonly Entry[];
}

/** Collects what is wrong, so that one run tells it all. */
export class Problems {
  readonly #file: string;
  readonly #problems: string[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  add(line: number, text: string): void {
    this.#problems.push(`${this.#file}:${line}: ${text}`);
  }

  /** Throws ConfigError if there are any. */
  check(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }
}

const linesMax = 100_000;
/** Sections whose lines are words, not assignments. */
const plainKinds = new Set(['clients']);

export function parseSections(text: string, problems: Problems): Section[] {
  const sections: (Section & { entries: Entry[] })[] = [];
  const lines = text.split('\n');
  if (lines.length > linesMax) problems.add(linesMax, `at most ${linesMax} lines are expected`);
  lines.slice(0, linesMax).forEach((raw, i) => {
    const line = i + 1;
    const content = raw.replace(/\r$/, '').trim();
    if (content === '' || content.startsWith('#')) return;
    if (content.startsWith('[')) {
      const match = /^\[\s*([a-z]+)(?:\s+([^\]\s]+))?\s*\]$/.exec(content);
      if (match) sections.push({ kind: match[1]!, name: match[2] ?? '', line, entries: [] });
      else problems.add(line, `'${content}': [KIND] or [KIND NAME] is expected`);
      return;
    }
    const section = sections.at(-1);
    if (!section) {
      problems.add(line, `'${content}' stands before the first section, such as [namespace NAME]`);
      return;
    }
    const entry = plainKinds.has(section.kind) ? plainLine(content, line) : assignment(content, line);
    if (entry) section.entries.push(entry);
    else if (plainKinds.has(section.kind)) problems.add(line, `'${content}': NAME KEY is expected`);
    else problems.add(line, `'${content}': KEY = VALUE is expected`);
  });
  return sections;
}

function assignment(content: string, line: number): Entry | null {
  const match = /^([a-z][a-z0-9-]*)\s*=\s*(.*)$/.exec(content);
  return match ? { key: match[1]!, value: match[2]!.trim(), line } : null;
}

function plainLine(content: string, line: number): Entry | null {
  const match = /^(\S+)\s+(\S+)$/.exec(content);
  return match ? { key: match[1]!, value: match[2]!, line } : null;
}
