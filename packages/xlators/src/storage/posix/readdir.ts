/** readdir and readdirp: a reply of bounded size out of a listing. */
import { type Dirent, type Gfid, rootGfid, type Xattrs } from '@mortar/core';
import type { Brick } from './brick.ts';
import { hiddenName, isRoot } from './handle.ts';
import { type ListedName, listingMax, type Page } from './listing.ts';
import { entryOf, iattOf } from './node.ts';
import type { OpenFile } from './open-files.ts';
import type { Warmer } from './warm.ts';
import { wantedXattrs } from './xattrs.ts';

/** What an entry counts against the size of a reply, beside its name. */
const direntSize = 24;
const plusSize = 160;
const EBADF = -9;
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
  const page = pageOf(brick, file, offset);
  return typeof page === 'number' ? page : fill(brick, file, page, size, offset, plus);
}

function pageOf(brick: Brick, file: OpenFile, offset: number): Page | number {
  return brick.listings.page(file, offset, isRoot(file.gfid) ? hiddenName : null);
}

/** The same, without waiting for the disk on the event loop. */
export async function readdirElsewhere(
  brick: Brick,
  warmer: Warmer,
  file: OpenFile,
  size: number,
  offset: number,
  plus: readonly string[] | null,
): Promise<Listing | number> {
  if (!brick.listings.has(file, offset)) await warmer.names(file.osFd, listingMax + 1);
  if (file.closed) return EBADF;
  const page = pageOf(brick, file, offset);
  if (typeof page === 'number') return page;
  const names = offset < dotDotOffset ? ['..'] : [];
  let room = size;
  for (let i = page.start; i < page.names.length && room >= 0; i++) {
    const { name } = page.names[i]!;
    names.push(name);
    room -= sizeOf(name, plus !== null);
  }
  await warmer.entries(file.osFd, names);
  return file.closed ? EBADF : fill(brick, file, page, size, offset, plus);
}

function sizeOf(name: string, plus: boolean): number {
  return direntSize + name.length + (plus ? plusSize : 0);
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
    room -= sizeOf(name, plus !== null);
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
  const xattrs: Xattrs | number = plus.length > 0 ? wantedXattrs(brick, found, plus) : {};
  // The lookup that follows tells why.
  if (typeof xattrs === 'number') return nothing;
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
