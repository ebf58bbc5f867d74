/** Files that only say where the data is (docs/distribute.md). */
import { type ByteString, type Call, type Fd, FileType, type Subvolume } from '@mortar/core';

/** A file that has just this mode is opened anew, and found where it is. */
export const linktoMode = 0o1000;

/** On the file system's behalf: storage keeps its xattrs from callers. */
const own: Call = {
  uid: 0,
  gid: 0,
  groups: [],
  pid: 0,
  lockOwner: '',
  clientId: '',
  time: { sec: 0, nsec: 0 },
  internal: 'self-heal',
};

/** Whether this descriptor is one of a linkto, which has `xattr`. False where that is not known. */
export async function isLinkto(storage: Subvolume, fd: Fd, xattr: ByteString): Promise<boolean> {
  const seen = await storage.fstat(own, { fd });
  if (!seen.ok || seen.iatt.type !== FileType.regular || seen.iatt.mode !== linktoMode) return false;
  return (await storage.fgetxattr(own, { fd, name: xattr })).ok;
}
