/**
 * The data that a change reads before it can write: pages that it covers only in part, and what is copied. Read in the
 * pool, so that the change itself finds it in the page cache.
 */
import type { Fd, FopName, Gfid } from '@mortar/core';
import { Stat } from '@mortar/libc';
import { copyMax } from './io.ts';
import type { PosixStore } from './store.ts';
import type { Warmer } from './warm.ts';

const pageBytes = 4096;

/** Arguments that name a range of a file. */
interface Ranged {
  loc?: { gfid: Gfid | null };
  fd?: Fd;
  to?: Fd;
  from?: Fd;
  offset?: number;
  fromOffset?: number;
  toOffset?: number;
  size?: number;
  append?: boolean;
  data?: Uint8Array;
}

interface Range {
  gfid: Gfid;
  start: number;
  end: number;
  /** All of it, else only the pages at its two ends. */
  whole: boolean;
}

const atEnd = Number.POSITIVE_INFINITY;

function rangesOf(name: FopName, args: Ranged): Range[] {
  const { fd, from, to, offset = 0, fromOffset = 0, toOffset = 0, size = 0, data } = args;
  switch (name) {
    case 'writev': {
      const start = args.append ? atEnd : offset;
      return [{ gfid: fd!.gfid, start, end: start + (data?.length ?? 0), whole: false }];
    }
    case 'truncate':
      return args.loc?.gfid ? [{ gfid: args.loc.gfid, start: size, end: size, whole: false }] : [];
    case 'ftruncate':
      return [{ gfid: fd!.gfid, start: size, end: size, whole: false }];
    case 'fallocate':
    case 'discard':
    case 'zerofill':
      return [{ gfid: fd!.gfid, start: offset, end: offset + size, whole: false }];
    case 'copy_file_range': {
      const length = Math.min(size, copyMax);
      return [
        { gfid: from!.gfid, start: fromOffset, end: fromOffset + length, whole: true },
        { gfid: to!.gfid, start: toOffset, end: toOffset + length, whole: false },
      ];
    }
    default:
      return [];
  }
}

/** The objects must be warm already. */
export async function warmData(store: PosixStore, warmer: Warmer, name: FopName, args: object): Promise<void> {
  const reads: Promise<void>[] = [];
  for (const range of rangesOf(name, args as Ranged)) reads.push(...readsOf(store, warmer, range));
  await Promise.all(reads);
}

function readsOf(store: PosixStore, warmer: Warmer, { gfid, start, end, whole }: Range): Promise<void>[] {
  const stat = new Stat();
  // Not the caller's descriptor: it may be open for writing only.
  const own = store.anonymous(gfid);
  if (!own.ok || store.brick.sys.fstat(own.file.osFd, stat) < 0) return [];
  const { open } = store.brick;
  const { file } = own;
  const read = async (at: number, length: number) => {
    open.pin(file);
    await warmer.data(file.osFd, at, length).finally(() => open.unpin(file));
  };
  const last = Math.min(end, stat.size);
  if (whole) return start < last ? [read(start, last - start)] : [];
  const pages = new Set<number>();
  for (const edge of [Math.min(start, stat.size), last])
    if (edge % pageBytes !== 0) pages.add(edge - (edge % pageBytes));
  return [...pages].map((page) => read(page, pageBytes));
}
