/** The shape and the bounds of everything of the pool that comes over the wire or from disk. */
import { z } from 'zod';
import { globalsSchema, peerSchema, volumeDocumentSchema } from '../store/documents.ts';
import { maxRound } from './ballot.ts';
import { PoolError } from './errors.ts';
import { mostPoolsLeft } from './storage.ts';

const uuidPattern = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
export const uuidSchema = z.string().regex(new RegExp(`^${uuidPattern}$`), 'not a UUID in lower case');
export const documentKeySchema = z
  .string()
  .regex(new RegExp(`^(globals|volume/[A-Za-z0-9_-]{1,255}|peer/${uuidPattern})$`), 'not the key of a document');

/** Documents of one change. */
const mostChanges = 1000;
/** Documents of one page of `changes`: a page ends with a version, so one change more than what it is cut at. */
export const mostPageDocuments = 256 + mostChanges;

export const versionSchema = z.int().min(0).max(maxRound);
export const ballotSchema = z.strictObject({ round: z.int().min(1).max(maxRound), node: uuidSchema });
export const documentChangeSchema = z.strictObject({ key: documentKeySchema, value: z.unknown() });
export const documentChangesSchema = z
  .array(documentChangeSchema)
  .max(mostChanges)
  .refine((changes) => new Set(changes.map(({ key }) => key)).size === changes.length, 'a document twice');
export const proposalSchema = z.strictObject({
  version: versionSchema.min(1),
  ballot: ballotSchema,
  changes: documentChangesSchema,
});
export const operationSchema = z.string().max(1000);
export const lifeSchema = z.number().min(0).max(3_600_000);

export const lockInfoSchema = z.strictObject({
  node: uuidSchema,
  operation: operationSchema,
  ageMs: z.number().min(0),
  expiresInMs: z.number().min(0),
});
export const lockReplySchema = z.discriminatedUnion('granted', [
  z.strictObject({ granted: z.literal(true), version: versionSchema, accepted: proposalSchema.nullable() }),
  z.strictObject({ granted: z.literal(false), promised: ballotSchema, lock: lockInfoSchema.nullable() }),
]);
export const acceptReplySchema = z.discriminatedUnion('accepted', [
  z.strictObject({ accepted: z.literal(true) }),
  z.strictObject({ accepted: z.literal(false), promised: ballotSchema, version: versionSchema }),
]);
export const holderReplySchema = z.strictObject({ lock: lockInfoSchema.nullable() });
export const storedDocumentSchema = z.strictObject({
  key: documentKeySchema,
  value: z.unknown(),
  version: versionSchema,
});
export const changesSchema = z.strictObject({
  version: versionSchema,
  documents: z.array(storedDocumentSchema).max(mostPageDocuments),
  hasLeft: z.boolean().optional(),
});

export const memberStateSchema = z.strictObject({
  pool: uuidSchema.nullable(),
  version: versionSchema,
  promised: ballotSchema.nullable(),
  accepted: proposalSchema.nullable(),
  left: z
    .array(z.strictObject({ pool: uuidSchema, version: versionSchema, changes: documentChangesSchema.default([]) }))
    .max(mostPoolsLeft),
});

/** Parameters of the calls of `Member`, for who serves them. */
export const memberCalls = {
  lock: z.strictObject({ ballot: ballotSchema, operation: operationSchema, lifeMs: lifeSchema }),
  accept: z.strictObject({ proposal: proposalSchema }),
  learn: z.strictObject({ proposal: proposalSchema }),
  unlock: z.strictObject({ ballot: ballotSchema }),
  holder: z.strictObject({ isBroken: z.boolean() }),
  changes: z.strictObject({ since: versionSchema }),
};

/** Throws PoolError on a document that no node could keep. Everybody must judge alike, so nothing is made good here. */
export function checkDocument(key: string, value: unknown): void {
  if (value === null) {
    if (key === 'globals') throw new PoolError('the options of the pool cannot be removed');
    return;
  }
  const name = key.slice(key.indexOf('/') + 1);
  const [schema, nameOf] = key.startsWith('volume/')
    ? [volumeDocumentSchema, (document: unknown) => (document as { name: string }).name]
    : key.startsWith('peer/')
      ? [peerSchema, (document: unknown) => (document as { uuid: string }).uuid]
      : [globalsSchema, () => name];
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new PoolError(`document '${key}' is not valid: ${z.prettifyError(parsed.error)}`);
  if (nameOf(parsed.data) !== name) throw new PoolError(`document '${key}' is that of '${nameOf(parsed.data)}'`);
}
