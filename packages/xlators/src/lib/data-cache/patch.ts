/** Cached pages after a write: what overlaps is rewritten, so that a reader finds what was just written. Pure but for the store. */
import type { Args, Success } from '@mortar/core';
import { type FileState, sameData } from './file-state.ts';
import type { PageStore } from './pages.ts';

/**
 * True when the pages are those of after the write. Only if nobody else changed the file meanwhile: its attributes of
 * before are the ones that the pages belong to, and the new size is what this write makes it.
 */
export function patchPages(
  store: PageStore,
  pageSize: number,
  file: FileState,
  args: Args<'writev'>,
  { written, pre, post }: Success<'writev'>,
): boolean {
  const { iatt } = file;
  if (!iatt || !sameData(iatt, pre)) return false;
  const start = args.append ? pre.size : args.offset;
  const end = start + written;
  if (post.size !== Math.max(pre.size, end)) return false;
  for (const { index, data } of [...file.pages.pages.values()]) {
    const pageStart = index * pageSize;
    const length = Math.min(pageSize, post.size - pageStart);
    const overlaps = start < pageStart + pageSize && end > pageStart;
    if (!overlaps && data.length === length) continue;
    // A copy: the old page may be on its way to a reader. What lies between the old end and the write is zero.
    const patched = Buffer.alloc(length);
    patched.set(data.subarray(0, length));
    if (overlaps) {
      const from = Math.max(start, pageStart);
      patched.set(args.data.subarray(from - start, Math.min(end, pageStart + pageSize) - start), from - pageStart);
    }
    store.put(file.pages, index, patched);
  }
  file.iatt = post;
  return true;
}
