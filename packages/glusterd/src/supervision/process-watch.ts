/** One supervised process: found by its pid file, recognised by its command line, ended in good order. */
import type { Clock } from '@mortar/core/ports.ts';
import type { Files, ProcessPort } from '../ports.ts';

/** After this long a process that was asked to end is ended. */
const patienceMs = 5000;
const pollMs = 50;

export interface Watched {
  pidFile: string;
  /** Whether a command line is the process's. */
  recognises(words: readonly string[]): boolean;
}

export interface Running {
  pid: number;
  words: readonly string[];
}

export class ProcessWatch {
  readonly #files: Files;
  readonly #processes: ProcessPort;
  readonly #clock: Clock;

  constructor(files: Files, processes: ProcessPort, clock: Clock) {
    this.#files = files;
    this.#processes = processes;
    this.#clock = clock;
  }

  /** The live process of the pid file, or null. A pid that is another program's now, or a zombie, counts as dead. */
  async find(watched: Watched): Promise<Running | null> {
    const text = await this.#files.read(watched.pidFile);
    const pid = Number(text?.trim());
    if (!Number.isInteger(pid) || pid <= 1) return null;
    const words = await this.#processes.commandLine(pid);
    return words && watched.recognises(words) ? { pid, words } : null;
  }

  /** SIGTERM, some seconds, SIGKILL. Resolves when the process is gone. */
  async end(watched: Watched): Promise<void> {
    const running = await this.find(watched);
    if (running) {
      this.#processes.signal(running.pid, 'SIGTERM');
      if (!(await this.#gone(watched, running.pid, patienceMs))) {
        this.#processes.signal(running.pid, 'SIGKILL');
        await this.#gone(watched, running.pid, patienceMs);
      }
    }
    await this.#files.remove(watched.pidFile);
  }

  async #gone(watched: Watched, pid: number, limitMs: number): Promise<boolean> {
    for (let waited = 0; waited <= limitMs; waited += pollMs) {
      const words = await this.#processes.commandLine(pid);
      if (!words || !watched.recognises(words)) return true;
      await this.#clock.sleep(pollMs);
    }
    return false;
  }
}
