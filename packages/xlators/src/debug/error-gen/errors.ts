/** The errors that operations of a kind have in life; what an injected one is drawn from. */
import { Errno, type FopClass, type FopName, fops } from '@mortar/core';

const byClass: Record<FopClass, readonly Errno[]> = {
  read: [Errno.EIO, Errno.EACCES, Errno.ENOENT, Errno.EINTR, Errno.ENOMEM],
  data: [Errno.EIO, Errno.ENOSPC, Errno.EROFS, Errno.EBADF, Errno.EINTR],
  metadata: [Errno.EIO, Errno.EPERM, Errno.EACCES, Errno.ENOSPC, Errno.EROFS],
  entry: [Errno.EIO, Errno.EACCES, Errno.ENOSPC, Errno.EROFS, Errno.EPERM],
  lock: [Errno.EAGAIN, Errno.EINTR, Errno.ENOLCK, Errno.EBADF],
  open: [Errno.EIO, Errno.EACCES, Errno.EMFILE, Errno.ENFILE, Errno.EINTR],
  control: [Errno.EIO, Errno.ENOSYS, Errno.EAGAIN],
};

const byFop: Partial<Record<FopName, readonly Errno[]>> = {
  lookup: [Errno.ENOENT, Errno.ENOTDIR, Errno.ENAMETOOLONG, Errno.EACCES, Errno.EIO],
  readlink: [Errno.EACCES, Errno.EINVAL, Errno.EIO, Errno.ENOENT],
  rmdir: [Errno.ENOTEMPTY, Errno.EBUSY, Errno.EACCES, Errno.EIO],
  rename: [Errno.EXDEV, Errno.EACCES, Errno.EBUSY, Errno.ENOSPC, Errno.EIO],
  link: [Errno.EMLINK, Errno.EACCES, Errno.ENOSPC, Errno.EIO],
  getxattr: [Errno.ENODATA, Errno.EACCES, Errno.EIO],
  fgetxattr: [Errno.ENODATA, Errno.EBADF, Errno.EIO],
};

export function likelyErrors(fop: FopName): readonly Errno[] {
  return byFop[fop] ?? byClass[fops[fop].class];
}
