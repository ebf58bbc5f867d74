/** `brick.blame`: a brick of a replica set is told that another one has nothing yet (docs/management.md). */
import { byteString, type Clock, Errno, errnoName, locOf, rootCall, rootGfid, type Xattrs } from '@mortar/core';
import { decodeVector, encodeVector, type Vector, zeroVector } from '@mortar/xlators/cluster/replicate/changelog.ts';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

export interface Blame {
  readonly names: readonly string[];
  /** What is added to the counters of data, metadata and entries of each name. */
  readonly counters: Vector;
  /** Names whose counters are asked for. */
  readonly of: readonly string[];
}

/** At the root. Returns the counters that were asked for. */
export async function blameAtRoot(
  server: ProtocolServer | undefined,
  clock: Clock,
  { names, counters, of }: Blame,
): Promise<{ said: Record<string, Vector> }> {
  if (!server) throw new Error('this process serves no brick');
  const values: Xattrs = {};
  for (const name of of) values[byteString(name)] = encodeVector(zeroVector);
  for (const name of names) values[byteString(name)] = encodeVector(counters);
  const call = rootCall(clock);
  const reply = await server.child.xattrop(call, { loc: locOf(rootGfid), operation: 'add32', values });
  if (!reply.ok) throw new Error(errnoName(reply.errno ?? Errno.EIO));
  const said = (name: string) => decodeVector(reply.xattrs[byteString(name)]);
  return { said: Object.fromEntries(of.map((name) => [name, said(name)])) };
}
