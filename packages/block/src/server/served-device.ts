/** A device that is served: measured, paused and limited, for any number of connections. */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Metrics } from '@mortar/core';
import type { DeviceConfig } from '../config/device-config.ts';
import type { BlockDevice } from '../device/device.ts';
import { Limiter } from '../device/limits.ts';
import { PausableDevice } from '../device/pause.ts';
import { MeasuredDevice } from '../device/statistics.ts';
import type { Client } from '../nbd/exports.ts';

export class ServedDevice {
  readonly name: string;
  readonly device: PausableDevice;
  /** What it was made of: another one is another device. */
  readonly composition: unknown;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  #config: DeviceConfig;
  readonly #limiter: Limiter;
  /** Connections that have it open. */
  users = 0;

  constructor(config: DeviceConfig, composition: unknown, device: BlockDevice, clock: Clock, metrics: Metrics) {
    this.name = config.name;
    this.composition = composition;
    this.device = new PausableDevice(device);
    this.#clock = clock;
    this.#metrics = metrics;
    this.#config = config;
    this.#limiter = new Limiter(clock, config.limits, config.clientLimits);
    if (config.isPaused) void this.device.pause();
  }

  get config(): DeviceConfig {
    return this.#config;
  }

  get waiting(): number {
    return this.#limiter.waiting;
  }

  /** Another description or other clients, for connections from now on; limits and pauses for all. */
  configure(config: DeviceConfig): void {
    const { limits, clientLimits, isPaused } = config;
    if (!isDeepStrictEqual([limits, clientLimits], [this.#config.limits, this.#config.clientLimits]))
      this.#limiter.change(limits, clientLimits);
    if (isPaused && !this.device.isPaused) void this.device.pause();
    else if (!isPaused && this.device.isPaused) this.device.resume();
    this.#config = config;
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
    return new MeasuredDevice(this.#limiter.share(this.device), this.name, this.#clock, this.#metrics);
  }
}
