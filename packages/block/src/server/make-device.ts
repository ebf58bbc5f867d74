/** Makes devices from their configuration. */
import { constants, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Clock, errnoName } from '@mortar/core';
import { flock, LOCK_EX, LOCK_NB } from '@mortar/libc';
import type { DeviceSource } from '../config/device-config.ts';
import type { BlockDevice } from '../device/device.ts';
import { FileDevice } from '../device/file.ts';
import { DeviceError } from '../device/host-file.ts';
import { ConcatDevice, StripeDevice } from '../device/joined.ts';
import { MemoryDevice } from '../device/memory.ts';
import { createDevice, findDevice } from '../volume/catalog.ts';
import { VolumeDevice } from '../volume/volume-device.ts';
import type { VolumePool } from './volume-pool.ts';

/** A thin file of that size, unless there is one. An empty one was left by a crash: nobody can have written to it. */
async function create(path: string, sizeBytes: number): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found && !(found.isFile() && found.size === 0)) return;
  try {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      // Whoever has locked it is at it, or uses it already.
      if (flock(file.fd, LOCK_EX | LOCK_NB) < 0 || (await file.stat()).size > 0) return;
      await file.truncate(sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new DeviceError(`${path}: cannot be made: ${(error as Error).message}`, 'ECREATE', { cause: error });
  }
}

export interface MakingServices {
  readonly clock: Clock;
  readonly volumes: VolumePool;
  /** Who has the devices of volumes: this server. */
  readonly owner: string;
}

/** `member`: the device of that name. Throws DeviceError. */
export async function makeDevice(
  source: DeviceSource,
  services: MakingServices,
  member: (name: string) => Promise<BlockDevice>,
): Promise<BlockDevice> {
  const { clock } = services;
  switch (source.type) {
    case 'memory':
      return new MemoryDevice({ sizeBytes: source.sizeBytes, readOnly: source.readOnly });
    case 'file':
      if (source.createBytes !== undefined) await create(source.path, source.createBytes);
      return new FileDevice({ path: source.path, readOnly: source.readOnly, clock });
    case 'volume':
      return volumeDevice(source, services);
    case 'concat':
    case 'stripe': {
      const members: BlockDevice[] = [];
      try {
        for (const name of source.members) members.push(await member(name));
        return source.type === 'concat' ? new ConcatDevice(members) : new StripeDevice(members, source.unitBytes);
      } catch (error) {
        for (const one of members) await one.close();
        throw error;
      }
    }
  }
}

async function volumeDevice(
  source: Extract<DeviceSource, { type: 'volume' }>,
  { volumes, owner }: MakingServices,
): Promise<BlockDevice> {
  const { device: name, createBytes, shardBytes, readOnly, leaseMs, force } = source;
  const what = `${source.volume}: device ${name}`;
  const { graph, release } = await volumes.open(source);
  const failed = async (errno: number, text: string) => {
    await release();
    return new DeviceError(`${what} ${text}: ${errnoName(errno)}`, 'EVOLUME');
  };
  let found = await findDevice(graph, name);
  if (!found.ok && errnoName(found.errno) === 'ENOENT' && createBytes !== undefined) {
    const made = await createDevice(graph, name, { sizeBytes: createBytes, shardBytes });
    if (!made.ok && errnoName(made.errno) !== 'EEXIST') throw await failed(made.errno, 'cannot be made');
    found = await findDevice(graph, name);
  }
  if (!found.ok) throw await failed(found.errno, 'cannot be found');
  const device = new VolumeDevice({ graph, found, owner, readOnly, leaseMs, force });
  const close = device.close.bind(device);
  device.close = () => close().finally(release);
  return device;
}
