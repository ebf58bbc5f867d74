/**
 * What the command line asks of glusterd: one typed request a verb. The command line uses the types only; glusterd
 * checks what arrives with the schemas (docs/management.md).
 */
import { z } from 'zod';
import { webhookSchema } from '../store/documents.ts';

const word = z.string().min(1).max(4096);
const host = z.string().min(1).max(255);

export const statusSections = ['detail', 'clients', 'client-list', 'mem', 'inode', 'fd', 'callpool', 'tasks'] as const;
export const profileKinds = ['all', 'cumulative', 'incremental', 'clear'] as const;
export const topOperations = [
  'open',
  'read',
  'write',
  'opendir',
  'readdir',
  'read-perf',
  'write-perf',
  'clear',
] as const;
export const rebalanceOperations = ['fix-layout', 'start', 'force', 'stop', 'status'] as const;
export const removeActions = ['start', 'stop', 'status', 'commit', 'force'] as const;
export const statusDaemons = ['nfs', 'shd', 'quotad', 'snapd', 'bitd', 'scrub'] as const;

const create = z.object({
  verb: z.literal('volume.create'),
  volume: word,
  type: z.enum(['distribute', 'replicate', 'disperse']),
  replica: z.int().min(1).max(64),
  arbiter: z.int().min(0).max(1),
  thinArbiter: z.int().min(0).max(1),
  disperse: z.int().min(0).max(64),
  redundancy: z.int().min(0).max(64),
  transport: z.enum(['tcp', 'rdma', 'tcp,rdma']),
  /** `HOST:/path` in the order given; the thin-arbiter brick is not among them. */
  bricks: z.array(word).min(1).max(4096),
  thinArbiterBrick: word.optional(),
  /** `force` or `--wignore`. */
  force: z.boolean(),
  /** `--wignore-partition`: a brick may be in the root partition. */
  ignorePartition: z.boolean(),
});

const healOperation = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('index') }),
  z.object({ kind: z.literal('full') }),
  z.object({ kind: z.literal('enable') }),
  z.object({ kind: z.literal('disable') }),
  z.object({ kind: z.literal('granular'), enable: z.boolean() }),
  z.object({ kind: z.literal('info'), what: z.enum(['all', 'summary', 'split-brain']) }),
  z.object({ kind: z.literal('statistics') }),
  z.object({ kind: z.literal('heal-count'), replicaOf: word.optional() }),
  z.object({
    kind: z.literal('split-brain'),
    policy: z.enum(['bigger-file', 'latest-mtime', 'source-brick']),
    file: word.optional(),
    brick: word.optional(),
  }),
]);

const volume = word;
const force = z.boolean();

export const requestSchema = z.discriminatedUnion('verb', [
  create,
  z.object({ verb: z.literal('volume.start'), volume, force }),
  z.object({ verb: z.literal('volume.stop'), volume, force }),
  z.object({ verb: z.literal('volume.delete'), volume }),
  z.object({
    verb: z.literal('volume.add-brick'),
    volume,
    /** The new replica count; absent: more sets of the present one. */
    replica: z.int().min(2).max(64).optional(),
    arbiter: z.int().min(0).max(1),
    bricks: z.array(word).min(1).max(4096),
    force,
    ignorePartition: z.boolean(),
  }),
  z.object({
    verb: z.literal('volume.remove-brick'),
    volume,
    /** The new replica count; absent: whole sets go. */
    replica: z.int().min(1).max(64).optional(),
    bricks: z.array(word).min(1).max(4096),
    action: z.enum(removeActions),
  }),
  z.object({ verb: z.literal('volume.rebalance'), volume, operation: z.enum(rebalanceOperations) }),
  z.object({
    verb: z.literal('volume.replace-brick'),
    volume,
    source: word,
    target: word,
    ignorePartition: z.boolean(),
  }),
  z.object({
    verb: z.literal('volume.reset-brick'),
    volume,
    source: word,
    /** Of commit. */
    target: word.optional(),
    action: z.enum(['start', 'commit']),
    force,
    ignorePartition: z.boolean(),
  }),
  z.object({ verb: z.literal('volume.info'), volume: volume.optional() }),
  z.object({ verb: z.literal('volume.list') }),
  z.object({
    verb: z.literal('volume.status'),
    volume: volume.optional(),
    brick: word.optional(),
    daemon: z.enum(statusDaemons).optional(),
    section: z.enum(statusSections).optional(),
  }),
  z.object({
    verb: z.literal('volume.set'),
    volume,
    pairs: z.array(z.object({ key: word, value: word })).max(256),
    /** Instead of pairs: the name of a file of pairs below WORKDIR/groups. */
    group: word.optional(),
  }),
  z.object({ verb: z.literal('volume.set.help') }),
  z.object({ verb: z.literal('volume.get'), volume, key: word }),
  z.object({ verb: z.literal('volume.reset'), volume, key: word, force }),
  z.object({ verb: z.literal('volume.heal'), volume, operation: healOperation }),
  z.object({
    verb: z.literal('volume.profile'),
    volume,
    operation: z.enum(['start', 'stop', 'info']),
    /** Of info. */
    what: z.enum(profileKinds).optional(),
    /** Of info: the interval goes on. */
    peek: z.boolean().optional(),
  }),
  z.object({
    verb: z.literal('volume.top'),
    volume,
    operation: z.enum(topOperations),
    brick: word.optional(),
    count: z.int().min(0).max(100).optional(),
    /** Of read-perf and write-perf: the brick's disk is measured with so many blocks of so many bytes. */
    measure: z.object({ blockSize: z.int().min(1), blocks: z.int().min(1) }).optional(),
  }),
  z.object({ verb: z.literal('volume.barrier'), volume, state: word }),
  z.object({
    verb: z.literal('volume.clear-locks'),
    volume,
    path: word,
    kind: z.enum(['blocked', 'granted', 'all']),
    type: z.enum(['inode', 'entry', 'posix']),
    /** A range or a name. */
    detail: word.optional(),
  }),
  z.object({
    verb: z.literal('volume.statedump'),
    volume,
    options: z.array(word).max(16),
    client: z
      .string()
      .regex(/^.+:\d{1,10}$/)
      .max(300)
      .optional(),
  }),
  z.object({ verb: z.literal('volume.log.rotate'), volume, brick: word.optional() }),
  z.object({ verb: z.literal('volume.sync'), host, volume: volume.optional() }),
  z.object({ verb: z.literal('peer.probe'), host }),
  z.object({ verb: z.literal('peer.detach'), host, force }),
  z.object({ verb: z.literal('peer.status') }),
  z.object({ verb: z.literal('pool.list') }),
  z.object({ verb: z.literal('system.getspec'), volume }),
  z.object({ verb: z.literal('system.uuid.get') }),
  z.object({ verb: z.literal('system.uuid.reset') }),
  z.object({ verb: z.literal('system.getwd') }),
  z.object({ verb: z.literal('system.fsm.log'), host: host.optional() }),
  z.object({ verb: z.literal('system.lock.show') }),
  z.object({ verb: z.literal('system.lock.break') }),
  z.object({ verb: z.literal('system.pool.recover'), force }),
  webhookSchema.extend({ verb: z.literal('events.webhook-add') }),
  webhookSchema.extend({ verb: z.literal('events.webhook-mod') }),
  webhookSchema.extend({ verb: z.literal('events.webhook-test') }),
  z.object({ verb: z.literal('events.webhook-del'), url: webhookSchema.shape.url }),
  z.object({ verb: z.literal('events.status') }),
  z.object({
    verb: z.literal('get-state'),
    directory: word.optional(),
    file: word.optional(),
    more: z.enum(['detail', 'volumeoptions']).optional(),
  }),
]);

export type Request = z.infer<typeof requestSchema>;
export type Verb = Request['verb'];
export type RequestOf<V extends Verb> = Extract<Request, { verb: V }>;
export type HealOperation = z.infer<typeof healOperation>;
export type ProfileKind = (typeof profileKinds)[number];
export type TopOperation = (typeof topOperations)[number];
export type StatusSection = (typeof statusSections)[number];
export type RebalanceOperation = (typeof rebalanceOperations)[number];
export type RemoveAction = (typeof removeActions)[number];
export type StatusDaemon = (typeof statusDaemons)[number];

/** What travels in one call of the management method `cli.command`. */
export const commandSchema = z.object({ request: requestSchema, line: z.string().max(65536) });
