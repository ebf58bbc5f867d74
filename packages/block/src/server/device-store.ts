/** The devices of a server: opened from its configuration, changed with it, given to connections by name. */

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Log, Metrics, Random } from '@mortar/core';
import type { DeviceConfig } from '../config/device-config.ts';
import type { ServerConfig } from '../config/server-config.ts';
import type { BlockDevice } from '../device/device.ts';
import type { Client, ExportInfo, ExportSource, OpenExport } from '../nbd/exports.ts';
import { makeDevice } from './make-device.ts';
import { ServedDevice } from './served-device.ts';
import { VolumePool } from './volume-pool.ts';

export interface StoreServices {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly random: Random;
}

const origin = 'devices';

export class DeviceStore implements ExportSource {
  readonly #services: StoreServices;
  readonly #devices = new Map<string, ServedDevice>();
  #namespace = '';
  #owner = '';
  readonly volumes: VolumePool;

  constructor(services: StoreServices) {
    this.#services = services;
    const { clock, log, random } = services;
    this.volumes = new VolumePool({ clock, log, random });
  }

  get devices(): readonly ServedDevice[] {
    return [...this.#devices.values()];
  }

  /**
   * Brings the devices to what the configuration says. `release` ends the connections of a device that goes or becomes another
   * one. A device that cannot be opened is told in the answer; the others are served.
   */
  async configure(config: ServerConfig, release: (device: string) => Promise<void>): Promise<readonly Error[]> {
    this.#namespace = config.namespace.name;
    this.#owner = `${config.namespace.name}/${config.server.name}`;
    const wanted = new Map(config.devices.map((device) => [device.name, device]));
    for (const served of this.devices) {
      const next = wanted.get(served.name);
      const composition = next && compositionOf(next, wanted);
      if (next && !next.isMember && isDeepStrictEqual(composition, served.composition)) {
        served.configure(next);
        continue;
      }
      // Nobody finds it any more while its connections end.
      this.#devices.delete(served.name);
      await release(served.name);
      await served.device.close();
      this.#services.log.write('INFO', origin, `device ${served.name} is no longer served`);
    }
    const failures: Error[] = [];
    for (const device of config.devices) {
      if (device.isMember || this.#devices.has(device.name)) continue;
      try {
        await this.#open(device, wanted);
      } catch (error) {
        failures.push(new Error(`device ${device.name}: ${(error as Error).message}`, { cause: error }));
      }
    }
    return failures;
  }

  async #open(config: DeviceConfig, all: ReadonlyMap<string, DeviceConfig>): Promise<void> {
    const { clock, log, metrics } = this.#services;
    const { volumes } = this;
    const owner = this.#owner;
    const make = (one: DeviceConfig): Promise<BlockDevice> =>
      makeDevice(one.source, { clock, volumes, owner }, (name) => make(all.get(name)!));
    const served = new ServedDevice(config, compositionOf(config, all), await make(config), clock, metrics);
    this.#devices.set(config.name, served);
    log.write('INFO', origin, `device ${config.name}: ${config.source.type}, ${served.device.sizeBytes} bytes`);
  }

  /** Of a device that nobody has open: nobody finds it any more, until it is configured again. */
  async withdraw(name: string): Promise<void> {
    const served = this.#devices.get(name);
    if (!served) return;
    assert(served.users === 0, `device ${name} is in use`);
    this.#devices.delete(name);
    await served.device.close();
  }

  async close(): Promise<void> {
    for (const served of this.devices) {
      this.#devices.delete(served.name);
      await served.device.close();
    }
  }

  list(client: Client): readonly ExportInfo[] {
    return this.devices.filter((served) => served.admits(client)).map(infoOf);
  }

  find(name: string, client: Client): ExportInfo | null {
    const served = this.#find(name, client);
    return served ? infoOf(served) : null;
  }

  open(name: string, client: Client): OpenExport | null {
    const served = this.#find(name, client);
    if (!served) return null;
    served.users++;
    return { ...infoOf(served), device: served.view(), release: () => served.leave() };
  }

  /** `DEVICE` or `NAMESPACE/DEVICE`; without a name the only device that the client may use. */
  #find(name: string, client: Client): ServedDevice | null {
    if (name === '') {
      const [only, ...more] = this.devices.filter((served) => served.admits(client));
      return more.length === 0 ? (only ?? null) : null;
    }
    const prefix = `${this.#namespace}/`;
    const served = this.#devices.get(name.startsWith(prefix) ? name.slice(prefix.length) : name);
    return served?.admits(client) ? served : null;
  }
}

function infoOf(served: ServedDevice): ExportInfo {
  const { name, config, device } = served;
  return { name, description: config.description, device, mayResize: config.mayResize, isPaused: config.isPaused };
}

/** What a device is made of, with all that its members are made of. */
function compositionOf({ source }: DeviceConfig, all: ReadonlyMap<string, DeviceConfig>): unknown {
  if (!('members' in source)) return source;
  return { ...source, members: source.members.map((name) => compositionOf(all.get(name)!, all)) };
}
