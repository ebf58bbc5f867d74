/** What nodes say to each other beside agreement, checked where it arrives (docs/pool.md). */
import { z } from 'zod';

export const nodeId = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'not a UUID in lower case');

/** Of members only: who asks, and the pool's id, which only members know. */
export const credentials = z.object({ pool: nodeId, from: nodeId });
export type Credentials = z.infer<typeof credentials>;

const hostName = z.string().min(1).max(255);
const opVersion = z.int().min(1);

/** What anybody may ask a node. */
export const helloReplySchema = z.object({
  uuid: nodeId,
  opVersion,
  maxOpVersion: opVersion,
  /** Whether it is in a pool with others. */
  isMember: z.boolean(),
  hasVolumes: z.boolean(),
  /** The asker as this node sees it: name (or address) and address. */
  you: z.object({ name: hostName, address: hostName }),
});
export type HelloReply = z.infer<typeof helloReplySchema>;

/** A node that is alone is taken into a pool; it fetches the documents from who asks. */
export const joinSchema = credentials.extend({ opVersion });

export const standingSchema = z.object({ isMember: z.boolean(), version: z.int().min(0) });
