/** Locks of fcntl(2) and flock(2), as caches see them: who gets one reads what others wrote under theirs (docs/caching.md). */
import type { Args, FopName, Gfid, Reply } from '@mortar/core';

/** The file, if a lock of it was granted. */
export function lockedBy(name: FopName, args: Args<FopName>, reply: Reply<FopName>): Gfid | undefined {
  if (name !== 'lk' || !reply.ok) return undefined;
  const { fd, command, flock } = args as Args<'lk'>;
  return command === 'get' || flock.type === 'unlock' ? undefined : fd.gfid;
}
