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
  readonly #settings: HealthSettings;
  readonly #failed: (why: string) => void;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(path: string, clock: Clock, settings: HealthSettings, failed: (why: string) => void) {
    this.#path = path;
    this.#clock = clock;
    this.#settings = settings;
    this.#failed = failed;
  }

  start(): void {
    if (this.#settings.intervalSec === 0 || this.#stopped) return;
    this.#timer = this.#clock.after(this.#settings.intervalSec * 1000, () => void this.#round());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #round(): Promise<void> {
    const why = await this.check();
    if (this.#stopped) return;
    if (why === null) this.start();
    else this.#failed(why);
  }

  /** Null, or what is wrong. */
  async check(): Promise<string | null> {
    const { timeoutSec } = this.#settings;
    const work = this.#write().then(
      () => null,
      (error: Error) => error.message,
    );
    if (timeoutSec === 0) return work;
    let timer: Timer | undefined;
    const late = new Promise<string>((resolve) => {
      timer = this.#clock.after(timeoutSec * 1000, () => resolve(`no answer from the disk in ${timeoutSec} seconds`));
    });
    const result = await Promise.race([work, late]);
    timer?.cancel();
    return result;
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
