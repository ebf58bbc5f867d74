/**
 * The process of this node's heal daemon: found, started, ended. A pid file is soon gone (somebody tidies up the run directory), and a second daemon
 * would heal beside the first; so it is known by its pid as well, and by its command line among all processes.
 */
import type { Context } from '../context.ts';
import { formerHealDaemonSocket, healDaemonPidFile, healDaemonSocket, nodeHealDaemonPidFile } from '../paths.ts';
import { healDaemonArguments, isFormerHealDaemon, isHealDaemon } from './brick-command.ts';
import { ProcessWatch, type Running, type Watched } from './process-watch.ts';
import type { DaemonStarter, ProcessState } from './supervisor.ts';

const startTimeoutMs = 60_000;

export interface RunningDaemon extends Running {
  /** Whether its pid file says so, too. */
  readonly isNamed: boolean;
}

export class HealDaemonProcess {
  readonly #contextOf: () => Context;
  readonly #starter: DaemonStarter;
  /** Of the one that was found last. */
  #pid = 0;

  constructor(context: () => Context, starter: DaemonStarter) {
    this.#contextOf = context;
    this.#starter = starter;
  }

  get #context(): Context {
    return this.#contextOf();
  }

  /** The one that was known before, as long as it lives: one that is started beside it may have its pid file for a moment. Else that of the pid file. */
  async find(): Promise<RunningDaemon | null> {
    const named = await this.#watch.find(this.#watched);
    const running = (await this.#watch.at(this.#pid, this.#watched)) ?? named;
    this.#pid = running?.pid ?? 0;
    return running && { ...running, isNamed: named?.pid === running.pid };
  }

  /** As `find`, and among all processes if that finds none. */
  async search(): Promise<RunningDaemon | null> {
    const known = await this.find();
    if (known) return known;
    const [first] = await this.#all();
    if (!first) return null;
    this.#log(`the heal daemon (${first.pid}) has lost its pid file`);
    this.#pid = first.pid;
    return { ...first, isNamed: false };
  }

  /** One remains: two of them would crawl and heal the same files. */
  async endOthers(): Promise<void> {
    const one = await this.search();
    for (const other of await this.#all()) {
      if (other.pid === one?.pid) continue;
      this.#log(`ends a second heal daemon (${other.pid}) beside the one with pid ${one?.pid}`);
      await this.#watch.stop(other, this.#watched);
    }
  }

  /** Resolves to the daemon, or to why there is none. */
  async start(): Promise<RunningDaemon | string> {
    const { files, processes, directories, store } = this.#context;
    // Nothing of ours lives: what a killed one left would keep this one from starting, should another program have its pid now.
    await files.remove(this.#watched.pidFile);
    await files.remove(healDaemonSocket(directories));
    const args = [
      ...healDaemonArguments(directories, store.state.node.uuid, this.#starter.server.host),
      ...this.#starter.logLevelArguments(),
      ...this.#starter.commonArguments(),
    ];
    const { exit, message } = await processes.run(this.#starter.program, args, startTimeoutMs);
    if (exit !== 0) return message;
    return (await this.find()) ?? 'it ended at once';
  }

  async end(): Promise<void> {
    const running = await this.search();
    if (running) await this.#watch.stop(running, this.#watched);
    await this.#context.files.remove(this.#watched.pidFile);
    this.#pid = 0;
  }

  /** Of the versions before, with one for each volume. */
  async endFormer(): Promise<void> {
    const { files, directories } = this.#context;
    const names = await files.list(`${directories.run}/shd`);
    await Promise.all(
      names.map(async (name) => {
        const pidFile = healDaemonPidFile(directories, name);
        const former = { pidFile, recognises: (words: readonly string[]) => isFormerHealDaemon(words, name, pidFile) };
        const running = await this.#watch.find(former);
        if (!running) return;
        await this.#watch.end(former);
        await files.remove(formerHealDaemonSocket(directories, name));
        this.#log(`ended the heal daemon that ${name} had for itself (${running.pid})`);
      }),
    );
  }

  /** Of a volume's daemon, as `volume status` shows it. */
  async state(volume: string): Promise<ProcessState> {
    const pidFile = healDaemonPidFile(this.#context.directories, volume);
    const running = await this.#watch.find({ ...this.#watched, pidFile });
    return { online: running !== null, pid: running?.pid ?? 0, port: 0 };
  }

  /** Whether it left its pid file: nobody asked it to end. */
  async hasLeftPidFile(): Promise<boolean> {
    return (await this.#context.files.read(this.#watched.pidFile)) !== null;
  }

  /** Whether there is something to ask it at. */
  async hasSocket(): Promise<boolean> {
    const { files, directories } = this.#context;
    const names = await files.list(directories.run);
    return names.some((name) => `${directories.run}/${name}` === healDaemonSocket(directories));
  }

  get #watched(): Watched {
    const pidFile = nodeHealDaemonPidFile(this.#context.directories);
    return { pidFile, recognises: (words) => isHealDaemon(words, pidFile) };
  }

  get #watch(): ProcessWatch {
    const { files, processes, clock } = this.#context;
    return new ProcessWatch(files, processes, clock);
  }

  #all(): Promise<Running[]> {
    const { processes, directories } = this.#context;
    return processes.search(directories.run, (words) => this.#watched.recognises(words));
  }

  #log(text: string): void {
    this.#context.log.write('INFO', 'management', text);
  }
}
