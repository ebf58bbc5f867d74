/** readdir and readdirp: a reply of bounded size out of a listing. */
import { type Dirent, type Gfid, rootGfid, type Xattrs } from '@mortar/core';
import type { Brick } from './brick.ts';
import { hiddenName, isRoot } from './handle.ts';
import type { ListedName, Page } from './listing.ts';
import { entryOf, iattOf } from './node.ts';
import type { OpenFile } from './open-files.ts';
import { wantedXattrs } from './xattrs.ts';

/** What an entry counts against the size of a reply, beside its name. */
const direntSize = 24;
const plusSize = 160;
const dotOffset = 1;
const dotDotOffset = 2;

export interface Listing {
  entries: Dirent[];
  end: boolean;
}

/** `plus`: with iatt and the xattrs of these names; null lists names only. */
export function readdir(
  brick: Brick,
  file: OpenFile,
  size: number,
  offset: number,
  plus: readonly string[] | null,
): Listing | number {
  const page = brick.listings.page(file, offset, isRoot(file.gfid) ? hiddenName : null);
  if (typeof page === 'number') return page;
  return fill(brick, file, page, size, offset, plus);
}

function fill(
  brick: Brick,
  file: OpenFile,
  page: Page,
  size: number,
  offset: number,
  plus: readonly string[] | null,
): Listing {
  const entries: Dirent[] = [];
  let room = size;
  const fits = (name: string) => {
    room -= direntSize + name.length + (plus ? plusSize : 0);
    return entries.length === 0 || room >= 0;
  };
  for (const [name, at] of [
    ['.', dotOffset],
    ['..', dotDotOffset],
  ] as const) {
    if (at <= offset) continue;
    if (!fits(name)) return { entries, end: false };
    entries.push(dotEntry(brick, file, name, at));
  }
  for (let i = page.start; i < page.names.length; i++) {
    const listed = page.names[i]!;
    if (!fits(listed.name)) return { entries, end: false };
    entries.push(entry(brick, file, listed, plus));
  }
  return { entries, end: page.complete };
}

function entry(brick: Brick, file: OpenFile, listed: ListedName, plus: readonly string[] | null): Dirent {
  const { name, offset, type } = listed;
  const nothing: Dirent = { name, gfid: null, type, offset, iatt: null, xattrs: null };
  const node = entryOf(brick, file.osFd, name);
  if (typeof node === 'number') return nothing;
  // A name without gfid has not been adopted yet: the lookup that follows does it.
  if (node.gfid === null) return { ...nothing, type: node.stat.type };
  const known = { ...nothing, gfid: node.gfid, type: node.stat.type };
  if (!plus) return known;
  const found = { ...node, gfid: node.gfid };
  const xattrs: Xattrs = plus.length > 0 ? wantedXattrs(brick, found, plus) : {};
  return { ...known, iatt: iattOf(brick, found), xattrs };
}

function dotEntry(brick: Brick, file: OpenFile, name: '.' | '..', offset: number): Dirent {
  const gfid = name === '.' ? file.gfid : parentOf(brick, file);
  return { name, gfid, type: 4, offset, iatt: null, xattrs: null };
}

function parentOf(brick: Brick, file: OpenFile): Gfid | null {
  if (isRoot(file.gfid)) return rootGfid;
  const up = entryOf(brick, file.osFd, '..');
  return typeof up === 'number' ? null : up.gfid;
}
