/** What the virtual tree is made of. Everything is computed when somebody looks; nothing here has state. */
import { type ByteString, byteString, isValidName } from '@mortar/core';

export type Entries = ReadonlyMap<ByteString, () => MetaNode>;

export interface MetaDirectory {
  readonly kind: 'directory';
  entries(): Entries;
}

export interface MetaFile {
  readonly kind: 'file';
  /** May hold a password: for the superuser only. */
  readonly secret: boolean;
  text(): string;
  /** Takes what was written; false refuses it and changes nothing. Absent: read only. */
  readonly take: ((text: string) => boolean) | undefined;
}

export interface MetaLink {
  readonly kind: 'link';
  target(): string;
}

export type MetaNode = MetaDirectory | MetaFile | MetaLink;

/** Names come from volfiles: of those that no directory can hold, `/` is shown as `-` and the rest is left out. */
export function listed(entries: () => Iterable<readonly [string, () => MetaNode]>): MetaDirectory {
  return {
    kind: 'directory',
    entries: () => {
      const named = new Map<ByteString, () => MetaNode>();
      for (const [text, node] of entries()) {
        const name = entryName(text);
        if (isValidName(name) && !named.has(name)) named.set(name, node);
      }
      return named;
    },
  };
}

/** The entry under which a volume, an option or a graph is shown. */
export function entryName(text: string): ByteString {
  return byteString(text.replaceAll('/', '-'));
}

export function directory(entries: Readonly<Record<string, () => MetaNode>>): MetaDirectory {
  return listed(() => Object.entries(entries));
}

export function file(text: () => string): MetaFile {
  return { kind: 'file', secret: false, text, take: undefined };
}

export function secretFile(text: () => string): MetaFile {
  return { ...file(text), secret: true };
}

export function writableFile(text: () => string, take: (text: string) => boolean): MetaFile {
  return { ...file(text), take };
}

export function link(target: () => string): MetaLink {
  return { kind: 'link', target };
}

export type Values = Readonly<Record<string, string | number | boolean>>;

/** `key = value` lines, as scripts cut them up; a value never makes a line of its own. */
export function valueLines(values: Values): string {
  return Object.entries(values)
    .map(([key, value]) => `${key} = ${typeof value === 'boolean' ? +value : String(value).replaceAll('\n', ' ')}\n`)
    .join('');
}
