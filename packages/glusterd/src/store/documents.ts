/** What management keeps: one document for the node, one for the pool's options, one a volume, one a peer. */
import { z } from 'zod';
import { type VolumeInfo, volumeInfoSchema } from '../volume.ts';

const uuid = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'not a UUID');
const line = z.string().regex(/^[^\n\0]*$/, 'has a newline or a NUL');

/** The largest op-version that this build knows; that of GlusterFS 10. */
export const maxOpVersion = 100000;

export const nodeSchema = z.object({
  uuid,
  opVersion: z.int().min(1).max(maxOpVersion),
});
export type NodeDocument = z.infer<typeof nodeSchema>;

export const webhooksMost = 32;
export const webhookSchema = z.object({
  url: line
    .min(1)
    .max(2048)
    .refine((text) => /^https?:/i.test(text) && URL.canParse(text), 'no http or https URL'),
  /** Sent as a bearer token. */
  token: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'has blanks or characters that no header may have')
    .max(4096)
    .optional(),
});
export type Webhook = z.infer<typeof webhookSchema>;

export const globalsSchema = z.object({
  /** One more with every change; nodes follow the highest. */
  version: z.int().min(0),
  options: z.record(z.string(), line),
  /** What `cluster.op-version` was raised to; each node keeps it with its own document, too. */
  opVersion: z.int().min(1).optional(),
  /** Who is told of events. */
  webhooks: z.array(webhookSchema).max(webhooksMost).optional(),
});
export type GlobalsDocument = z.infer<typeof globalsSchema>;

export const peerSchema = z.object({
  uuid,
  /** GlusterFS's number; 3: a member of the pool. */
  state: z.int().min(0).max(10),
  hostnames: z.array(line.min(1)).min(1),
  /** What the names meant when they were told: peers stay reachable without a name server. */
  addresses: z.array(line.min(1)).max(64).optional(),
});
export type PeerDocument = z.infer<typeof peerSchema>;

/** Everything, as one commit leaves it. */
export interface State {
  node: NodeDocument;
  globals: GlobalsDocument;
  volumes: ReadonlyMap<string, VolumeInfo>;
  peers: ReadonlyMap<string, PeerDocument>;
}

/** What one commit changes; null deletes. */
export interface Change {
  node?: NodeDocument;
  globals?: GlobalsDocument;
  volumes?: ReadonlyMap<string, VolumeInfo | null>;
  peers?: ReadonlyMap<string, PeerDocument | null>;
}

export function applied(state: State, change: Change): State {
  return {
    node: change.node ?? state.node,
    globals: change.globals ?? state.globals,
    volumes: merged(state.volumes, change.volumes),
    peers: merged(state.peers, change.peers),
  };
}

function merged<T>(before: ReadonlyMap<string, T>, change: ReadonlyMap<string, T | null> | undefined): Map<string, T> {
  const after = new Map(before);
  for (const [key, value] of change ?? []) {
    if (value === null) after.delete(key);
    else after.set(key, value);
  }
  return new Map([...after].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export const volumeDocumentSchema = volumeInfoSchema;
