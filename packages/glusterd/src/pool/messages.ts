/** What peers say to each other, checked where it arrives (docs/pool.md). */
import { z } from 'zod';
import { globalsSchema, peerSchema, volumeDocumentSchema } from '../store/documents.ts';

export const nodeId = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'not a UUID');
const version = z.int().min(0);
const milliseconds = z.number().min(0).max(86_400_000);
/** Documents of a pool; a change has few of them, a join all. */
const documentsMax = 20_000;
const changesMax = 1000;

export const ballotSchema = z.object({ round: z.int().min(0), node: nodeId });

/** Key and value fit together: a peer cannot put anything but documents into the store. */
function checkDocument({ key, value }: { key: string; value: unknown }, issue: (message: string) => void): void {
  const kind = key === 'globals' ? key : key.slice(0, key.indexOf('/'));
  if (value === null) {
    if (kind !== 'volume' && kind !== 'peer') issue(`${key} cannot be removed`);
    return;
  }
  const schemas: Record<string, z.ZodType> = { globals: globalsSchema, volume: volumeDocumentSchema, peer: peerSchema };
  const schema = schemas[kind];
  if (!schema) {
    issue(`there are no documents '${key}'`);
    return;
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    issue(`${key}: ${parsed.error.issues[0]!.message}`);
    return;
  }
  const name = key.slice(kind.length + 1);
  const own = kind === 'volume' ? (value as { name: string }).name : (value as { uuid?: string }).uuid;
  if (kind !== 'globals' && own !== name) issue(`${key} is of '${own}'`);
}

const key = z.string().min(1).max(300);
const documentChange = z
  .object({ key, value: z.unknown() })
  .superRefine((one, context) => checkDocument(one, (message) => context.addIssue({ code: 'custom', message })));
const versionedDocument = z
  .object({ key, value: z.unknown(), version })
  .superRefine((one, context) => checkDocument(one, (message) => context.addIssue({ code: 'custom', message })));

export const proposalSchema = z.object({
  version,
  ballot: ballotSchema,
  changes: z.array(documentChange).max(changesMax),
});

const lockInfo = z.object({
  node: nodeId,
  operation: z.string().max(1024),
  ageMs: z.number(),
  expiresInMs: z.number(),
});

export const lockSchema = z.object({ ballot: ballotSchema, operation: z.string().max(1024), lifeMs: milliseconds });
export const lockReplySchema = z.discriminatedUnion('granted', [
  z.object({ granted: z.literal(true), version, accepted: proposalSchema.nullable() }),
  z.object({ granted: z.literal(false), promised: ballotSchema, lock: lockInfo.nullable() }),
]);
export const acceptReplySchema = z.discriminatedUnion('accepted', [
  z.object({ accepted: z.literal(true) }),
  z.object({ accepted: z.literal(false), promised: ballotSchema, version }),
]);
export const changesReplySchema = z.object({ version, documents: z.array(versionedDocument).max(documentsMax) });

/** Of members only: who asks, and the pool's id, which only members know. */
export const credentials = z.object({ pool: nodeId, from: nodeId });

const hostName = z.string().min(1).max(255);

/** What anybody may ask a node. */
export const helloReplySchema = z.object({
  uuid: nodeId,
  opVersion: z.int().min(1),
  maxOpVersion: z.int().min(1),
  /** Whether it is in a pool with others. */
  isMember: z.boolean(),
  hasVolumes: z.boolean(),
  /** The asker as this node sees it: name (or address) and address. */
  you: z.object({ name: hostName, address: hostName }),
});
export type HelloReply = z.infer<typeof helloReplySchema>;

/** A node that is alone is taken into a pool, with everything that the pool has. */
export const joinSchema = credentials.extend({ opVersion: z.int().min(1), changes: changesReplySchema });
