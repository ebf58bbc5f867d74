/**
 * This node's heal daemon: one process for all volumes that are to be healed here (docs/processes.md, The heal daemon). Started, told of its
 * volumes, recognised again, started again when it died unasked, ended when no volume is left.
 */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { healDaemonPidFile, healDaemonSocket } from '../paths.ts';
import { diedAt, pauseAfter } from './deaths.ts';
import { HealDaemonProcess, type RunningDaemon } from './heal-daemon-process.ts';
import { isServedOn } from './heal-wants.ts';
import { LookTimer } from './look-timer.ts';
import type { DaemonStarter, ProcessState } from './supervisor.ts';

/** More than the daemon takes for its answer. */
const serveTimeoutMs = 12_000;
/** So often in vain, and no socket to ask at: it is not one that is ending. */
const deafWithoutSocket = 4;

const servedAnswer = z.array(z.object({ volume: z.string(), error: z.string().nullable() }));

interface WantedVolume {
  readonly volume: string;
  readonly id: string;
  readonly pidFile: string;
}

export class HealDaemonKeeper {
  readonly #contextOf: () => Context;
  readonly #process: HealDaemonProcess;
  readonly #timer: LookTimer;
  #turn: Promise<unknown> = Promise.resolve();
  #coming: Promise<void> | undefined;
  /** It should run: it did, or could not be started. False: it was never needed, or was asked to end. */
  #isExpected = false;
  /** What a process was told last (`toldOf`). */
  #told = '';
  /** When it was found dead, lately. */
  #deathsMs: number[] = [];
  /** When one that died is started again; 0: none has. */
  #againMs = 0;
  /** How often it did not take its volumes, one time after the other, and when it is told again. */
  #deafTimes = 0;
  #tellAgainMs = 0;
  #hasEndedOthers = false;

  constructor(context: () => Context, starter: DaemonStarter) {
    this.#contextOf = context;
    this.#process = new HealDaemonProcess(context, starter);
    this.#timer = new LookTimer(
      () => this.#context.clock,
      () => this.look(),
    );
  }

  get #context(): Context {
    return this.#contextOf();
  }

  /** From now on what dies is started again. */
  watch(): void {
    this.#timer.start();
  }

  close(): void {
    this.#timer.close();
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
  state(volume: string): Promise<ProcessState> {
    return this.#process.state(volume);
  }

  /** One call, of a volume unless `params` has none; rejects if nobody answers in time. */
  ask(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const { processes, directories } = this.#context;
    return processes.ask(healDaemonSocket(directories), method, params, timeoutMs);
  }

  // --- what it is to be ---

  async #bring(): Promise<void> {
    if (this.#timer.isClosed) return;
    await this.#endOthers();
    const wanted = this.#wanted();
    if (wanted.length === 0) {
      this.#isExpected = false;
      await this.#process.end();
      return;
    }
    this.#isExpected = true;
    const running = (await this.#process.search()) ?? (await this.#start());
    if (running) await this.#tell(running, wanted);
  }

  #wanted(): WantedVolume[] {
    const { store, directories } = this.#context;
    return [...store.state.volumes.values()]
      .filter((volume) => isServedOn(store.state.node.uuid, volume))
      .map(({ name, id }) => ({ volume: name, id, pidFile: healDaemonPidFile(directories, name) }));
  }

  async #start(): Promise<RunningDaemon | null> {
    this.#againMs = 0;
    const running = await this.#process.start();
    if (typeof running !== 'string') return running;
    this.#died(`did not start: ${running}`);
    return null;
  }

  async #tell(running: RunningDaemon, wanted: readonly WantedVolume[]): Promise<void> {
    this.#told = '';
    try {
      const answer = servedAnswer.parse(await this.ask('heal.serve', { volumes: wanted }, serveTimeoutMs));
      for (const { volume, error } of answer)
        if (error !== null) this.#log('ERROR', `the heal daemon does not heal ${volume}: ${error}`);
      // By now it has its pid file again.
      this.#told = toldOf((await this.#process.find()) ?? running, wanted);
      this.#deafTimes = 0;
    } catch (error) {
      await this.#isDeaf(running, error as Error);
    }
  }

  async #isDeaf({ pid }: RunningDaemon, error: Error): Promise<void> {
    const pauseMs = pauseAfter(++this.#deafTimes);
    this.#tellAgainMs = this.#context.clock.nowMs() + pauseMs;
    const text = `the heal daemon (${pid}) does not take its volumes`;
    if (this.#deafTimes < deafWithoutSocket || (await this.#process.hasSocket()))
      return this.#log('ERROR', `${text}, told again in ${pauseMs / 1000} s: ${error.message}`);
    this.#log('ERROR', `${text}: its socket is gone. Another takes its place`);
    await this.#process.end();
    this.#deafTimes = 0;
    this.#againMs = this.#context.clock.nowMs();
  }

  /** Of the versions before, and what was started twice: once, before the first change. */
  async #endOthers(): Promise<void> {
    if (this.#hasEndedOthers) return;
    await this.#process.endFormer();
    await this.#process.endOthers();
    this.#hasEndedOthers = true;
  }

  // --- what dies ---

  async #look(): Promise<void> {
    if (!this.#isExpected) return;
    // One that is waited for is looked for everywhere only when it is started again.
    const running = await (this.#againMs === 0 ? this.#process.search() : this.#process.find());
    const nowMs = this.#context.clock.nowMs();
    if (running) {
      const isDeaf = this.#deafTimes > 0 && nowMs < this.#tellAgainMs;
      if (!isDeaf && this.#told !== toldOf(running, this.#wanted())) await this.#bring();
      return;
    }
    if (this.#againMs === 0) {
      if (!(await this.#process.hasLeftPidFile())) {
        this.#isExpected = false;
        this.#log('INFO', 'the heal daemon was asked to end by somebody else; the next change of a volume starts it');
      } else this.#died('died');
    } else if (nowMs >= this.#againMs) await this.#bring();
  }

  /** It is started again, later the more often that happens. */
  #died(how: string): void {
    const nowMs = this.#context.clock.nowMs();
    this.#deathsMs = diedAt(nowMs, this.#deathsMs);
    const pauseMs = pauseAfter(this.#deathsMs.length);
    this.#againMs = nowMs + pauseMs;
    this.#log('ERROR', `the heal daemon ${how}; again in ${pauseMs / 1000} s`);
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

/** Of which process, and whether it has its pid file: one that has lost it writes it anew when it is told. */
function toldOf({ pid, isNamed }: RunningDaemon, wanted: readonly WantedVolume[]): string {
  return [pid, isNamed, ...wanted.map(({ volume, id }) => `${volume}=${id}`)].join(' ');
}
