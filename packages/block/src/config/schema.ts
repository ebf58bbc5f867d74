/** Checks sections against tables of keys: unknown sections and keys (with the nearest known one), doubles, values, what is missing. */
import { nearest } from '@mortar/core/nearest.ts';
import type { Problems, Section } from './sections.ts';
import { name, type Read } from './values.ts';

export type Table = Readonly<Record<string, Read<unknown>>>;
type ValueOf<R> = R extends Read<infer T> ? T : never;
export type Values<T extends Table> = { readonly [K in keyof T]?: ValueOf<T[K]> };

/** Values by key; a key that is wrong is told and left out. */
export function readEntries<T extends Table>(section: Section, table: T, problems: Problems): Values<T> {
  const values: Record<string, unknown> = {};
  const lines = new Map<string, number>();
  const what = section.name === '' ? `[${section.kind}]` : `[${section.kind} ${section.name}]`;
  for (const { key, value, line } of section.entries) {
    const read = Object.hasOwn(table, key) ? table[key] : undefined;
    const before = lines.get(key);
    lines.set(key, line);
    if (!read) {
      const near = nearest(key, Object.keys(table));
      problems.add(line, `'${key}' is not known in ${what}${near ? `; did you mean '${near}'?` : ''}`);
    } else if (before !== undefined) problems.add(line, `'${key}' was already set in line ${before}`);
    else {
      const result = read(value);
      if ('value' in result) values[key] = result.value;
      else problems.add(line, `${key} = ${value}: ${result.expected} is expected`);
    }
  }
  return values as Values<T>;
}

/** Tells of kinds of sections that are not known, of names that are missing or too much, and of doubles. */
export function checkKinds(
  sections: readonly Section[],
  kinds: Readonly<Record<string, 'named' | 'plain'>>,
  problems: Problems,
): void {
  const seen = new Map<string, number>();
  for (const { kind, name, line } of sections) {
    const form = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    const id = `${kind} ${name}`;
    const before = seen.get(id);
    seen.set(id, line);
    if (!form) {
      const near = nearest(kind, Object.keys(kinds));
      problems.add(line, `[${kind}] is no section${near ? `; did you mean [${near}]?` : ''}`);
    } else if (form === 'named' && name === '') problems.add(line, `[${kind} NAME] is expected: its name is missing`);
    else if (form === 'plain' && name !== '') problems.add(line, `[${kind}] is expected, without a name`);
    else if (before !== undefined) problems.add(line, `[${id.trim()}] stands already in line ${before}`);
  }
}

/** Without the keys that have no value. */
export function given<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

/** The section's name; one that cannot stand in a path is told. */
export function checkedName(section: Section | undefined, problems: Problems): string {
  if (!section || section.name === '') return '';
  const result = name(section.name);
  if ('expected' in result) problems.add(section.line, `'${section.name}': ${result.expected} is expected`);
  return section.name;
}
