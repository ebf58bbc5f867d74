/** What a device's directory says of it, as JSON in xattrs. */
import { blockHolderXattr, blockXattrPrefix } from '@mortar/xlators/lib/block-device.ts';
import { z } from 'zod';

export const descriptionXattr = `${blockXattrPrefix}description`;
export const holderXattr = blockHolderXattr;
/** Asked for with a lookup: both, and the epoch. */
export const allXattrs = `${blockXattrPrefix}*`;

export const shardMinBytes = 64 * 1024;
export const shardMaxBytes = 4 * 2 ** 30;
export const defaultShardBytes = 64 * 2 ** 20;

const descriptionSchema = z.strictObject({
  version: z.literal(1),
  sizeBytes: z.int().min(0),
  shardBytes: z
    .int()
    .min(shardMinBytes)
    .max(shardMaxBytes)
    .refine((bytes) => Number.isInteger(Math.log2(bytes))),
});
export type Description = z.infer<typeof descriptionSchema>;

const holderSchema = z.strictObject({
  /** Who: a server's name, and which run of it. */
  owner: z.string().min(1).max(256),
  epoch: z.int().positive(),
  /** Grows as long as the holder is alive. */
  beat: z.int().min(0),
});
export type Holder = z.infer<typeof holderSchema>;

export const encodeDescription = (description: Description): Uint8Array => encode(description);
export const encodeHolder = (holder: Holder): Uint8Array => encode(holder);

export function decodeDescription(bytes: Uint8Array | undefined): Description | null {
  return decode(descriptionSchema, bytes);
}

/** Null: nobody has it. What cannot be read is nobody. */
export function decodeHolder(bytes: Uint8Array | undefined): Holder | null {
  return decode(holderSchema, bytes);
}

function encode(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function decode<T>(schema: z.ZodType<T>, bytes: Uint8Array | undefined): T | null {
  if (!bytes || bytes.length === 0 || bytes.length > 4096) return null;
  try {
    const parsed = schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    // No JSON: the same as a value that the schema does not know.
    return null;
  }
}
