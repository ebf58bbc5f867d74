/** `brick.blame`: a brick of a replica set is told that another one has nothing yet (docs/management.md). */
import { byteString, type Clock, Errno, errnoName, locOf, rootCall, rootGfid, type Xattrs } from '@mortar/core';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

const kinds = 3;

export interface Blame {
  readonly names: readonly string[];
  /** What is added to the counters of data, metadata and entries of each name. */
  readonly counters: readonly number[];
  /** Names whose counters are asked for. */
  readonly of: readonly string[];
}

/** At the root. Returns the counters that were asked for. */
export async function blameAtRoot(
  server: ProtocolServer | undefined,
  clock: Clock,
  { names, counters, of }: Blame,
): Promise<{ said: Record<string, number[]> }> {
  if (!server) throw new Error('this process serves no brick');
  const nothing = new Array<number>(kinds).fill(0);
  const values: Xattrs = {};
  for (const name of of) values[byteString(name)] = encode(nothing);
  for (const name of names) values[byteString(name)] = encode(counters);
  const call = rootCall(clock);
  const reply = await server.child.xattrop(call, { loc: locOf(rootGfid), operation: 'add32', values });
  if (!reply.ok) throw new Error(errnoName(reply.errno ?? Errno.EIO));
  const said = (name: string) => decode(reply.xattrs[byteString(name)]) ?? nothing;
  return { said: Object.fromEntries(of.map((name) => [name, said(name)])) };
}

function encode(counters: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * kinds);
  for (const [index, count] of counters.entries()) bytes.writeInt32BE(count, 4 * index);
  return bytes;
}

function decode(value: Uint8Array | undefined): number[] | undefined {
  if (value?.length !== 4 * kinds) return undefined;
  const bytes = Buffer.from(value);
  return Array.from({ length: kinds }, (_, index) => bytes.readInt32BE(4 * index));
}
