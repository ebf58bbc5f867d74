/** What a session tells of itself. */
import type { Timespec } from '@mortar/core';
import type { OpName } from '../protocol/index.ts';

export interface SessionStats {
  requests: Record<string, number>;
  inFlight: number;
  lockWaits: number;
  /** Files and directories that the kernel knows, and how many of them are open. */
  nodes: number;
  openNodes: number;
  handles: number;
  malformed: number;
  exceptions: number;
  undelivered: number;
  /** POSIX and flock locks that are held through this mount. */
  locks: number;
}

/** A request that has not been answered yet. */
export interface PendingRequest {
  readonly op: OpName;
  readonly unique: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly lockOwner: string;
  readonly since: Timespec;
}
