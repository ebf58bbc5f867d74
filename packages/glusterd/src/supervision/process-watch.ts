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
    return this.at(Number(text?.trim()), watched);
  }

  /**
   * As `find`; without the pid file (somebody has tidied up) also among all processes that have this folder and name that file. It gets its pid
   * file again: another process beside it would do the same work.
   */
  async seek(watched: Watched, folder: string): Promise<Running | null> {
    const named = await this.find(watched);
    if (named) return named;
    const isIt = (words: readonly string[]) => watched.recognises(words) && words.includes(watched.pidFile);
    const [found] = await this.#processes.search(folder, isIt);
    if (found) await this.#files.write(watched.pidFile, `${found.pid}\n`);
    return found ?? null;
  }

  /** The process with this pid, if it lives and is the one. */
  async at(pid: number, watched: Watched): Promise<Running | null> {
    if (!Number.isInteger(pid) || pid <= 1) return null;
    const words = await this.#processes.commandLine(pid);
    return words && watched.recognises(words) ? { pid, words } : null;
  }

  /** SIGTERM, some seconds, SIGKILL. Resolves when the process is gone. */
  async end(watched: Watched): Promise<void> {
    const running = await this.find(watched);
    if (running) await this.stop(running, watched);
    await this.#files.remove(watched.pidFile);
  }

  /** As `end`, whatever the pid file says, which stays. */
  async stop({ pid }: Running, watched: Watched): Promise<void> {
    this.#processes.signal(pid, 'SIGTERM');
    if (await this.#gone(watched, pid, patienceMs)) return;
    this.#processes.signal(pid, 'SIGKILL');
    await this.#gone(watched, pid, patienceMs);
  }

  async #gone(watched: Watched, pid: number, limitMs: number): Promise<boolean> {
    for (let waited = 0; waited <= limitMs; waited += pollMs) {
      if (!(await this.at(pid, watched))) return true;
      await this.#clock.sleep(pollMs);
    }
    return false;
  }
}
