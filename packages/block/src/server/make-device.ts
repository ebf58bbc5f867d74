/** Makes devices from their configuration. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Clock } from '@mortar/core';
import type { DeviceSource } from '../config/server-config.ts';
import type { BlockDevice } from '../device/device.ts';
import { FileDevice } from '../device/file.ts';
import { DeviceError } from '../device/host-file.ts';
import { ConcatDevice, StripeDevice } from '../device/joined.ts';
import { MemoryDevice } from '../device/memory.ts';

/** A thin file of that size, unless there is one. */
async function create(path: string, sizeBytes: number): Promise<void> {
  if (existsSync(path)) return;
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new DeviceError(`${path}: cannot be made: ${(error as Error).message}`, 'ECREATE', { cause: error });
  }
}

/** `member`: the device of that name. Throws DeviceError. */
export async function makeDevice(
  source: DeviceSource,
  clock: Clock,
  member: (name: string) => Promise<BlockDevice>,
): Promise<BlockDevice> {
  switch (source.type) {
    case 'memory':
      return new MemoryDevice({ sizeBytes: source.sizeBytes, readOnly: source.readOnly });
    case 'file':
      if (source.createBytes !== undefined) await create(source.path, source.createBytes);
      return new FileDevice({ path: source.path, readOnly: source.readOnly, clock });
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
