/** statfs with the reserve taken off, and whether the disk is below it. */
import type { Statfs } from '@mortar/core';
import { StatVfs } from '@mortar/libc';
import type { Brick } from './brick.ts';

const vfs = new StatVfs();

const noSizes = { blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0, filesAvailable: 0 };

/** Blocks kept back by `option reserve`. */
function reservedBlocks(brick: Brick, from: StatVfs): number {
  const { reserve } = brick.settings;
  if ('percent' in reserve) return Math.ceil((from.blocks * reserve.percent) / 100);
  return Math.ceil(reserve.bytes / Math.max(1, from.fragmentSize));
}

/** Bricks that share a file system each show their part of it. */
export function statfs(brick: Brick): Statfs | number {
  const result = brick.sys.fstatvfs(brick.rootFd, vfs);
  if (result < 0) return result;
  const share = Math.max(1, brick.settings.sharedBrickCount);
  const available = Math.max(0, vfs.blocksAvailable - reservedBlocks(brick, vfs));
  const sizes = {
    blocks: Math.floor(vfs.blocks / share),
    blocksFree: Math.floor(vfs.blocksFree / share),
    blocksAvailable: Math.floor(available / share),
    files: vfs.files,
    filesFree: vfs.filesFree,
    filesAvailable: vfs.filesAvailable,
  };
  const { blockSize, fragmentSize, fsid, flags, nameMax } = vfs;
  return { blockSize, fragmentSize, ...(brick.settings.showsSize ? sizes : noSizes), fsid, flags, nameMax };
}

/** Whether less than the reserve is left; then nothing may grow but by the file system's own hand. */
export function belowReserve(brick: Brick): boolean {
  if (brick.sys.fstatvfs(brick.rootFd, vfs) < 0) return false;
  const reserved = reservedBlocks(brick, vfs);
  return reserved > 0 && vfs.blocksAvailable <= reserved;
}
