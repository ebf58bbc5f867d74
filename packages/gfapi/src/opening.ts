/** Opening by path, and what is done with a file in one go. */
import { Errno, type Failure, FileType, type Iatt } from '@mortar/core';
import { createFile } from '@mortar/host';
import type { Contents } from './arguments.ts';
import type { CallOptions } from './client.ts';
import { fsError } from './errors.ts';
import { FileHandle } from './file-handle.ts';
import { canWrite, modeOf, O, type OpenFlags, openFlags } from './flags.ts';
import { pathText, type VolumePath } from './paths.ts';
import { fails, follow, type Places } from './places.ts';
import type { How, Place } from './walk.ts';

export type WriteFileOptions = CallOptions & {
  encoding?: BufferEncoding | null;
  mode?: number | string;
  flag?: OpenFlags;
  /** fsync before it is closed. */
  flush?: boolean;
};

const unsupportedFlags = (O.tmpFile & ~O.directory) | O.path | O.direct;

export async function openPath(
  places: Places,
  path: VolumePath,
  flags: number,
  mode: number,
  options: CallOptions | undefined,
  syscall: string,
  seen?: (iatt: Iatt | null) => void,
): Promise<FileHandle> {
  if (flags & unsupportedFlags) throw fsError(Errno.EOPNOTSUPP, syscall, { path: pathText(path) });
  const creates = (flags & O.create) !== 0;
  const exclusive = creates && (flags & O.exclusive) !== 0;
  const how: How = {
    follow: !exclusive && (flags & O.noFollow) === 0,
    last: exclusive ? 'ask' : 'believe',
    missing: creates,
  };
  for (let attempt = 0; ; attempt++) {
    let isNew = false;
    const opened = await places
      .at(path, how, syscall, options, async (place) => {
        isNew = place.file === null;
        if (isNew) return create(places, place, flags, mode, options);
        const errno = openProblem(place, flags);
        if (errno !== 0) return fails(errno) as never;
        const { gfid, type } = place.file!;
        if (type === FileType.directory) return places.client.openDirectory(places.who, gfid, options);
        const reply = await places.client.openFile(places.who, gfid, flags, options);
        return reply.ok && place.iatt && !reply.iatt ? { ...reply, iatt: place.iatt } : reply;
      })
      .catch((error: NodeJS.ErrnoException) => {
        // Somebody made it between our look and our making.
        if (error.code === 'EEXIST' && isNew && !exclusive && attempt < 10) return null;
        throw error;
      });
    if (!opened) continue;
    seen?.(opened.iatt);
    const handle = new FileHandle(opened.file, flags, pathText(path));
    if (!isNew && flags & O.truncate && canWrite(flags)) await closedIfFails(handle, () => handle.truncate(0, options));
    return handle;
  }
}

export async function openDirectory(
  places: Places,
  path: VolumePath,
  syscall: string,
  options: CallOptions | undefined,
) {
  return places.at(path, follow, syscall, options, async ({ file }) =>
    file!.type === FileType.directory
      ? places.client.openDirectory(places.who, file!.gfid, options)
      : (fails(Errno.ENOTDIR) as never),
  );
}

export async function putContents(
  places: Places,
  path: VolumePath,
  data: Contents,
  options: WriteFileOptions,
  flag: string,
): Promise<void> {
  const flags = openFlags(options.flag ?? flag);
  const handle = await openPath(places, path, flags, modeOf(options.mode, 0o666), options, 'open');
  await closedIfFails(handle, async () => {
    await handle.writeFile(data, options);
    if (options.flush) await handle.sync(options);
  });
  await handle.close();
}

function create(
  places: Places,
  { parent, name, directory }: Place,
  flags: number,
  mode: number,
  options: CallOptions | undefined,
) {
  if (directory || parent === null) return Promise.resolve(fails(Errno.EISDIR));
  const made = { flags: flags & ~O.noFollow, mode: mode & ~places.umask, gfid: places.newGfid() };
  places.client.forgetName(parent, name);
  return places.client.opening(places.who, options, async (top, call) => {
    const reply = await createFile(top, call, parent, name, made);
    if (!reply.ok) return reply as Failure;
    const { gfid, type } = reply.iatt;
    places.cache.remember(parent, name, { gfid, type });
    return { ok: true, fd: reply.fd, directory: false, iatt: reply.iatt };
  });
}

function openProblem({ file, directory }: Place, flags: number): number {
  const { type } = file!;
  const exclusive = O.create | O.exclusive;
  if ((flags & exclusive) === exclusive) return Errno.EEXIST;
  if (type === FileType.symlink) return Errno.ELOOP;
  if (type === FileType.directory) return flags & O.create || canWrite(flags) ? Errno.EISDIR : 0;
  if (directory || flags & O.directory) return Errno.ENOTDIR;
  // Pipes, sockets and devices are their machine's, not the volume's.
  return type === FileType.regular ? 0 : Errno.ENXIO;
}

async function closedIfFails(handle: FileHandle, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}
