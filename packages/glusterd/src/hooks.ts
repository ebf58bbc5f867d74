/** Scripts of the administrator around operations: `hooks/1/EVENT/{pre,post}/S*`, in order of their names. */
import type { Log } from '@mortar/core/ports.ts';
import type { Directories } from './paths.ts';
import type { Files, ProcessPort } from './ports.ts';

const timeoutMs = 60_000;

export class Hooks {
  readonly #files: Files;
  readonly #processes: ProcessPort;
  readonly #directories: Directories;
  readonly #log: Log;

  constructor(files: Files, processes: ProcessPort, directories: Directories, log: Log) {
    this.#files = files;
    this.#processes = processes;
    this.#directories = directories;
    this.#log = log;
  }

  /** A script that fails is logged and changes nothing: hooks observe. */
  async run(event: string, when: 'pre' | 'post', words: readonly string[]): Promise<void> {
    // What is said of a node is said of this one.
    const own = `--gd-workdir=${this.#directories.work}`;
    const args = words.map((word) => (word.startsWith('--gd-workdir=') ? own : word));
    const folder = `${this.#directories.work}/hooks/1/${event}/${when}`;
    const scripts = (await this.#files.list(folder)).filter((name) => name.startsWith('S'));
    for (const script of scripts) {
      const { exit, message } = await this.#processes.run(`${folder}/${script}`, args, timeoutMs);
      const level = exit === 0 ? 'INFO' : 'ERROR';
      const outcome = exit === 0 ? '' : `, exit status ${exit}: ${message}`;
      this.#log.write(level, 'management', `Ran script: ${folder}/${script} ${args.join(' ')}${outcome}`);
    }
  }
}
