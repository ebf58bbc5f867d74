/** Which files a fop looks at, and which it changes in what way. Read off its arguments and the fop table. */
import { type ByteString, type Fd, type FopName, fops, type Gfid, type Loc } from '@mortar/core';

export interface Change {
  readonly gfid: Gfid;
  readonly what: 'data' | 'metadata' | 'entry';
  readonly name?: ByteString;
}

/** The fields of arguments that name files, in any fop. */
interface Named {
  loc?: Loc;
  fd?: Fd;
  from?: Loc | Fd;
  to?: Loc | Fd;
  flags?: number;
}

/** Files that the caller will think it knows something about. */
export function looksAt(args: object): Gfid[] {
  const seen: Gfid[] = [];
  for (const place of placesOf(args as Named)) {
    if (place.gfid) seen.push(place.gfid);
    if (!isFd(place) && place.parent) seen.push(place.parent);
  }
  return seen;
}

/** What a fop changed, when it succeeded. */
export function changesOf(name: FopName, args: object): Change[] {
  const { class: touches } = fops[name];
  const named = args as Named;
  if (touches === 'entry') return placesOf(named).flatMap(entryChanges);
  if (name === 'open') return truncates(named) ? ofFile(named.loc, 'data') : [];
  if (name === 'fsync' || name === 'fsyncdir') return [];
  if (name === 'copy_file_range') return ofFile(named.to, 'data');
  if (touches === 'data' || touches === 'metadata') return ofFile(named.fd ?? named.loc, touches);
  return [];
}

function entryChanges(place: Loc | Fd): Change[] {
  const changes = ofFile(place, 'metadata');
  if (isFd(place) || !place.parent) return changes;
  const name = place.name === null ? {} : { name: place.name };
  return [{ gfid: place.parent, what: 'entry', ...name }, ...changes];
}

function ofFile(place: Loc | Fd | undefined, what: Change['what']): Change[] {
  return place?.gfid ? [{ gfid: place.gfid, what }] : [];
}

function truncates({ flags = 0 }: Named): boolean {
  return (flags & 0o1000) !== 0;
}

function placesOf({ loc, fd, from, to }: Named): (Loc | Fd)[] {
  return [loc, fd, from, to].filter((place) => place !== undefined);
}

function isFd(place: Loc | Fd): place is Fd {
  return !('parent' in place);
}
