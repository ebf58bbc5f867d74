/** Where the devices of a pool are: files of a directory, or devices of a volume. All of it throws Refusals. */
import type { DeviceSource, PoolConfig } from '../../config/device-config.ts';
import type { VolumePool } from '../volume-pool.ts';
import { FileStorage } from './file-storage.ts';
import type { MadeDevice } from './ledger.ts';
import { VolumeStorage } from './volume-storage.ts';

export interface Found {
  readonly sizeBytes: number;
  /** What stays the same when it is renamed; empty: nothing does. */
  readonly id: string;
}

export interface Storage {
  /** Null: there is none. */
  find(name: string): Promise<Found | null>;
  /** EEXIST: there is something of that name. */
  make(name: string, sizeBytes: number): Promise<Found>;
  /** Done already is done. */
  rename(from: string, to: string, id: string): Promise<void>;
  remove(name: string, id: string): Promise<void>;
  source(device: MadeDevice): DeviceSource;
}

export function storageOf({ name, place }: PoolConfig, volumes: VolumePool, owner: string): Storage {
  return place.type === 'file' ? new FileStorage(name, place.path) : new VolumeStorage(place, volumes, owner);
}
