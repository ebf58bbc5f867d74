/** A pool of devices on a volume. */
import { Errno } from '@mortar/core';
import type { DeviceSource, PoolConfig } from '../../config/device-config.ts';
import { attach } from '../../volume/attach.ts';
import { createDevice, findDevice, removeDevice, renameDevice } from '../../volume/catalog.ts';
import type { VolumeGraph } from '../../volume/graph.ts';
import type { VolumePool } from '../volume-pool.ts';
import { Refusal, refusalOfVolume } from './refusal.ts';
import type { Found, Storage } from './storage.ts';

type Place = Extract<PoolConfig['place'], { type: 'volume' }>;
const settleMs = 30_000;

export class VolumeStorage implements Storage {
  readonly #place: Place;
  readonly #volumes: VolumePool;
  readonly #owner: string;

  constructor(place: Place, volumes: VolumePool, owner: string) {
    this.#place = place;
    this.#volumes = volumes;
    this.#owner = owner;
  }

  async #with<T>(work: (graph: VolumeGraph) => Promise<T>): Promise<T> {
    let opened: Awaited<ReturnType<VolumePool['open']>>;
    try {
      opened = await this.#volumes.open(this.#place);
    } catch (error) {
      throw new Refusal(Errno.ENOTCONN, (error as Error).message, { cause: error });
    }
    try {
      return await work(opened.graph);
    } finally {
      await opened.release();
    }
  }

  async #find(graph: VolumeGraph, name: string): Promise<Found | null> {
    const found = await findDevice(graph, name);
    if (found.ok) return { sizeBytes: found.description.sizeBytes, id: found.gfid };
    if (found.errno === Errno.ENOENT) return null;
    throw refusalOfVolume(`'${name}' on volume ${this.#place.volume} cannot be looked up`, found.errno);
  }

  find(name: string): Promise<Found | null> {
    return this.#with((graph) => this.#find(graph, name));
  }

  make(name: string, sizeBytes: number): Promise<Found> {
    const what = `'${name}' cannot be made on volume ${this.#place.volume}`;
    return this.#with(async (graph) => {
      const made = await createDevice(graph, name, { sizeBytes, shardBytes: this.#place.shardBytes });
      if (!made.ok) throw refusalOfVolume(what, made.errno);
      const found = await this.#find(graph, name);
      if (!found) throw refusalOfVolume(what, Errno.ENOENT);
      return found;
    });
  }

  rename(from: string, to: string, id: string): Promise<void> {
    return this.#with(async (graph) => {
      const [before, after] = [await this.#find(graph, from), await this.#find(graph, to)];
      // Another server that offers it has renamed it.
      if (before?.id !== id && after?.id === id) return;
      const reply = await renameDevice(graph, from, to);
      if (!reply.ok) throw refusalOfVolume(`'${from}' cannot be renamed to '${to}'`, reply.errno);
    });
  }

  /** Nobody else may have it: who holds it shows life, and keeps it. */
  remove(name: string, id: string): Promise<void> {
    return this.#with(async (graph) => {
      const found = await this.#find(graph, name);
      // Another server that offered it has removed it.
      if (!found || found.id !== id) return;
      const { leaseMs } = this.#place;
      const what = `'${name}' cannot be removed from volume ${this.#place.volume}`;
      const attached = await attach(graph, found.id as never, { owner: this.#owner, force: false, leaseMs, settleMs });
      if (!attached.ok) {
        const why = attached.errno === Errno.EBUSY ? `${what}: another server has it open` : what;
        throw refusalOfVolume(why, attached.errno);
      }
      const removed = await removeDevice(graph, name, attached.attachment);
      if (!removed.ok) throw refusalOfVolume(what, removed.errno);
    });
  }

  source({ name }: { name: string }): DeviceSource {
    const { volume, servers, shardBytes, leaseMs } = this.#place;
    const fixed = { readOnly: false, createBytes: undefined, force: false };
    return { type: 'volume', volume, servers, device: name, shardBytes, leaseMs, ...fixed };
  }
}
