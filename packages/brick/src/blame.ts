/** `brick.blame`: a brick of a replica set is told that another one has nothing yet (docs/management.md). */
import { byteString, type Clock, Errno, errnoName, locOf, rootCall, rootGfid, type Xattrs } from '@mortar/core';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

/** Adds `amount` to the counters of data, metadata and entries of each name, at the root. */
export async function blameAtRoot(
  server: ProtocolServer | undefined,
  clock: Clock,
  names: readonly string[],
  amount: 1 | -1,
): Promise<Record<string, never>> {
  if (!server) throw new Error('this process serves no brick');
  const values: Xattrs = {};
  for (const name of names) {
    const counters = Buffer.alloc(12);
    for (let at = 0; at < 12; at += 4) counters.writeInt32BE(amount, at);
    values[byteString(name)] = counters;
  }
  const call = rootCall(clock);
  const reply = await server.child.xattrop(call, { loc: locOf(rootGfid), operation: 'add32', values });
  if (!reply.ok) throw new Error(errnoName(reply.errno ?? Errno.EIO));
  return {};
}
