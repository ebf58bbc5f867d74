/** What a brick needs done from time to time: the health check, the landfill, a look at how full the disk is. */
import type { Services, Timer } from '@mortar/core';
import { HealthCheck } from './health.ts';
import { purge } from './landfill.ts';
import type { PosixOptions } from './settings.ts';
import { belowReserve } from './statfs.ts';
import type { PosixStore } from './store.ts';

const reserveCheckMs = 1000;
/** Objects deleted at a time. */
const purgeStep = 64;

export class Upkeep {
  readonly #origin: string;
  readonly #services: Services;
  readonly #store: PosixStore;
  readonly #health: HealthCheck;
  #values: PosixOptions;
  #janitor: Timer | null = null;
  #reserveCheckedMs = Number.NEGATIVE_INFINITY;

  /** `sick` is called once the disk has failed a check. */
  constructor(origin: string, services: Services, store: PosixStore, values: PosixOptions, sick: () => void) {
    this.#origin = origin;
    this.#services = services;
    this.#store = store;
    this.#values = values;
    const path = `${store.brick.settings.directory}/.glusterfs/health_check`;
    const times = { intervalSec: values['health-check-interval'], timeoutSec: values['health-check-timeout'] };
    this.#health = new HealthCheck(path, services.clock, times, (why) => {
      services.log.write('CRITICAL', origin, `health-check failed, going down: ${why}`, 113075);
      sick();
    });
  }

  start(): void {
    this.#health.start();
    this.#purgeIn(0);
  }

  stop(): void {
    this.#health.stop();
    this.#janitor?.cancel();
  }

  reconfigure(values: PosixOptions): void {
    this.#values = values;
    this.#reserveCheckedMs = Number.NEGATIVE_INFINITY;
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

  #purgeIn(ms: number): void {
    if (this.#values['disable-landfill-purge']) return;
    this.#janitor = this.#services.clock.after(ms, () => {
      const more = purge(this.#store.brick, purgeStep);
      this.#purgeIn(more ? 1 : this.#values['janitor-sleep-duration'] * 1000);
    });
  }
}
