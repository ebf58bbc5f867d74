/**
 * Passthrough (protocol 7.40, Linux 6.9): how a file that the kernel is to read itself is made known to /dev/fuse, by ioctl.
 * Its number then stands in the reply to an open. Source: the kernel's uapi header linux/fuse.h.
 */

/** FUSE_DEV_IOC_BACKING_OPEN, `_IOW(229, 1, struct fuse_backing_map)`; its result is the number, 1 or greater. */
export const backingOpenRequest = 0x4010_e501;
/** FUSE_DEV_IOC_BACKING_CLOSE, `_IOW(229, 2, uint32_t)`. */
export const backingCloseRequest = 0x4004_e502;

/** struct fuse_backing_map: descriptor, flags and padding; the kernel refuses what is not 0 in the last two. */
export function backingMap(fd: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeInt32LE(fd, 0);
  return bytes;
}

/** What BACKING_CLOSE points to. */
export function backingNumber(backingId: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(backingId, 0);
  return bytes;
}
