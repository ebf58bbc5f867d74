/** Reading: what the page cache has at once, the rest by node's thread pool. */
import { read as readInPool } from 'node:fs';
import { type Args, type Call, Errno, FileType, freshBytes, type Reply, returnBytes } from '@mortar/core';
import { O_ACCMODE, O_WRONLY, RWF_NOWAIT } from '@mortar/libc';
import { type Brick, failed, refused } from './brick.ts';
import { iattOf, type Node, nodeOfFile, refreshed } from './node.ts';
import type { OpenFile } from './open-files.ts';
import { touchAtime } from './times.ts';

/** The most that one read gives. */
export const readMax = 8 * 1024 * 1024;

export async function read(
  brick: Brick,
  call: Call,
  file: OpenFile,
  { size, offset, xdata }: Args<'readv'>,
): Promise<Reply<'readv'>> {
  if (file.directory) return refused(Errno.EISDIR);
  const cached = readCached(brick, file, size, offset, xdata?.offload);
  if (typeof cached === 'number') return failed(cached);
  if (xdata?.touchAtime && !call.internal) touchAtime(brick, cached.node, call.time);
  const { data, done, node } = cached;
  if (done === data.length) return { ok: true, data, iatt: iattOf(brick, node) };
  const rest = await readRest(brick, file, cached, offset);
  if (typeof rest === 'number') return failed(rest);
  const whole = done + rest.count < data.length ? data.subarray(0, done + rest.count) : data;
  return { ok: true, data: whole, iatt: iattOf(brick, rest.node) };
}

/** All that a file of at most `most` bytes holds, if it was opened for reading and the page cache has it. */
export function smallContents(
  brick: Brick,
  file: OpenFile,
  { stat }: Node,
  flags: number,
  most: number,
): Uint8Array | undefined {
  const readable = (flags & O_ACCMODE) !== O_WRONLY && stat.type === FileType.regular;
  if (!readable || stat.size === 0 || stat.size > Math.min(most, readMax)) return undefined;
  const data = freshBytes(stat.size);
  let got = brick.sys.preadv2(file.osFd, data, 0, stat.size, 0, RWF_NOWAIT);
  if (got === -Errno.EOPNOTSUPP) got = brick.sys.pread(file.osFd, data, 0, stat.size, 0);
  if (got === stat.size) return data;
  returnBytes(data);
  return undefined;
}

/** A read as far as the page cache has it. */
interface CachedRead {
  data: Uint8Array;
  /** Bytes in `data` that are there; the rest has to come from the disk. */
  done: number;
  node: Node;
}

/** `patient`: of a file system that cannot tell what it has at once all is left to the pool, else it is read plainly. */
function readCached(brick: Brick, file: OpenFile, size: number, offset: number, patient = false): CachedRead | number {
  const node = nodeOfFile(brick, file);
  if (typeof node === 'number') return node;
  const length = Math.max(0, Math.min(size, readMax, node.stat.size - offset));
  const data = freshBytes(length);
  if (length === 0) return { data, done: 0, node };
  const got = brick.sys.preadv2(file.osFd, data, 0, length, offset, RWF_NOWAIT);
  if (got >= 0) return { data, done: got, node };
  if (got === -Errno.EOPNOTSUPP && !patient) {
    const plain = brick.sys.pread(file.osFd, data, 0, length, offset);
    return plain < 0 ? plain : { data: data.subarray(0, plain), done: plain, node };
  }
  return got === -Errno.EAGAIN || got === -Errno.EOPNOTSUPP ? { data, done: 0, node } : got;
}

/**
 * The rest of a read, by a thread of the pool: its length, and the file as it was not before that, or the negative errno. A rebalance may have taken
 * the file away, and emptied it, while a thread was waited for: who was given nothing is to see it.
 */
function readRest(
  brick: Brick,
  file: OpenFile,
  { data, done, node }: CachedRead,
  offset: number,
): Promise<{ count: number; node: Node } | number> {
  const { open } = brick;
  open.pin(file);
  return new Promise((resolve) => {
    readInPool(file.osFd, data, done, data.length - done, offset + done, (error, count) => {
      // Before it may be closed: its number could mean another file then.
      const now = refreshed(brick, node);
      open.unpin(file);
      resolve(error ? (error.errno ?? -Errno.EIO) : { count, node: now });
    });
  });
}
