/** Payloads of control frames: JSON, at most 64 KiB, checked before anything is done with them. */
import { z } from 'zod';

export const protocolVersion = 2;
/** From this version on each device has tags of its own; before, a session had one row for all. */
export const tagsOfDevicesVersion = 2;
/** What a server speaks; clients speak the newest. */
export const servedVersions: readonly number[] = [1, protocolVersion];
export const controlMaxBytes = 64 * 1024;
/** Of a list of all devices. */
export const listMaxBytes = 8 * 1024 * 1024;

export const name = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/);
const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));

/** The first frame of a connection. */
export const hello = z.strictObject({
  version: z.int(),
  namespace: name.or(z.literal('')),
  client: name,
  nonce: hex(16),
  /** It would have spoken TLS: a server that does must not hear this in the clear. */
  tls: z.boolean().optional(),
});
export type Hello = z.infer<typeof hello>;

export const helloReply = z.strictObject({
  version: z.int(),
  namespace: name,
  namespaceId: z.int().min(0).max(65535),
  server: name,
  serverId: z.int().min(0).max(255),
  nonce: hex(16),
});
export type HelloReply = z.infer<typeof helloReply>;

/** The second: who it is, and which session the connection joins as which path. */
export const join = z.strictObject({
  proof: hex(32),
  /** Empty: a new one. */
  session: hex(16).or(z.literal('')),
  /** Which of the client's ways it is, and the how manieth connection over it. */
  path: z.int().min(0).max(2047),
  generation: z.int().min(1),
  /** Every frame with a checksum, both ways. */
  checked: z.boolean(),
});
export type Join = z.infer<typeof join>;

export const joinReply = z.strictObject({ proof: hex(32), session: hex(16), leaseMs: z.int().positive() });
export type JoinReply = z.infer<typeof joinReply>;

export const listReply = z.strictObject({
  devices: z.array(
    z.strictObject({
      name,
      description: z.string().max(1024),
      sizeBytes: z.int().min(0),
      readOnly: z.boolean(),
      users: z.int().min(0),
      isPaused: z.boolean().default(false),
    }),
  ),
});
export type ListReply = z.infer<typeof listReply>;

export const open = z.strictObject({
  name,
  /** Nobody else changes it meanwhile. */
  mode: z.enum(['exclusive', 'shared', 'read']),
  /** Take it from whoever has it exclusively. */
  force: z.boolean(),
});
export type Open = z.infer<typeof open>;

export const openReply = z.strictObject({
  device: z.int().min(1).max(65535),
  sizeBytes: z.int().min(0),
  readOnly: z.boolean(),
  minimumBytes: z.int().positive(),
  preferredBytes: z.int().positive(),
  maximumBytes: z.int().positive(),
  rotational: z.boolean(),
  resizable: z.boolean(),
});
export type OpenReply = z.infer<typeof openReply>;

export function encodeMessage(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Null: it is not such a message. */
export function decodeMessage<T>(
  schema: z.ZodType<T>,
  bytes: Uint8Array,
  maxBytes: number = controlMaxBytes,
): T | null {
  if (bytes.length > maxBytes) return null;
  try {
    const parsed = schema.safeParse(
      JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')),
    );
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
