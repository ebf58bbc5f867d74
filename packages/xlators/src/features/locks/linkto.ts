/** Files that only say where the data is (docs/distribute.md). */
import { type ByteString, type Fd, FileType, type Subvolume } from '@mortar/core';
import { own } from './own-call.ts';

/** A file that has just this mode is opened anew, and found where it is. */
export const linktoMode = 0o1000;

/** Whether this descriptor is one of a linkto, which has `xattr`. False where that is not known. */
export async function isLinkto(storage: Subvolume, fd: Fd, xattr: ByteString): Promise<boolean> {
  const seen = await storage.fstat(own, { fd });
  if (!seen.ok || seen.iatt.type !== FileType.regular || seen.iatt.mode !== linktoMode) return false;
  return (await storage.fgetxattr(own, { fd, name: xattr })).ok;
}
