/** What a client that may do so asks a server to do with its devices (docs/block.md), as payload of an ADMINISTER frame. */
import { z } from 'zod';
import { name } from './messages.ts';

const positive = z.int().positive();

export const limitsSchema = z.strictObject({
  bytesPerSecond: positive.optional(),
  operationsPerSecond: positive.optional(),
  clientBytesPerSecond: positive.optional(),
  clientOperationsPerSecond: positive.optional(),
});
export type AskedLimits = z.infer<typeof limitsSchema>;

export const administration = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('pools') }),
  z.strictObject({
    action: z.literal('create'),
    name,
    /** Absent: the pool has it already. */
    sizeBytes: positive.optional(),
    /** Absent: the only one. */
    pool: name.optional(),
    /** Who may use it; absent: everybody. */
    clients: z.array(name).min(1).max(64).optional(),
    description: z.string().max(128).default(''),
  }),
  /** `keep`: what is in it stays in the pool. */
  z.strictObject({ action: z.literal('delete'), name, keep: z.boolean() }),
  z.strictObject({ action: z.literal('rename'), name, to: name }),
  /** All limits at once: none of them is the configuration's. */
  z.strictObject({ action: z.literal('limit'), name, limits: limitsSchema }),
  z.strictObject({ action: z.literal('pause'), name }),
  z.strictObject({ action: z.literal('resume'), name }),
]);
export type Administration = z.infer<typeof administration>;

export const administrationReply = z.object({
  /** Why it was refused; empty: it was done. */
  text: z.string().max(4096),
  pools: z
    .array(
      z.object({
        name,
        type: z.string().max(32),
        devices: z.int().min(0),
        usedBytes: z.int().min(0),
        capacityBytes: z.int().positive().optional(),
      }),
    )
    .default([]),
});
export type AdministrationReply = z.infer<typeof administrationReply>;

/** What became of it. */
export interface Administered {
  readonly errno: number;
  readonly reply: AdministrationReply;
}
