/** A device that is served: measured, paused and limited, for any number of connections. */
import type { Clock, Metrics } from '@mortar/core';
import type { DeviceConfig } from '../config/server-config.ts';
import type { BlockDevice } from '../device/device.ts';
import { Limiter, type Limits } from '../device/limits.ts';
import { PausableDevice } from '../device/pause.ts';
import { MeasuredDevice } from '../device/statistics.ts';
import type { Client } from '../nbd/exports.ts';

const isEmpty = (limits: Limits) => Object.keys(limits).length === 0;

export class ServedDevice {
  readonly name: string;
  readonly device: PausableDevice;
  /** What it was made of: another one is another device. */
  readonly composition: unknown;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  #config: DeviceConfig;
  #limiter: Limiter | null = null;
  /** Connections that have it open. */
  users = 0;

  constructor(config: DeviceConfig, composition: unknown, device: BlockDevice, clock: Clock, metrics: Metrics) {
    this.name = config.name;
    this.composition = composition;
    this.device = new PausableDevice(device);
    this.#clock = clock;
    this.#metrics = metrics;
    this.#config = config;
    this.configure(config);
  }

  get config(): DeviceConfig {
    return this.#config;
  }

  get waiting(): number {
    return this.#limiter?.waiting ?? 0;
  }

  /** Another description, other clients or limits: for connections from now on. */
  configure(config: DeviceConfig): void {
    this.#config = config;
    const { limits, clientLimits } = config;
    this.#limiter = isEmpty(limits) && isEmpty(clientLimits) ? null : new Limiter(this.#clock, limits);
  }

  /** Whoever can reach root's socket is root. */
  admits({ identity, isLocalRoot }: Client): boolean {
    const { clients } = this.#config;
    return clients === undefined || isLocalRoot || (identity !== null && clients.includes(identity));
  }

  /** A connection has done with it; after the last one another server may have it. */
  leave(): void {
    if (--this.users === 0) void this.device.rest();
  }

  /** For one connection. */
  view(): BlockDevice {
    const { clientLimits } = this.#config;
    const limited = this.#limiter?.share(this.device, isEmpty(clientLimits) ? undefined : clientLimits) ?? this.device;
    return new MeasuredDevice(limited, this.name, this.#clock, this.#metrics);
  }
}
