/**
 * What rsiod and the keeper of its descriptors say to each other: packets of JSON on a unix socket (SOCK_SEQPACKET), with at most
 * one descriptor each. Every request has one reply.
 */
import { z } from 'zod';

export const protocolVersion = 1;
export const packetMaxBytes = 8192;
export const keptMax = 4096;
const text = z.string().max(4096);

/** All that the next run of the daemon has to know about a descriptor. */
export const keptFile = z.strictObject({
  namespace: text,
  name: text,
  kind: z.enum(['loop', 'file']),
  sizeBytes: z.int().nonnegative(),
  readOnly: z.boolean(),
  minimumBytes: z.int().positive(),
  maxWrite: z.int().positive(),
  canResend: z.boolean(),
});
export type KeptFile = z.infer<typeof keptFile>;

/** Pure data for the keeper: it looks into none of it. */
export type Request =
  | { op: 'hello'; version: number; keepSeconds: number }
  /** With a descriptor the first time. */
  | { op: 'put'; key: string; record: object }
  | { op: 'drop'; key: string }
  /** What is kept at that place in the list; with its descriptor. */
  | { op: 'get'; index: number };

export type Reply =
  | { ok: true; version: number; pid: number; count: number; notes: readonly string[] }
  | { ok: true; key: string; record: object }
  | { ok: true }
  | { ok: false; why: string };
