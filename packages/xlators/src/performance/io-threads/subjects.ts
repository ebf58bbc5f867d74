/** What a call is about, read off its arguments. */
import { type Call, type Fd, type FopName, fops, type Loc } from '@mortar/core';
import type { Priority } from './places.ts';

interface Named {
  loc?: Loc;
  fd?: Fd;
  from?: Loc | Fd;
  to?: Loc | Fd;
}

export interface Subjects {
  /** Groups whose speed matters: the directory of a name, else the file. */
  readonly groups: string[];
  /** Things whose calls keep their order: the file, and the name. */
  readonly ordered: string[];
}

export function subjectsOf(args: object): Subjects {
  const { loc, fd, from, to } = args as Named;
  const groups: string[] = [];
  const ordered: string[] = [];
  for (const place of [loc, fd, from, to]) {
    if (!place) continue;
    const named = 'parent' in place && place.parent !== null && place.name !== null;
    if (named) {
      groups.push(place.parent!);
      ordered.push(`${place.parent}/${place.name}`);
    } else if (place.gfid) groups.push(place.gfid);
    if (place.gfid) ordered.push(place.gfid);
  }
  return { groups, ordered };
}

/** Locks and requests without a file never touch the disk; statfs is about no file. */
export function isPlaced(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches !== 'lock' && touches !== 'control' && name !== 'statfs';
}

export function changesThings(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches === 'data' || touches === 'metadata' || touches === 'entry';
}

const data: ReadonlySet<FopName> = new Set(['readv', 'rchecksum', 'seek']);

export function priorityOf(name: FopName, call: Call, leastForInternal: boolean): Priority {
  if (call.internal && leastForInternal) return 'least';
  const { class: touches } = fops[name];
  if (touches === 'data' || data.has(name)) return 'low';
  return touches === 'entry' || touches === 'metadata' ? 'normal' : 'high';
}
