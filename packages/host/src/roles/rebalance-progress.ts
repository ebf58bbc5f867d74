/**
 * What a rebalance process leaves in a file: how far it was, once a second, for the one that goes on when it was killed; at its end what it came
 * to, for whoever asks when it is gone (docs/management.md).
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Clock, Log } from '@mortar/core';
import type { RebalanceStatus } from '@mortar/xlators/cluster/distribute/rebalance.ts';
import { z } from 'zod';

const everyMs = 1000;
const count = z.number().int().min(0);
const progressSchema = z.object({
  state: z.enum(['running', 'completed', 'stopped', 'failed']),
  movedFiles: count,
  movedBytes: count,
  scanned: count,
  failures: count,
  skipped: count,
  seconds: count,
});

export class ProgressFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Of the process before, which was killed at its work; undefined: there was none. */
  before(): RebalanceStatus | undefined {
    try {
      const found = progressSchema.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      return found.state === 'running' ? found : undefined;
    } catch {
      // Nothing, or nothing that can be read: then what it did is not known.
      return undefined;
    }
  }

  write(status: RebalanceStatus): void {
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, JSON.stringify(status), { mode: 0o600 });
    renameSync(temporary, this.#path);
  }

  /** Until it is ended. What cannot be written is no reason to end the work. */
  keep({ clock, log }: { clock: Clock; log: Log }, status: () => RebalanceStatus): { end(): void } {
    let failed = false;
    const write = () => {
      try {
        this.write({ ...status(), state: 'running' });
        failed = false;
      } catch (error) {
        if (!failed) log.write('WARNING', 'rebalance', `how far it is cannot be kept: ${(error as Error).message}`);
        failed = true;
      }
    };
    const next = () => {
      write();
      timer = clock.after(everyMs, next);
    };
    let timer = clock.after(everyMs, next);
    write();
    return { end: () => timer.cancel() };
  }
}
