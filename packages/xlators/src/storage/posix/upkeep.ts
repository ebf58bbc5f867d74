/** What a brick needs done from time to time: the health check, the landfill, a look at how full the disk is, idle descriptors. */
import type { Services, Timer } from '@mortar/core';
import { HealthCheck, type HealthSettings } from './health.ts';
import { purge } from './landfill.ts';
import type { PosixOptions } from './settings.ts';
import { belowReserve } from './statfs.ts';
import type { PosixStore } from './store.ts';

const reserveCheckMs = 1000;
/** Objects deleted at a time, at most. */
const purgeStep = 64;
const purgeLongMs = 5;
/** A descriptor that is open only to be quick is closed when it was not used for so long, and at most twice so long. */
const idleMs = 5000;

function healthSettings(values: PosixOptions): HealthSettings {
  return { intervalSec: values['health-check-interval'], timeoutSec: values['health-check-timeout'] };
}

export class Upkeep {
  readonly #origin: string;
  readonly #services: Services;
  readonly #store: PosixStore;
  readonly #health: HealthCheck;
  #values: PosixOptions;
  #purgeStep = purgeStep;
  #janitor: Timer | null = null;
  #idle: Timer | null = null;
  #reserveCheckedMs = Number.NEGATIVE_INFINITY;

  /** `sick` is called once the disk has failed a check. */
  constructor(origin: string, services: Services, store: PosixStore, values: PosixOptions, sick: () => void) {
    this.#origin = origin;
    this.#services = services;
    this.#store = store;
    this.#values = values;
    const path = `${store.brick.settings.directory}/.glusterfs/health_check`;
    const failed = (why: string) => {
      services.log.write('CRITICAL', origin, `health-check failed, going down: ${why}`, 113075);
      sick();
    };
    const relieve = () => void store.brick.giveUpDescriptors();
    this.#health = new HealthCheck(path, services.clock, healthSettings(values), failed, relieve);
  }

  start(): void {
    this.#health.start();
    this.#purgeIn(0);
    this.#dropIdleLater();
  }

  stop(): void {
    this.#health.stop();
    this.#janitor?.cancel();
    this.#idle?.cancel();
  }

  reconfigure(values: PosixOptions): void {
    this.#values = values;
    this.#reserveCheckedMs = Number.NEGATIVE_INFINITY;
    this.#health.reconfigure(healthSettings(values));
    this.#janitor?.cancel();
    this.#purgeIn(0);
  }

  /** Before what may grow: at most once a second asks the disk how full it is. */
  checkReserve(): void {
    const now = this.#services.clock.nowMs();
    if (now - this.#reserveCheckedMs < reserveCheckMs) return;
    this.#reserveCheckedMs = now;
    const { brick } = this.#store;
    const full = belowReserve(brick);
    if (full !== brick.full)
      this.#services.log.write(
        'WARNING',
        this.#origin,
        full ? 'the disk is below its reserve' : 'the disk has space again',
      );
    brick.full = full;
  }

  /** So that a file removed by hand, or its file system, is not held for the sake of a read long ago. */
  #dropIdleLater(): void {
    this.#idle = this.#services.clock.after(idleMs, () => {
      this.#store.brick.anonymous.dropIdle();
      this.#dropIdleLater();
    });
  }

  #purgeIn(ms: number): void {
    if (this.#values['disable-landfill-purge']) return;
    this.#janitor = this.#services.clock.after(ms, () => {
      const { clock } = this.#services;
      const before = clock.nowMs();
      const more = purge(this.#store.brick, this.#purgeStep);
      const tookMs = clock.nowMs() - before;
      // Where the disk is slow: fewer at a time, and most of the time is left to others.
      this.#purgeStep =
        tookMs > purgeLongMs ? Math.max(1, this.#purgeStep >> 1) : Math.min(purgeStep, this.#purgeStep * 2);
      this.#purgeIn(more ? Math.max(1, 3 * tookMs) : this.#values['janitor-sleep-duration'] * 1000);
    });
  }
}
