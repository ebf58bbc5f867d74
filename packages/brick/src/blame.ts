/** `brick.blame`: a brick of a replica set is told that another one has nothing yet (docs/management.md). */
import { byteString, type Clock, Errno, errnoName, locOf, rootCall, rootGfid, type Xattrs } from '@mortar/core';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

/** Adds to the counters of data, metadata and entries of each name, at the root. */
export async function blameAtRoot(
  server: ProtocolServer | undefined,
  clock: Clock,
  names: readonly string[],
  counters: readonly number[],
): Promise<Record<string, never>> {
  if (!server) throw new Error('this process serves no brick');
  const values: Xattrs = {};
  for (const name of names) {
    const bytes = Buffer.alloc(12);
    for (const [index, count] of counters.entries()) bytes.writeInt32BE(count, 4 * index);
    values[byteString(name)] = bytes;
  }
  const call = rootCall(clock);
  const reply = await server.child.xattrop(call, { loc: locOf(rootGfid), operation: 'add32', values });
  if (!reply.ok) throw new Error(errnoName(reply.errno ?? Errno.EIO));
  return {};
}
