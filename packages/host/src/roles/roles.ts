/**
 * What a glusterfs process can be besides a mount, by `--process-name`. A role gets the prepared host, brings its
 * service up and returns; its code is loaded only when asked for.
 */
import type { Host } from '../host.ts';

export type Role = (host: Host) => Promise<void>;

export const roles: Readonly<Record<string, () => Promise<Role>>> = {
  rebalance: async () => (await import('./rebalance.ts')).rebalanceRole,
  glustershd: async () => (await import('./heal-daemon.ts')).healDaemonRole,
};

/** A graph without FUSE: a volfile whose top is a server, or that a test drives. */
export const graphRole = async (): Promise<Role> => (await import('./graph-only.ts')).graphOnly;
