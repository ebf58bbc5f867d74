/** A volume and its bricks as management keeps them. The words of GlusterFS's store are in each field's comment. */
import { z } from 'zod';

const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, 'not a UUID');
const count = z.number().int().min(0).max(65535);
/** What a store line can hold and a volfile can say. */
const line = z.string().regex(/^[^\n\0]*$/, 'has a newline or a NUL');

export const brickInfoSchema = z.object({
  host: line.min(1),
  /** The node that has the brick (`uuid`). */
  hostUuid: uuid,
  path: line.regex(/^\//, 'is not an absolute path'),
  /** `realpath` of the path. */
  realPath: line.optional(),
  /** Name of the client translator, `vol-client-0`; part of the changelog xattrs, so it never changes (`brick-id`). */
  brickId: line.min(1),
  /** 0 or absent: not listening (`listen-port`). */
  port: z.number().int().min(0).max(65535).optional(),
  /** A remove-brick of it is under way. */
  decommissioned: z.boolean().optional(),
  /** Path below the mount point (`mount_dir`). */
  mountDir: line.optional(),
  snapStatus: z.number().int().optional(),
  /** f_fsid of its file system as a decimal number; bricks of a node with the same one share its space. */
  fsid: z.string().regex(/^\d+$/).optional(),
  /** Lines of the store that we do not know, kept. */
  extra: z.record(z.string(), line).optional(),
});
export type BrickInfo = z.infer<typeof brickInfoSchema>;

export const volumeTypes = ['distribute', 'replicate', 'disperse'] as const;
export type VolumeType = (typeof volumeTypes)[number];
export const volumeStatuses = ['created', 'started', 'stopped'] as const;
export type VolumeStatus = (typeof volumeStatuses)[number];

export const taskCommands = ['fix-layout', 'migrate', 'force', 'detach'] as const;
/** `reset`: bricks were exchanged since then, so that what it came to says nothing. */
export const taskStates = ['running', 'completed', 'stopped', 'failed', 'reset'] as const;
const total = z.number().int().min(0);

const taskCounts = {
  movedFiles: total,
  movedBytes: total,
  scanned: total,
  failures: total,
  skipped: total,
  seconds: total,
};

/** How far the process of one node is, or what it came to. */
export const taskProgressSchema = z.object({
  state: z.enum(taskStates),
  ...taskCounts,
  /** While it runs; absent: not known. */
  secondsLeft: total.optional(),
  /** Why management gave it up. */
  reason: line.max(1024).optional(),
});
export type TaskProgress = z.infer<typeof taskProgressSchema>;

/** The last rebalance of a volume, or the remove-brick that is under way. */
export const taskSchema = z.object({
  kind: z.enum(['rebalance', 'remove-brick']),
  /** Of one process for all nodes, as the version before had it: whose it was; absent: of the only node. */
  node: uuid.optional(),
  /** By node: its process's share. Absent: of the version before. */
  nodes: z.record(uuid, taskProgressSchema).optional(),
  id: uuid,
  command: z.enum(taskCommands),
  /** Of all nodes together (`task-nodes.ts`), as what follows. */
  state: z.enum(taskStates),
  ...taskCounts,
  /** While it runs; absent: not known. */
  secondsLeft: total.optional(),
  /** `HOST:/path` of those that are removed. */
  bricks: z.array(line).default([]),
});
export type VolumeTask = z.infer<typeof taskSchema>;

export const volumeInfoSchema = z
  .object({
    name: z.string().regex(/^[A-Za-z0-9_-]{1,255}$/, 'is not a volume name'),
    id: uuid,
    type: z.enum(volumeTypes),
    status: z.enum(volumeStatuses),
    /** In order; each `setSize` of them are one set. The arbiter is the last of its set. */
    bricks: z.array(brickInfoSchema).min(1).max(10_000),
    /** One for each set of a thin-arbiter volume. */
    thinArbiterBricks: z.array(brickInfoSchema).default([]),
    /** Data bricks and arbiter of a set; 1 if not replicated. */
    replicaCount: count.default(1),
    arbiterCount: count.max(1).default(0),
    thinArbiterCount: count.max(1).default(0),
    /** Bricks of a dispersed set, redundancy included; 0 if not dispersed. */
    disperseCount: count.default(0),
    redundancyCount: count.default(0),
    transport: z.enum(['tcp', 'rdma', 'tcp,rdma']).default('tcp'),
    /** Options set by `volume set` or at creation: the newest first, as in the store (`withOption`). */
    options: z.record(z.string(), line).default({}),
    /** Credentials of the trusted volfile. */
    username: line.optional(),
    password: line.optional(),
    /** Generation: one more with every change. */
    version: z.number().int().min(0).default(1),
    /** The version by which it was started the last time: who was away sees that it was stopped meanwhile. 0: not known. */
    startedVersion: z.number().int().min(0).default(0),
    opVersion: z.number().int().min(1).default(1),
    clientOpVersion: z.number().int().min(1).default(1),
    quotaVersion: z.number().int().min(0).default(0),
    snapMaxHardLimit: z.number().int().min(0).default(256),
    /** The volume that this one is a snapshot of (`parent_volname`). */
    parentVolume: line.optional(),
    restoredFromSnap: uuid.optional(),
    task: taskSchema.optional(),
    /** Lines of the store that we do not know, kept. */
    extra: z.record(z.string(), line).optional(),
  })
  .superRefine((volume, context) => {
    const size = setSize(volume);
    const issue = (message: string) => context.addIssue({ code: 'custom', path: ['bricks'], message });
    if (volume.bricks.length % size !== 0)
      issue(`${volume.bricks.length} bricks are no whole number of sets of ${size}`);
    if (volume.type === 'replicate' && volume.replicaCount < 2)
      issue('a replicated volume has a replica count of at least 2');
    if (
      volume.type === 'disperse' &&
      (volume.redundancyCount < 1 || 2 * volume.redundancyCount >= volume.disperseCount)
    )
      issue('the redundancy of a dispersed volume is at least 1 and less than half of its disperse count');
    if (volume.thinArbiterCount > 0 && volume.thinArbiterBricks.length === 0) issue('the thin arbiter has no brick');
    if (new Set(volume.bricks.map((brick) => brick.brickId)).size !== volume.bricks.length)
      issue('two bricks have the same brick id');
  });
export type VolumeInfo = z.infer<typeof volumeInfoSchema>;

/** Bricks of one set: of a replica or dispersed set, or 1. */
export function setSize(volume: Pick<VolumeInfo, 'type' | 'replicaCount' | 'disperseCount'>): number {
  if (volume.type === 'replicate') return Math.max(1, volume.replicaCount);
  if (volume.type === 'disperse') return Math.max(1, volume.disperseCount);
  return 1;
}

/** Number of sets that files are distributed over. */
export function setCount(volume: VolumeInfo): number {
  return Math.floor(volume.bricks.length / setSize(volume));
}

/** Options with one more, which goes before the others; one that is there keeps its place. */
export function withOption(
  options: Readonly<Record<string, string>>,
  key: string,
  value: string,
): Record<string, string> {
  return Object.hasOwn(options, key) ? { ...options, [key]: value } : { [key]: value, ...options };
}
