import type { BackingSource } from './passthrough.ts';

/** What a session must know of the mount's options. Times in seconds. */
export interface SessionOptions {
  entryTimeout: number;
  attributeTimeout: number;
  negativeTimeout: number;
  /** `enable`: every open bypasses the page cache; else only those with O_DIRECT. */
  directIo: 'auto' | 'enable' | 'disable';
  acl: boolean;
  selinux: boolean;
  /** Whether `security.capability` is looked for on bricks. */
  capability: boolean;
  keepCache: boolean;
  shortInodeNumbers: boolean;
  writebackCache: boolean;
  readdirplus: boolean;
  autoInvalidation: boolean;
  /** Nodes beyond which the kernel is asked to forget; 0: it knows best. */
  lruLimit: number;
  /** Requests in flight, lock waits aside; beyond it the device is not read. */
  maxInFlight: number;
  maxLockWaits: number;
  /** How long requests wait for the first graph, in ms. */
  graphWaitMs: number;
  maxBackground: number;
  congestionThreshold: number;
  timeGranularityNs: number;
  maxWrite: number;
  maxReadahead: number;
  /** Root stays root on bricks that squash it. */
  noRootSquash: boolean;
  /** Which files the kernel may read by itself. Absent: none, and passthrough is not asked for. */
  backings?: BackingSource;
}

export const defaultSessionOptions: SessionOptions = {
  entryTimeout: 1,
  attributeTimeout: 1,
  negativeTimeout: 0,
  directIo: 'auto',
  acl: false,
  selinux: false,
  capability: false,
  keepCache: false,
  shortInodeNumbers: false,
  writebackCache: false,
  readdirplus: true,
  autoInvalidation: true,
  lruLimit: 0,
  maxInFlight: 4096,
  maxLockWaits: 4096,
  graphWaitMs: 60_000,
  maxBackground: 64,
  congestionThreshold: 48,
  timeGranularityNs: 1,
  maxWrite: 1024 * 1024,
  maxReadahead: 1024 * 1024,
  noRootSquash: false,
};
