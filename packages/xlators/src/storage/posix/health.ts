/** Writes a small file now and then, and reads it back: a disk that cannot do that is gone. */
import { open } from 'node:fs/promises';
import type { Clock, Timer } from '@mortar/core';

export interface HealthSettings {
  intervalSec: number;
  timeoutSec: number;
}

const twoDigits = (n: number) => String(n).padStart(2, '0');

/** `2026-11-20 20:50:56 +0000` */
export function healthStamp(sec: number): string {
  const t = new Date(sec * 1000);
  const date = [t.getUTCFullYear(), twoDigits(t.getUTCMonth() + 1), twoDigits(t.getUTCDate())].join('-');
  return `${date} ${[t.getUTCHours(), t.getUTCMinutes(), t.getUTCSeconds()].map(twoDigits).join(':')} +0000`;
}

export class HealthCheck {
  readonly #path: string;
  readonly #clock: Clock;
  #settings: HealthSettings;
  readonly #failed: (why: string) => void;
  readonly #relieve: () => void;
  #timer: Timer | null = null;
  #stopped = false;
  #checking = false;

  /** `relieve` gives up descriptors: that there is none left says nothing about the disk. */
  constructor(
    path: string,
    clock: Clock,
    settings: HealthSettings,
    failed: (why: string) => void,
    relieve: () => void = () => {},
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#settings = settings;
    this.#failed = failed;
    this.#relieve = relieve;
  }

  start(): void {
    if (this.#settings.intervalSec === 0 || this.#stopped) return;
    this.#timer = this.#clock.after(this.#settings.intervalSec * 1000, () => void this.#round());
  }

  /** A changed interval counts from now; a check that is under way ends by the old ones. */
  reconfigure(settings: HealthSettings): void {
    const same = settings.intervalSec === this.#settings.intervalSec;
    this.#settings = settings;
    if (same || this.#checking) return;
    this.#timer?.cancel();
    this.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #round(): Promise<void> {
    this.#checking = true;
    const why = await this.check();
    this.#checking = false;
    if (this.#stopped) return;
    if (why === null) return this.start();
    this.#stopped = true;
    this.#failed(why);
  }

  /** Null, or what is wrong. */
  async check(): Promise<string | null> {
    const { timeoutSec } = this.#settings;
    const work = this.#verdict();
    if (timeoutSec === 0) return work;
    let timer: Timer | undefined;
    const late = new Promise<string>((resolve) => {
      timer = this.#clock.after(timeoutSec * 1000, () => resolve(`no answer from the disk in ${timeoutSec} seconds`));
    });
    const result = await Promise.race([work, late]);
    timer?.cancel();
    return result;
  }

  async #verdict(): Promise<string | null> {
    for (let tries = 0; ; tries++) {
      try {
        await this.#write();
        return null;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        // A full disk works: what is on it is served, and what is removed makes room.
        if (code === 'ENOSPC' || code === 'EDQUOT') return null;
        if (code !== 'EMFILE' && code !== 'ENFILE') return message;
        if (tries > 0) return null;
        this.#relieve();
      }
    }
  }

  async #write(): Promise<void> {
    const stamp = healthStamp(this.#clock.wall().sec);
    const file = await open(this.#path, 'w+', 0o600);
    try {
      await file.write(stamp, 0);
      await file.datasync();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
      const found = buffer.toString('latin1', 0, bytesRead);
      if (found !== stamp) throw new Error(`wrote '${stamp}', read back '${found}'`);
    } finally {
      await file.close();
    }
  }
}
