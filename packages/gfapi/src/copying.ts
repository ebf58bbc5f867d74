/** Copies of files. */
import type { CallOptions } from './client.ts';
import type { FileHandle } from './file-handle.ts';
import { O } from './flags.ts';
import { openPath } from './opening.ts';
import type { VolumePath } from './paths.ts';
import type { Places } from './places.ts';

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

/** On the bricks where they can. */
async function copyData(source: FileHandle, target: FileHandle, options: CallOptions | undefined): Promise<void> {
  const piece = 1 << 20;
  for (let at = 0; ; ) {
    let count: number;
    try {
      count = await source.copyRangeTo(target, at, at, 64 * piece, options);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EOPNOTSUPP', 'EXDEV', 'EINVAL'].includes(code)) throw error;
      const { bytesRead, buffer } = await source.read({
        buffer: Buffer.allocUnsafeSlow(piece),
        position: at,
        ...options,
      });
      count = bytesRead;
      if (count > 0) await target.writeFile(buffer.subarray(0, count), options);
    }
    if (count === 0) return;
    at += count;
  }
}
