/** Which xattrs put a file into which index (docs: ondisk format, "Index"). */
import type { ByteString, Xattrs } from '@mortar/core';

/** Indices named by gfid. */
export const watchedKinds = ['xattrop', 'dirty'] as const;
export type WatchedKind = (typeof watchedKinds)[number];

export interface Watchlists {
  /** Beginnings of names. */
  readonly pending: readonly ByteString[];
  /** Whole names. */
  readonly pending64: readonly ByteString[];
  readonly dirty: readonly ByteString[];
}

export function parseList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

export function kindOf(lists: Watchlists, name: ByteString): WatchedKind | undefined {
  if (lists.dirty.includes(name)) return 'dirty';
  if (lists.pending64.includes(name) || lists.pending.some((start) => name.startsWith(start))) return 'xattrop';
  return undefined;
}

/** All names of a kind, as lookup's `want` has them. */
export function wanted(lists: Watchlists, kind: WatchedKind): ByteString[] {
  return kind === 'dirty' ? [...lists.dirty] : [...lists.pending.map((start) => `${start}*`), ...lists.pending64];
}

export function isZero(value: Uint8Array): boolean {
  return value.every((byte) => byte === 0);
}

/** For each kind that some of the names belong to: whether one of its values is not zero. */
export function kindsIn(lists: Watchlists, xattrs: Xattrs): Map<WatchedKind, boolean> {
  const kinds = new Map<WatchedKind, boolean>();
  for (const [name, value] of Object.entries(xattrs)) {
    const kind = kindOf(lists, name);
    if (kind) kinds.set(kind, kinds.get(kind) === true || !isZero(value));
  }
  return kinds;
}
