/** Linktos of distribute's, which are not what every request means. */
import { Errno, FileType, fail, type Xdata } from '@mortar/core';
import type { MemoryFile } from './file.ts';
import type { Found } from './volume.ts';

const linktoMode = 0o1000;

/** What was found, unless it is nothing but a linkto and that is not meant. */
export function meant(found: Found<MemoryFile>, xdata: Xdata | undefined): Found<MemoryFile> {
  const xattr = xdata?.asFile;
  if (xattr === undefined || !found.ok || found.value.type !== FileType.regular) return found;
  return found.value.mode === linktoMode && found.value.xattrs.has(xattr) ? fail(Errno.ENOENT) : found;
}
