/**
 * This node's heal daemon: one process for all volumes that are to be healed here (docs/processes.md, The heal daemon). Started, told of its
 * volumes, recognised again, started again when it died unasked, ended when no volume is left.
 */
import type { Timer } from '@mortar/core/ports.ts';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { formerHealDaemonSocket, healDaemonPidFile, healDaemonSocket, nodeHealDaemonPidFile } from '../paths.ts';
import { healDaemonArguments, isFormerHealDaemon, isHealDaemon } from './brick-command.ts';
import { isServedOn } from './heal-wants.ts';
import { ProcessWatch, type Running, type Watched } from './process-watch.ts';
import type { DaemonStarter, ProcessState } from './supervisor.ts';

const startTimeoutMs = 60_000;
/** More than the daemon takes for its answer. */
const serveTimeoutMs = 12_000;
const lookMs = 1000;
const firstPauseMs = 1000;
const longestPauseMs = 60_000;
const deathsWithinMs = 600_000;

const servedAnswer = z.array(z.object({ volume: z.string(), error: z.string().nullable() }));

interface WantedVolume {
  readonly volume: string;
  readonly id: string;
  readonly pidFile: string;
}

export class HealDaemonKeeper {
  readonly #contextOf: () => Context;
  readonly #starter: DaemonStarter;
  #timer: Timer | null = null;
  #isClosed = false;
  #turn: Promise<unknown> = Promise.resolve();
  #coming: Promise<void> | undefined;
  /** It should run: it did, or could not be started. False: it was never needed, or was asked to end. */
  #isExpected = false;
  /** What a process was told last: its pid and the volumes. */
  #told = '';
  /** When it was found dead, lately. */
  #deathsMs: number[] = [];
  /** When one that died is started again; 0: none has. */
  #againMs = 0;
  /** How often it did not take its volumes, one time after the other, and when it is told again. */
  #deafTimes = 0;
  #tellAgainMs = 0;
  #hasEndedFormer = false;

  constructor(context: () => Context, starter: DaemonStarter) {
    this.#contextOf = context;
    this.#starter = starter;
  }

  get #context(): Context {
    return this.#contextOf();
  }

  /** From now on what dies is started again. */
  watch(): void {
    if (this.#isClosed) return;
    this.#timer = this.#context.clock.after(lookMs, () => {
      void this.look().finally(() => this.watch());
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** The daemon becomes what the volumes are when its turn comes. Failures are logged: no volume's change depends on it. */
  update(): Promise<void> {
    this.#coming ??= this.#inTurn(() => {
      this.#coming = undefined;
      return this.#bring();
    });
    return this.#coming;
  }

  /** Whether it lives and has heard of all volumes; else that is seen to, unless it was asked to end. */
  look(): Promise<void> {
    return this.#inTurn(() => this.#look());
  }

  /** Of a volume's daemon, as `volume status` shows it. */
  async state(volume: string): Promise<ProcessState> {
    const pidFile = healDaemonPidFile(this.#context.directories, volume);
    const running = await this.#watchOf().find({ ...this.#watched, pidFile });
    return { online: running !== null, pid: running?.pid ?? 0, port: 0 };
  }

  /** One call, of a volume unless `params` has none; rejects if nobody answers in time. */
  ask(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const { processes, directories } = this.#context;
    return processes.ask(healDaemonSocket(directories), method, params, timeoutMs);
  }

  // --- what it is to be ---

  async #bring(): Promise<void> {
    if (this.#isClosed) return;
    const watch = this.#watchOf();
    await this.#endFormer(watch);
    const wanted = this.#wanted();
    if (wanted.length === 0) {
      this.#isExpected = false;
      await watch.end(this.#watched);
      return;
    }
    this.#isExpected = true;
    const running = (await watch.find(this.#watched)) ?? (await this.#start(watch));
    if (running) await this.#tell(running, wanted);
  }

  #wanted(): WantedVolume[] {
    const { store, directories } = this.#context;
    return [...store.state.volumes.values()]
      .filter((volume) => isServedOn(store.state.node.uuid, volume))
      .map(({ name, id }) => ({ volume: name, id, pidFile: healDaemonPidFile(directories, name) }));
  }

  async #start(watch: ProcessWatch): Promise<Running | null> {
    const { files, processes, directories, store } = this.#context;
    this.#againMs = 0;
    // Nothing of ours lives: what a killed one left would keep this one from starting, should another program have its pid now.
    await files.remove(this.#watched.pidFile);
    await files.remove(healDaemonSocket(directories));
    const args = [
      ...healDaemonArguments(directories, store.state.node.uuid, this.#starter.server.host),
      ...this.#starter.logLevelArguments(),
      ...this.#starter.commonArguments(),
    ];
    const { exit, message } = await processes.run(this.#starter.program, args, startTimeoutMs);
    if (exit === 0) return watch.find(this.#watched);
    this.#died(`did not start: ${message}`);
    return null;
  }

  async #tell(running: Running, wanted: readonly WantedVolume[]): Promise<void> {
    this.#told = '';
    try {
      const answer = servedAnswer.parse(await this.ask('heal.serve', { volumes: wanted }, serveTimeoutMs));
      for (const { volume, error } of answer)
        if (error !== null) this.#log('ERROR', `the heal daemon does not heal ${volume}: ${error}`);
      this.#told = toldOf(running, wanted);
      this.#deafTimes = 0;
    } catch (error) {
      const pauseMs = pauseAfter(++this.#deafTimes);
      this.#tellAgainMs = this.#context.clock.nowMs() + pauseMs;
      const again = `told again in ${pauseMs / 1000} s`;
      this.#log(
        'ERROR',
        `the heal daemon (${running.pid}) does not take its volumes, ${again}: ${(error as Error).message}`,
      );
    }
  }

  /** Of the versions before, with one for each volume. */
  async #endFormer(watch: ProcessWatch): Promise<void> {
    if (this.#hasEndedFormer) return;
    const { files, directories } = this.#context;
    const names = await files.list(`${directories.run}/shd`);
    await Promise.all(
      names.map(async (name) => {
        const pidFile = healDaemonPidFile(directories, name);
        const former = { pidFile, recognises: (words: readonly string[]) => isFormerHealDaemon(words, name, pidFile) };
        const running = await watch.find(former);
        if (!running) return;
        await watch.end(former);
        await files.remove(formerHealDaemonSocket(directories, name));
        this.#log('INFO', `ended the heal daemon that ${name} had for itself (${running.pid})`);
      }),
    );
    this.#hasEndedFormer = true;
  }

  // --- what dies ---

  async #look(): Promise<void> {
    if (!this.#isExpected) return;
    const watch = this.#watchOf();
    const running = await watch.find(this.#watched);
    const nowMs = this.#context.clock.nowMs();
    if (running) {
      const isDeaf = this.#deafTimes > 0 && nowMs < this.#tellAgainMs;
      if (!isDeaf && this.#told !== toldOf(running, this.#wanted())) await this.#bring();
      return;
    }
    if (this.#againMs === 0) {
      if ((await this.#context.files.read(this.#watched.pidFile)) === null) {
        this.#isExpected = false;
        this.#log('INFO', 'the heal daemon was asked to end by somebody else; the next change of a volume starts it');
      } else this.#died('died');
    } else if (nowMs >= this.#againMs) await this.#bring();
  }

  /** It is started again, later the more often that happens. */
  #died(how: string): void {
    const nowMs = this.#context.clock.nowMs();
    this.#deathsMs = [...this.#deathsMs.filter((at) => nowMs - at < deathsWithinMs), nowMs].slice(-16);
    const pauseMs = pauseAfter(this.#deathsMs.length);
    this.#againMs = nowMs + pauseMs;
    this.#log('ERROR', `the heal daemon ${how}; again in ${pauseMs / 1000} s`);
  }

  // --- what it has ---

  get #watched(): Watched {
    const pidFile = nodeHealDaemonPidFile(this.#context.directories);
    return { pidFile, recognises: (words) => isHealDaemon(words, pidFile) };
  }

  #watchOf(): ProcessWatch {
    const { files, processes, clock } = this.#context;
    return new ProcessWatch(files, processes, clock);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const own = this.#turn.then(work).catch((error: Error) => this.#log('ERROR', `heal daemon: ${error.stack}`));
    this.#turn = own;
    return own;
  }

  #log(level: 'ERROR' | 'INFO', text: string): void {
    this.#context.log.write(level, 'management', text);
  }
}

function pauseAfter(times: number): number {
  return Math.min(firstPauseMs * 2 ** (times - 1), longestPauseMs);
}

function toldOf({ pid }: Running, wanted: readonly WantedVolume[]): string {
  return [pid, ...wanted.map(({ volume, id }) => `${volume}=${id}`)].join(' ');
}
