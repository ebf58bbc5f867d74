/** What glusterd answers the command line: data, never text to print (the wording of errors excepted). */
import type { Verb } from './requests.ts';

/** An operation that was refused or failed. */
export interface CommandError {
  /** Without the command's prefix: `Volume v does not exist`. */
  text: string;
  /** GlusterFS's opErrno, e.g. 30800; 0 when it says nothing. */
  errno: number;
  /** Exit status of the command line where it is not 1. */
  exit?: number;
  /** The volume whose name is nearest to the one that there is not. */
  meant?: string;
}

export type CommandReply<T> = { ok: true; data: T } | { ok: false; error: CommandError };

export interface VolumeBrickData {
  /** `HOST:/path` */
  name: string;
  hostUuid: string;
  arbiter: boolean;
}

export interface VolumeData {
  name: string;
  id: string;
  type: 'Distribute' | 'Replicate' | 'Disperse';
  status: 'Created' | 'Started' | 'Stopped';
  bricks: VolumeBrickData[];
  /** Bricks of a set: 1, the replica count or the disperse count. */
  setSize: number;
  replica: number;
  arbiter: number;
  disperse: number;
  redundancy: number;
  thinArbiterBrick?: string;
  transport: 'tcp' | 'rdma' | 'tcp,rdma';
  snapshotCount: number;
  options: [key: string, value: string][];
}

/** A row of `volume status`: a brick or a daemon. */
export interface ProcessData {
  kind: 'brick' | 'daemon';
  /** Brick: its host. Daemon: `Self-heal Daemon`. */
  hostname: string;
  /** Brick: its path. Daemon: the node. */
  path: string;
  peerId: string;
  online: boolean;
  /** 0 when it listens nowhere. */
  port: number;
  pid: number;
  detail?: BrickDetail;
  clients?: ClientData[];
  memory?: Record<string, number>;
  inodes?: InodeTableData[];
  fds?: FdTableData[];
  calls?: CallData[];
}

export interface BrickDetail {
  fileSystem: string;
  device: string;
  mountOptions: string;
  inodeSize: number;
  blockSize: number;
  totalBytes: number;
  freeBytes: number;
  inodes: number;
  freeInodes: number;
}

export interface ClientData {
  /** `ADDRESS:PORT` */
  hostname: string;
  bytesRead: number;
  bytesWritten: number;
  opVersion: number;
  /** `fuse`, `glustershd`, `rebalance` ... */
  name: string;
}

export interface InodeTableData {
  lruLimit: number;
  active: number;
  lru: number;
  purge: number;
}

export interface FdTableData {
  refcount: number;
  maxFds: number;
  firstFree: number;
  entries: { fd: number; pid: number; refcount: number; flags: number }[];
}

export interface CallData {
  uid: number;
  gid: number;
  pid: number;
  unique: number;
  frames: string[];
}

/** How far a process is that moves files, or all of them together. */
export interface TaskNumbers {
  state: 'running' | 'completed' | 'stopped' | 'failed' | 'reset';
  movedFiles: number;
  movedBytes: number;
  scanned: number;
  failures: number;
  skipped: number;
  seconds: number;
  /** While it runs; absent: not known. */
  secondsLeft?: number | undefined;
}

export interface TaskNodeData extends TaskNumbers {
  node: string;
  /** `localhost` for the one that was asked. */
  name: string;
  /** Why it was given up. */
  reason?: string | undefined;
}

/** A rebalance, or a remove-brick that moves files away; its numbers are those of all nodes together. */
export interface TaskData extends TaskNumbers {
  kind: 'rebalance' | 'remove-brick';
  id: string;
  command: 'fix-layout' | 'migrate' | 'force' | 'detach';
  /** `HOST:/path` of the bricks that are removed. */
  bricks: string[];
  /** Those that do it; the one that was asked is the last. */
  nodes: TaskNodeData[];
  /** Nodes of the pool. */
  nodeCount: number;
}

/** A client that a task waits for: it works in a graph of other bricks. */
export interface AwaitedData {
  program: string;
  host: string;
  processId: number;
  /** For so long it has been waited for. */
  seconds: number;
}

export interface VolumeStatusData {
  volume: string;
  processes: ProcessData[];
  task?: TaskData;
}

export interface PeerData {
  uuid: string;
  hostname: string;
  hostnames: string[];
  connected: boolean;
  state: number;
  stateText: string;
}

export interface HealEntryData {
  /** `/path`, or null when only the gfid is known. */
  path: string | null;
  gfid: string;
  splitBrain: boolean;
  healing: boolean;
}

export interface HealBrickData {
  /** `HOST:/path` */
  name: string;
  hostUuid: string;
  connected: boolean;
  entries: HealEntryData[];
}

export interface CrawlData {
  /** Wall-clock seconds. */
  startSeconds: number;
  endSeconds: number | null;
  type: 'INDEX' | 'FULL';
  healed: number;
  splitBrain: number;
  failed: number;
}

export interface CrawlBrickData {
  index: number;
  hostname: string;
  connected: boolean;
  crawls: CrawlData[];
}

export interface HealCountData {
  name: string;
  /** null when the brick is not connected. */
  count: number | null;
}

export type HealData =
  | { kind: 'done' }
  | { kind: 'info'; bricks: HealBrickData[] }
  | { kind: 'count'; bricks: HealCountData[] }
  | { kind: 'statistics'; bricks: CrawlBrickData[] }
  /** The lines of the heal daemon about a resolved split brain, and how it went. */
  | { kind: 'split-brain'; lines: string[]; failed: boolean; exit: number };

export interface ProfileSectionData {
  durationSeconds: number;
  bytesRead: number;
  bytesWritten: number;
  /** By block size in bytes, smallest first; sizes without reads and writes are left out. */
  blocks: { size: number; reads: number; writes: number }[];
  /** By GlusterFS's names, `LOOKUP`. */
  fops: { fop: string; hits: number; avgMicros: number; minMicros: number; maxMicros: number }[];
}

export interface ProfileBrickData {
  /** `HOST:/path` */
  name: string;
  cumulative?: ProfileSectionData;
  interval?: ProfileSectionData & { number: number };
  cleared?: boolean;
}

export interface TopBrickData {
  /** `HOST:/path` */
  name: string;
  /** Of open. */
  openNow: number;
  openMax: number;
  /** When most files were open, `YYYY-MM-DD hh:mm:ss`; empty: never. */
  openMaxTime: string;
  /** `value` is a number of operations or, for perf, megabytes a second at `time`. */
  members: { name: string; value: number; time?: string }[];
  cleared?: boolean;
  measured?: { megabytesPerSecond: number; seconds: number };
}

/** What became of a peer, as this node saw it. */
export interface PeerTransitionData {
  uuid: string;
  hostname: string;
  from: string;
  to: string;
  event: string;
  /** Seconds since 1970. */
  at: number;
}

export interface LockData {
  /** `cluster`, or on a node that is in no pool a volume or `all`. */
  subject: string;
  /** Of the node that works. */
  hostname: string;
  uuid: string;
  operation: string;
  ageSeconds: number;
  expiresInSeconds: number;
}

export interface ReplyData {
  'volume.create': { volume: string; id: string };
  'volume.start': { volume: string; id: string };
  'volume.stop': { volume: string; id: string };
  'volume.delete': { volume: string; id: string };
  'volume.add-brick': Record<string, never>;
  /** Of start, status and stop. */
  'volume.remove-brick': { task?: TaskData; awaited?: AwaitedData[] };
  'volume.rebalance': { task: TaskData; awaited?: AwaitedData[] };
  'volume.replace-brick': Record<string, never>;
  'volume.reset-brick': Record<string, never>;
  'volume.info': { volumes: VolumeData[] };
  'volume.list': { names: string[] };
  'volume.status': { volumes: VolumeStatusData[] };
  'volume.set': { warning?: string };
  'volume.set.help': { text: string };
  'volume.get': { options: { key: string; value: string }[] };
  'volume.reset': Record<string, never>;
  'volume.heal': HealData;
  /** Of info; start and stop have none. */
  'volume.profile': { bricks: ProfileBrickData[] };
  'volume.top': { bricks: TopBrickData[] };
  'volume.barrier': Record<string, never>;
  /** A line a brick. */
  'volume.clear-locks': { lines: string[] };
  'volume.statedump': Record<string, never>;
  'volume.log.rotate': Record<string, never>;
  'volume.sync': Record<string, never>;
  /** `message`: the probe was not needed. */
  'peer.probe': { message?: string; errno: number };
  'peer.detach': Record<string, never>;
  'peer.status': { peers: PeerData[] };
  /** `self` is this node, shown last as `localhost`. */
  'pool.list': { peers: PeerData[]; self: string };
  'system.getspec': { text: string };
  'system.uuid.get': { uuid: string };
  'system.uuid.reset': { uuid: string };
  'system.getwd': { path: string };
  'system.fsm.log': { transitions: PeerTransitionData[] };
  'system.lock.show': { locks: LockData[] };
  /** What was taken from its holders. */
  'system.lock.break': { locks: LockData[] };
  'events.webhook-add': Record<string, never>;
  'events.webhook-mod': Record<string, never>;
  'events.webhook-del': Record<string, never>;
  /** `OK`, or `NOT OK: ` and why. */
  'events.webhook-test': { result: string };
  'events.status': { webhooks: string[]; nodes: { node: string; up: boolean }[] };
  /** Names of those that were given the state of this node, and its version. */
  'system.pool.recover': { members: string[]; version: number };
  'get-state': { path: string; text: string };
}

export type ReplyFor<V extends Verb> = CommandReply<ReplyData[V]>;
