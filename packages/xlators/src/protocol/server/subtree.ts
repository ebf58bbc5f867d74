/** Finding the directory that a client may use, and whether the storage can tell what lies below it. */

import type { ByteString, Subvolume } from '@mortar/core';
import { byteString, type Call, Errno, errnoName, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { Refusal, Subtree } from '@mortar/rpc';
import { decodePlace, liesBelowXattr } from '../../lib/lies-below.ts';

/** `path`: as `directoryPath` gives it. The brick's own directories: a symlink on the way is none. */
export async function findSubtree(ops: Subvolume, call: Call, path: string): Promise<Subtree | Refusal> {
  const above = new Map<Gfid, ByteString>();
  let gfid = rootGfid;
  for (const name of path.split('/').filter((part) => part !== '')) {
    const bytes = byteString(name);
    const reply = await ops.lookup(call, { loc: locAt(gfid, bytes) });
    if (!reply.ok) return refuse(reply.errno, `${path} of the volume: ${errnoName(reply.errno)}`);
    if (reply.iatt.type !== FileType.directory) return refuse(Errno.ENOTDIR, `${path}: ${name} is no directory`);
    above.set(gfid, bytes);
    gfid = reply.iatt.gfid;
  }
  const xattr = liesBelowXattr(gfid);
  const reply = await ops.getxattr(call, { loc: locOf(gfid), name: xattr });
  if (reply.ok && decodePlace(reply.xattrs[xattr]) === 'below') return { path, gfid, above };
  const why = reply.ok ? 'a wrong answer' : errnoName(reply.errno);
  return refuse(
    Errno.EOPNOTSUPP,
    `this brick cannot tell what lies below ${path} (${why}); storage.gfid2path is needed`,
  );
}

function refuse(errno: Errno, reason: string): Refusal {
  return { errno, reason };
}
