/** Removal of a whole tree, by gfid: nothing that is moved about meanwhile leads out of it. */
import { type ByteString, Errno, FileType, type Gfid, locAt, type Reply } from '@mortar/core';
import type { CallOptions, Client, Identity } from './client.ts';
import { batch } from './directory.ts';
import { shown } from './errors.ts';

/** Entries of a directory that are removed at a time. */
const parallel = 16;

export interface Removing {
  client: Client;
  who: Identity;
  options: CallOptions | undefined;
}

type Result = { ok: true } | { ok: false; errno: number; path: string };

const isGone = (errno: number): boolean => errno === Errno.ENOENT || errno === Errno.ESTALE;

/** Removes a name and what is below it. What somebody else removes first is removed. */
export async function removeTree(
  job: Removing,
  parent: Gfid,
  name: ByteString,
  file: { gfid: Gfid | null; type: number },
  path: string,
): Promise<Result> {
  const { client, who, options } = job;
  const isDirectory = file.type === FileType.directory && file.gfid !== null;
  for (let attempt = 0; ; attempt++) {
    if (isDirectory) {
      const emptied = await empty(job, file.gfid!, path);
      if (!emptied.ok) return emptied;
    }
    const reply = await client.takingNames([{ parent, name }], () =>
      client.run<Reply<'unlink'> | Reply<'rmdir'>>(who, options, (top, call) =>
        isDirectory
          ? top.rmdir(call, { loc: locAt(parent, name), recursive: false })
          : top.unlink(call, { loc: locAt(parent, name) }),
      ),
    );
    if (reply.ok || isGone(reply.errno)) return { ok: true };
    // Somebody put something in again.
    if (reply.errno !== Errno.ENOTEMPTY || attempt >= 3) return { ok: false, errno: reply.errno, path };
  }
}

async function empty(job: Removing, gfid: Gfid, path: string): Promise<Result> {
  const opened = await job.client.openDirectory(job.who, gfid, job.options);
  if (!opened.ok) return isGone(opened.errno) ? { ok: true } : { ok: false, errno: opened.errno, path };
  const { file } = opened;
  try {
    for (let offset: number | null = 0; offset !== null; ) {
      const reply = await batch(file, offset, job.options);
      if (!reply.ok) return isGone(reply.errno) ? { ok: true } : { ok: false, errno: reply.errno, path };
      offset = reply.next;
      const entries = [...reply.entries].reverse();
      let failed: Result | undefined;
      const work = async () => {
        for (let entry = entries.pop(); entry && !failed; entry = entries.pop()) {
          const { name } = entry;
          const known = await knownAs(job, gfid, entry);
          const result = await removeTree(job, gfid, name, known, `${path}/${shown(name)}`);
          if (!result.ok) failed = result;
        }
      };
      await Promise.all(Array.from({ length: Math.min(parallel, entries.length) }, work));
      if (failed) return failed;
    }
  } finally {
    await file.close();
  }
  return { ok: true };
}

/** A listing need not know what an entry is. */
async function knownAs(
  { client, who, options }: Removing,
  parent: Gfid,
  entry: { name: ByteString; gfid: Gfid | null; type: number },
): Promise<{ gfid: Gfid | null; type: number }> {
  const isPlain = entry.type !== FileType.unknown && entry.type !== FileType.directory;
  if (isPlain || (entry.type === FileType.directory && entry.gfid)) return entry;
  const reply = await client.run(who, options, (top, call) => top.lookup(call, { loc: locAt(parent, entry.name) }));
  return reply.ok ? reply.iatt : entry;
}

export function directoryError(path: string): Error {
  const error: NodeJS.ErrnoException = new Error(`Path is a directory: rm returned EISDIR (is a directory) ${path}`);
  error.code = 'ERR_FS_EISDIR';
  error.errno = Errno.EISDIR;
  error.syscall = 'rm';
  error.path = path;
  return error;
}
