import type { Gfid } from './gfid.ts';
import type { Timespec } from './iatt.ts';
import type { Clock } from './ports.ts';

/** Who asks and until when; travels with a fop through the graph and over the wire. */
export interface Call {
  uid: number;
  gid: number;
  /** Supplementary groups of the caller; empty when unknown. */
  groups: readonly number[];
  pid: number;
  /** Identity of the owner of POSIX and internal locks within its client: any bytes, as hex text. */
  lockOwner: string;
  /** The client session: `HOST-PID-time-graph-volume`; the owner of fds and locks on a brick. */
  clientId: string;
  /** Of a brick's call: what has ended gives no more locks, nor to steps that are still under way. Absent: no session. */
  session?: { readonly isEnded: boolean };
  /** Origin time: what mdata gets as ctime, mtime, atime, so that all replicas agree. */
  time: Timespec;
  /** After this instant of the monotonic clock no one waits for the answer; absent: no limit. */
  deadlineMs?: number;
  /** Aborted when the caller gave up (interrupt). */
  signal?: AbortSignal;
  /** Set for the file system's own work (heal, rebalance): not subject to permissions, quotas, read-only. */
  internal?: InternalClient;
  /** Asks as the holder of a block device: bricks refuse it once another one has taken the device over. */
  attachment?: Attachment;
}

/** Who has a block device, by a number that grows with each taking over (docs/block.md). */
export interface Attachment {
  /** The device's directory. */
  readonly device: Gfid;
  /** 1 to 2^53 - 1. */
  readonly epoch: number;
  /** The number is being made known, and is nobody's yet. */
  readonly isRaising?: boolean;
}

/** Internal clients, by GlusterFS's special pids (negative pid numbers on its wire). */
export type InternalClient = 'self-heal' | 'rebalance' | 'quota' | 'bitrot' | 'glfs-heal' | 'mount-helper';

/** A call by root on nobody's behalf, stamped now. */
export function rootCall(clock: Clock, internal?: InternalClient): Call {
  const call: Call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: '', time: clock.wall() };
  if (internal) call.internal = internal;
  return call;
}
