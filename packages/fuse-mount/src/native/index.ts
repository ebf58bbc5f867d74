/** The mount by the package fuse-native (`--fuse-backend=fuse-native`): for where the other cannot be used. */
import { readFileSync } from 'node:fs';
import type { Timer } from '@mortar/core';
import { MountError, resolveMountPoint, unmountDevice } from '../device/index.ts';
import type { FuseMount, MountFuse } from '../index.ts';
import { mountedTypes } from '../mount-point.ts';
import { nativeFiles, type Operations } from './operations.ts';

/** What of the package is used. */
interface Package {
  new (
    mountPoint: string,
    operations: Operations,
    options: Readonly<Record<string, unknown>>,
  ): { mount(done: (error: Error | null) => void): void };
}

/** The package does not tell of the end of its mount: the mount table is looked at. */
const lookMs = 500;

async function load(): Promise<Package> {
  const name = 'fuse-native';
  try {
    return ((await import(name)) as { default: Package }).default;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new MountError('ENOENT', `fuse-backend 'fuse-native': ${reason}; it needs the package and libfuse2`);
  }
}

export async function mountNative({
  mountPoint: given,
  source,
  services,
  top,
  options,
}: MountFuse): Promise<FuseMount> {
  const Fuse = await load();
  const mountPoint = resolveMountPoint(given);
  const refused = [...(options?.kernelFlags ?? []), ...(options?.kernelOptions ?? [])];
  if (refused.length > 0)
    throw new MountError('EINVAL', `fuse-backend 'fuse-native' has no mount option ${refused.join(', ')}`);
  const files = nativeFiles(services, top);
  const fuse = new Fuse(mountPoint, files.operations, {
    // The package has no other way to say that writes may be larger than a page.
    fsname: `${source},subtype=glusterfs,big_writes`,
    timeout: false,
    defaultPermissions: true,
  });
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) =>
      error ? reject(new MountError('EMOUNT', `cannot mount ${source} on ${mountPoint}: ${error.message}`)) : resolve(),
    );
  });
  let timer: Timer | undefined;
  const closed = new Promise<Error | undefined>((resolve) => {
    const look = () => {
      if (mountedTypes(mountPoint, readFileSync('/proc/self/mounts', 'utf8')).length > 0) {
        timer = services.clock.after(lookMs, look);
        return;
      }
      files.end();
      resolve(undefined);
    };
    timer = services.clock.after(lookMs, look);
  });
  return {
    mountPoint,
    closed,
    setGraph: (next) => files.setTop(next),
    // The package cannot tell the kernel what to forget; it caches for a second.
    upcall: () => undefined,
    pending: () => [],
    async unmount({ lazy = true } = {}) {
      await unmountDevice(mountPoint, lazy);
      timer?.cancel();
    },
    get stats() {
      const { counts: requests, inFlight, handles } = files;
      return {
        requests: { ...requests },
        inFlight,
        handles,
        lockWaits: 0,
        nodes: 0,
        openNodes: 0,
        malformed: 0,
        exceptions: 0,
        undelivered: 0,
        locks: 0,
      };
    },
  };
}
