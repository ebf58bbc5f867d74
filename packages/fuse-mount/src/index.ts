/** A volume's graph as a mounted file system. */
import type { GraphEvent, Services, Subvolume } from '@mortar/core';
import {
  FuseDevice,
  MountError,
  mountDevice,
  ProcGroups,
  resolveMountPoint,
  setReadAhead,
  unmountDevice,
} from './device/index.ts';
import { type MountOptions, problemOf } from './options.ts';
import { invalidateByUpcall } from './session/invalidate.ts';
import { defaultSessionOptions, type SessionOptions } from './session/options.ts';
import { Session } from './session/session.ts';
import type { PendingRequest, SessionStats } from './session/stats.ts';

export { MountError } from './device/index.ts';
export * from './options.ts';
export type { SessionOptions } from './session/options.ts';
export type { PendingRequest, SessionStats } from './session/stats.ts';

export interface MountFuse {
  mountPoint: string;
  /** As the mount table shows it: `host:/volume`. */
  source: string;
  /** From `parseMountOptions`; absent: all by default. */
  options?: MountOptions;
  services: Services;
  /** Owner of fds and locks on the bricks. */
  clientId: string;
  /** The graph's entry, if it is ready; requests wait for `setGraph` else. */
  top?: Subvolume;
  /** Overrides for tests and benchmarks. */
  session?: Partial<SessionOptions>;
}

export interface FuseMount {
  readonly mountPoint: string;
  /** Serves from `top` from now on; resolves when the graph before is no longer used and may be stopped. */
  setGraph(top: Subvolume): Promise<void>;
  /** Drops what the kernel caches about a file that another client changed. */
  upcall(event: Extract<GraphEvent, { type: 'upcall' }>): void;
  /** `lazy` (default): out of sight at once, over when the last user has gone. Else EBUSY while in use. */
  unmount(how?: { lazy?: boolean }): Promise<void>;
  /** Resolves when the mount has ended, by whomever; with the error if it failed. */
  readonly closed: Promise<Error | undefined>;
  readonly stats: SessionStats;
  /** Requests that have not been answered yet. */
  pending(): PendingRequest[];
}

/** Groups of a caller are looked up again after this, unless `gid-timeout` says otherwise. */
const groupsKeptMs = 2000;

function sessionOptions(options: MountOptions | undefined): SessionOptions {
  return { ...defaultSessionOptions, ...options?.session };
}

/** Mounts; resolves when the kernel has agreed on the protocol. Throws MountError with nothing left behind. */
export async function mountFuse(given: MountFuse): Promise<FuseMount> {
  const { source, services, clientId, top, options } = given;
  const mountPoint = resolveMountPoint(given.mountPoint);
  const settings = { ...sessionOptions(options), ...given.session };
  const problem = problemOf(settings, options?.kernelFlags ?? []);
  if (problem !== undefined) throw new MountError('EINVAL', `cannot mount ${source} on ${mountPoint}: ${problem}`);
  const fd = await mountDevice({
    mountPoint,
    source,
    subtype: 'glusterfs',
    maxRead: settings.maxWrite,
    flags: options?.kernelFlags ?? [],
    extra: options?.kernelOptions ?? [],
  });
  const device = new FuseDevice(fd, settings.maxWrite);
  const groups = new ProcGroups(services.clock, options?.gidTimeoutMs ?? groupsKeptMs);
  const session = new Session(device, services, settings, clientId, groups);
  session.onRelief = () => device.resume();
  session.onAnswered = () => device.answered();
  if (top) void session.setGraph(top);
  const { promise: closed, resolve: close } = promiseWithResolvers<Error | undefined>();
  const accepted = new Promise<boolean>((resolve) => {
    session.onInit = resolve;
    void closed.then(() => resolve(false));
  });
  await device.start({
    request: (bytes, length) => session.receive(bytes, length),
    ready: () => !session.saturated,
    turn: () => session.turn(),
    settled: () => session.settled,
    ended: (error) => {
      session.end();
      close(error);
    },
  });
  if (!(await accepted)) {
    device.close();
    await unmountDevice(mountPoint, true).catch(() => undefined);
    throw new MountError('EPROTO', `cannot mount ${source} on ${mountPoint}: the kernel's FUSE protocol does not fit`);
  }
  if (!setReadAhead(mountPoint, settings.maxReadahead / 1024))
    services.log.write('DEBUG', 'fuse', `read-ahead of ${mountPoint} stays at the kernel's default`);
  return {
    mountPoint,
    closed,
    setGraph: (next) => session.setGraph(next),
    upcall: (event) => invalidateByUpcall(session, event),
    pending: () => session.pending(),
    unmount: async ({ lazy = true } = {}) => {
      await unmountDevice(mountPoint, lazy);
      if (!lazy) await closed;
    },
    get stats() {
      return session.stats;
    },
  };
}

function promiseWithResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
