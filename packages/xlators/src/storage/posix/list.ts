/** The fops readdir and readdirp: over an open directory, or one that is opened for this reply. */
import { type Args, type Call, Errno, locOf, type Reply } from '@mortar/core';
import { failed } from './brick.ts';
import { nodeOfFile } from './node.ts';
import type { OpenFile } from './open-files.ts';
import { type Listing, readdir, readdirElsewhere } from './readdir.ts';
import type { Opened, PosixStore } from './store.ts';
import { touchAtime } from './times.ts';
import type { Warmer } from './warm.ts';

/** `known`: the directory as the caller opened it. Does not wait unless the call was told to keep off the event loop. */
export async function list(
  store: PosixStore,
  warmer: Warmer,
  call: Call,
  { fd, size, offset, xdata }: Args<'readdir'>,
  known: OpenFile | undefined,
  plus: readonly string[] | null,
): Promise<Reply<'readdir'>> {
  const { brick } = store;
  const opened: Opened = known ? { ok: true, file: known } : store.opendir(locOf(fd.gfid));
  if (!opened.ok) return opened;
  const { file } = opened;
  if (xdata?.touchAtime && !call.internal) {
    const node = nodeOfFile(brick, file);
    if (typeof node !== 'number') touchAtime(brick, node, call.time);
  }
  let listing: Listing | number = -Errno.ENOTDIR;
  if (file.directory && xdata?.offload) listing = await readdirElsewhere(brick, warmer, file, size, offset, plus);
  else if (file.directory) listing = readdir(brick, file, size, offset, plus);
  if (!known) store.close(file);
  return typeof listing === 'number' ? failed(listing) : { ok: true, ...listing };
}
