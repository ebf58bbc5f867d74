/** What one child has in a directory, for who moves it. */
import { type Call, type Dirent, Fd, type Gfid, locAt, locOf } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { isAbsent } from './lookup.ts';

const pageBytes = 64 * 1024;

/** `unread`: so many names have something that cannot be looked at. */
export type UsePage = (entries: readonly Dirent[], unread: number) => Promise<void>;

interface Where {
  readonly from: number;
  readonly gfid: Gfid;
  readonly want: readonly string[];
  readonly isOver: () => boolean;
}

/**
 * All entries with their attributes. Of a replica whose parts differ for the moment a listing tells no more than names:
 * those are looked up. False: it cannot be listed to its end.
 */
export async function eachPage(d: Distribute, call: Call, where: Where, use: UsePage): Promise<boolean> {
  const { from, gfid, want, isOver } = where;
  const fd = new Fd(gfid);
  try {
    // Read once, and not anew for every page.
    const opened = await d.children[from]!.opendir(call, { loc: locOf(gfid), fd });
    // A child that lacks the directory has nothing in it.
    if (!opened.ok) return isAbsent(opened);
    for (let offset = 0; !isOver(); ) {
      const page = await d.children[from]!.readdirp(call, { fd, size: pageBytes, offset, want: [...want] });
      if (!page.ok) return isAbsent(page);
      const named = page.entries.filter(({ name }) => name !== '.' && name !== '..');
      const read = await Promise.all(named.map((entry) => attributesOf(d, call, where, entry)));
      const entries = read.filter((entry) => entry !== undefined && entry !== 'unread');
      await use(entries, read.filter((entry) => entry === 'unread').length);
      const last = page.entries.at(-1);
      if (page.end || !last) return true;
      offset = last.offset;
    }
    return true;
  } finally {
    fd.release();
  }
}

/** Undefined: it is gone. */
async function attributesOf(
  d: Distribute,
  call: Call,
  { from, gfid, want }: Where,
  entry: Dirent,
): Promise<Dirent | 'unread' | undefined> {
  if (entry.iatt) return entry;
  const found = await d.children[from]!.lookup(call, { loc: locAt(gfid, entry.name), want: [...want] });
  if (!found.ok) return isAbsent(found) ? undefined : 'unread';
  const { iatt, xattrs } = found;
  return { ...entry, gfid: iatt.gfid, type: iatt.type, iatt, xattrs };
}
