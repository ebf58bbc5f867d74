/** What is attached, as the NBD endpoint of this machine offers it: `NAMESPACE/DEVICE`. */
import type { Clock, Metrics } from '@mortar/core';
import type { NamedNode } from '../attach/local-nodes.ts';
import type { BlockDevice } from '../device/device.ts';
import { MeasuredDevice } from '../device/statistics.ts';
import type { Client, ExportInfo, ExportSource, OpenExport } from '../nbd/exports.ts';
import type { RemoteDevice } from '../rsio/client/remote-device.ts';

export interface Attached {
  readonly namespace: string;
  readonly name: string;
  /** Null: it is awaited, for an earlier run of this daemon had it attached and its users are still there. */
  remote: RemoteDevice | null;
  /** What its users are served: the same, or what stands for it, counted. */
  readonly served: BlockDevice;
  node: NamedNode | null;
  /** Connections of the endpoint. */
  users: number;
}

export class AttachedDevices implements ExportSource {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #all = new Map<string, Attached>();

  constructor(clock: Clock, metrics: Metrics) {
    this.#clock = clock;
    this.#metrics = metrics;
  }

  get all(): readonly Attached[] {
    return [...this.#all.values()];
  }

  get(namespace: string, name: string): Attached | undefined {
    return this.#all.get(`${namespace}/${name}`);
  }

  /** `remote` null: `device` stands for it until it is there. */
  add(namespace: string, name: string, device: BlockDevice, remote: RemoteDevice | null): Attached {
    const full = `${namespace}/${name}`;
    const served = new MeasuredDevice(device, full, this.#clock, this.#metrics);
    const attached = { namespace, name, remote, served, node: null, users: 0 };
    this.#all.set(full, attached);
    return attached;
  }

  remove({ namespace, name }: Attached): void {
    this.#all.delete(`${namespace}/${name}`);
  }

  list(_client: Client): readonly ExportInfo[] {
    return this.all.map((one) => infoOf(one));
  }

  find(name: string): ExportInfo | null {
    const found = this.#find(name);
    return found ? infoOf(found) : null;
  }

  open(name: string): OpenExport | null {
    const found = this.#find(name);
    if (!found) return null;
    found.users++;
    return { ...infoOf(found), release: () => void found.users-- };
  }

  #find(name: string): Attached | null {
    if (name === '') return this.#all.size === 1 ? (this.all[0] ?? null) : null;
    const same = this.all.filter((one) => one.name === name);
    return this.#all.get(name) ?? (same.length === 1 ? same[0]! : null);
  }
}

function infoOf({ namespace, name, served }: Attached): ExportInfo {
  return { name: `${namespace}/${name}`, description: '', device: served, mayResize: true };
}
