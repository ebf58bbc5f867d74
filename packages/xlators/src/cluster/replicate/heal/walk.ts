/** Walks all directories of a replica set, for a full heal. */
import { Fd, FileType, type Gfid, locOf } from '@mortar/core';
import type { Replica } from '../replica.ts';

const pageBytes = 64 * 1024;

/** Calls `visit` for every file and directory that any listing shows, directories before what is in them. */
export async function walk(replica: Replica, root: Gfid, visit: (gfid: Gfid) => Promise<void>): Promise<void> {
  const pending: Gfid[] = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    await visit(directory);
    for (const child of replica.set.up) {
      for (const [gfid, type] of await entriesOf(replica, child, directory)) {
        if (type === FileType.directory && child === replica.set.up[0]) pending.push(gfid);
        else await visit(gfid);
      }
    }
  }
}

async function entriesOf(replica: Replica, child: number, directory: Gfid): Promise<Map<Gfid, number>> {
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const fd = new Fd(directory);
  const found = new Map<Gfid, number>();
  try {
    const opened = await replica.set.windOne(child, 'opendir', call, { loc: locOf(directory), fd });
    if (!opened.ok) return found;
    for (let offset = 0; ; ) {
      const page = await replica.set.windOne(child, 'readdirp', call, { fd, size: pageBytes, offset });
      if (!page.ok) return found;
      for (const entry of page.entries)
        if (entry.gfid && entry.name !== '.' && entry.name !== '..')
          found.set(entry.gfid, entry.iatt?.type ?? entry.type);
      const last = page.entries.at(-1);
      if (page.end || !last) return found;
      offset = last.offset;
    }
  } finally {
    fd.release();
  }
}
