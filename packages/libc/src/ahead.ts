/**
 * What a synchronous call is going to need, brought into the kernel's caches by a thread of the pool, so that the call
 * need not wait for the disk. These change nothing and have no errors: what cannot be reached is not in the cache.
 */
import { opendir, readlink } from 'node:fs/promises';
import type { ByteString } from '@mortar/core';
import { type Argument, bind, type Native } from './native.ts';
import { fdPath, type XattrTarget } from './xattr.ts';

interface InPool {
  async(...args: [...Argument[], (error: unknown, result: number) => void]): void;
}

const listSizes = ['void *', 'void *', 'size_t'];

const native = {
  // Without a buffer they walk the path, read the inode and all names of attributes, hence the attributes' block.
  listxattr: bind('listxattr', 'long', listSizes) as Native & InPool,
  llistxattr: bind('llistxattr', 'long', listSizes) as Native & InPool,
  pread: bind('pread', 'long', ['int', 'void *', 'size_t', 'int64_t']) as Native & InPool,
};

/** Bytes in the hands of a thread: nothing else keeps them in memory. */
const held = new Set<Uint8Array>();

/** The directories on the way, the inode and the extended attributes of an open file or of a path (not followed). */
export function touch(target: XattrTarget): Promise<void> {
  const path = Buffer.from(`${typeof target === 'number' ? fdPath(target) : target}\0`, 'latin1');
  const list = typeof target === 'number' ? native.listxattr : native.llistxattr;
  return new Promise((resolve) => {
    held.add(path);
    list.async(path, null, 0, () => {
      held.delete(path);
      resolve();
    });
  });
}

/** The text of a symlink; null if there is none. */
export async function readlinkAhead(path: ByteString): Promise<ByteString | null> {
  try {
    return (await readlink(Buffer.from(path, 'latin1'), 'buffer')).toString('latin1');
  } catch {
    return null;
  }
}

const batch = 1024;

/** The names of a directory, from the start, at least `namesMax` of them. */
export async function readdirAhead(path: ByteString, namesMax: number): Promise<void> {
  let directory: Awaited<ReturnType<typeof opendir>> | undefined;
  try {
    directory = await opendir(Buffer.from(path, 'latin1'), {
      encoding: 'latin1',
      bufferSize: Math.min(batch, Math.max(1, namesMax)),
    });
    for (let read = 0; read < namesMax; read++) if ((await directory.read()) === null) break;
  } catch {
    // What the listing itself will say.
  } finally {
    await directory?.close().catch(() => {});
  }
}

const pieceBytes = 1024 * 1024;

/** The data of an open file. */
export async function readAhead(fd: number, offset: number, length: number): Promise<void> {
  const bytes = new Uint8Array(Math.min(length, pieceBytes));
  for (let at = offset; at < offset + length; at += pieceBytes) {
    const size = Math.min(pieceBytes, offset + length - at);
    const got = await new Promise<number>((resolve) => {
      held.add(bytes);
      native.pread.async(fd, bytes, size, at, (_error, result) => {
        held.delete(bytes);
        resolve(result);
      });
    });
    if (got < size) return;
  }
}
