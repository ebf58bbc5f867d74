/** Copies of files. */
import { Errno } from '@mortar/core';
import type { CallOptions } from './client.ts';
import { fsError } from './errors.ts';
import type { FileHandle } from './file-handle.ts';
import { O } from './flags.ts';
import { openPath } from './opening.ts';
import type { VolumePath } from './paths.ts';
import type { Places } from './places.ts';

/** What is read at a time. */
const piece = 1 << 20;

/** `mode`: COPYFILE_EXCL 1. */
export async function copyPath(
  places: Places,
  from: VolumePath,
  to: VolumePath,
  mode: number,
  options: CallOptions | undefined,
): Promise<void> {
  const source = await openPath(places, from, O.readOnly, 0, options, 'copyfile');
  try {
    const stats = await source.stat(options);
    const flags = O.writeOnly | O.create | (mode & 1 ? O.exclusive : 0);
    const target = await openPath(places, to, flags, stats.mode & 0o777, options, 'copyfile');
    try {
      // Two names of one file: what is to be read would be gone.
      if (target.gfid === source.gfid) return;
      await target.truncate(0, options);
      await copyData(source, target, options);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** On the bricks where they can: also in the middle, for files may move meanwhile. */
async function copyData(source: FileHandle, target: FileHandle, options: CallOptions | undefined): Promise<void> {
  for (let at = 0; ; ) {
    const count =
      (await copyOnBricks(source, target, at, options)) ?? (await copyThroughUs(source, target, at, options));
    if (count === 0) return;
    at += count;
  }
}

/** Null: they cannot. */
async function copyOnBricks(
  source: FileHandle,
  target: FileHandle,
  at: number,
  options: CallOptions | undefined,
): Promise<number | null> {
  try {
    return await source.copyRangeTo(target, at, at, 64 * piece, options);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['EOPNOTSUPP', 'EXDEV', 'EINVAL'].includes(code)) return null;
    throw error;
  }
}

/** To where it belongs: the handle stands where it stood, whatever the bricks have copied. */
async function copyThroughUs(
  source: FileHandle,
  target: FileHandle,
  position: number,
  options: CallOptions | undefined,
): Promise<number> {
  const { bytesRead, buffer } = await source.read({ buffer: Buffer.allocUnsafeSlow(piece), position, ...options });
  if (bytesRead === 0) return 0;
  const { bytesWritten } = await target.write(buffer, { length: bytesRead, position, ...options });
  if (bytesWritten === 0) throw fsError(Errno.EIO, 'copyfile');
  return bytesWritten;
}
