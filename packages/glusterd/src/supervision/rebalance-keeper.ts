/**
 * This node's processes that move files, one for each volume with a task in which the node takes part: started, asked, stopped, and started
 * again when they die unasked. One that ended by itself has written its last status; what it was told to do stands in the volume's document.
 */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { nodesOf, nothingYet, shareOf } from '../operations/task-nodes.ts';
import { type TaskProgress, taskProgressSchema, type VolumeInfo, type VolumeTask } from '../volume.ts';
import { LookTimer } from './look-timer.ts';
import { type Note, RebalanceNotes } from './rebalance-notes.ts';
import { deathsWithinSeconds, RebalanceRestarts } from './rebalance-restarts.ts';
import { Turns } from './turns.ts';

const askMs = 8_000;
const stopMs = 110_000;
/** How long to wait for the document of the task that is to be started. */
const documentMs = 10_000;
const documentPollMs = 50;
const asksAfterPolls = 5;

/** A task of a volume in which this node takes part. */
interface Own {
  readonly volume: VolumeInfo;
  readonly task: VolumeTask;
  readonly known: TaskProgress;
}

export class RebalanceKeeper {
  readonly #contextOf: () => Context;
  readonly #timer: LookTimer;
  /** By volume: one thing after the other. */
  readonly #turns = new Turns();
  readonly #restarts = new RebalanceRestarts();
  /** Tasks that there is nothing to do for any more. */
  #told = new Set<string>();

  constructor(context: () => Context) {
    this.#contextOf = context;
    this.#timer = new LookTimer(
      () => this.#context.clock,
      () => this.look(),
    );
  }

  get #context(): Context {
    return this.#contextOf();
  }

  get #notes(): RebalanceNotes {
    const { files, directories } = this.#context;
    return new RebalanceNotes(files, directories);
  }

  /** From now on what dies is started again. */
  watch(): void {
    this.#timer.start();
  }

  close(): void {
    this.#timer.close();
  }

  /** Every task that runs has its process on this node. Failures are logged. */
  async look(): Promise<void> {
    const { volumes } = this.#context.store.state;
    const looks = [...volumes.keys()].map((name) =>
      this.#lookAt(name).catch((error: Error) => this.#log('ERROR', `rebalance of ${name}: ${error.message}`)),
    );
    await Promise.all(looks);
    const ids = new Set([...volumes.values()].map(({ task }) => task?.id));
    this.#told = new Set([...this.#told].filter((id) => ids.has(id)));
    this.#restarts.keepOnly(ids);
  }

  async #lookAt(name: string): Promise<void> {
    // What is under way for it may take minutes: the others must not wait for that.
    if (this.#own(name) && !this.#turns.has(name)) await this.#turns.take(name, () => this.#supervise(name));
  }

  /** Throws OperationError. Nothing happens if it runs already. */
  start(volume: VolumeInfo): Promise<void> {
    return this.#turns.take(volume.name, async () => {
      await this.#documentOf(volume);
      const { task } = volume;
      if (!task) throw new OperationError(`Volume ${volume.name} has no task`);
      const note = await this.#notes.last(volume.name);
      if (note?.id === task.id && !note.isStopped && (await this.#isAlive(volume))) return;
      await this.#begin(volume, task, { id: task.id, deaths: [] }, false);
    });
  }

  /** Bricks that leave must be known here when the process asks for its graph. */
  async #documentOf({ name, version }: VolumeInfo): Promise<void> {
    const { clock, store, pool } = this.#context;
    const endMs = clock.nowMs() + documentMs;
    for (let waits = 1; ; waits++) {
      const now = store.state.volumes.get(name);
      if (now && now.version >= version) return;
      if (clock.nowMs() > endMs) throw new OperationError(`the change of volume ${name} is not known here yet`);
      // It may have been decided while this node could not be reached.
      if (waits % asksAfterPolls === 0) await pool?.takeChanges();
      await clock.sleep(documentPollMs);
    }
  }

  async #begin(volume: VolumeInfo, task: VolumeTask, note: Note, isAgain: boolean): Promise<void> {
    const { supervisor } = this.#context;
    const share = shareOf(volume, Object.keys(task.nodes ?? {}), this.#node);
    await supervisor.startRebalance(volume, task, this.#node, { share, isAgain });
    await this.#notes.keep(volume.name, note);
    this.#restarts.began(task.id);
  }

  /** How far it is, or what it came to. */
  async status(volume: VolumeInfo, task: VolumeTask): Promise<TaskProgress> {
    const known = nodesOf(task, this.#node)[this.#node] ?? nothingYet;
    const note = await this.#notes.of(volume.name, task);
    if (!note) return known;
    if (await this.#isAlive(volume)) {
      const said = await this.#ask(volume, 'rebalance.status', askMs);
      if (said) return said;
    }
    const left = await this.#notes.status(volume.name);
    if (left && left.state !== 'running') return left;
    const { secondsLeft: _, ...last } = left ?? known;
    return { ...last, state: note.isStopped ? 'stopped' : 'running' };
  }

  /** Ends it after the files that it is at; resolves to what it did. */
  stop(volume: VolumeInfo, task: VolumeTask): Promise<TaskProgress> {
    return this.#turns.take(volume.name, async () => {
      const note = (await this.#notes.of(volume.name, task)) ?? { id: task.id, deaths: [] };
      // Should this end halfway: it is not to be started again.
      await this.#notes.keep(volume.name, { ...note, isStopped: true });
      const said = (await this.#isAlive(volume)) ? await this.#ask(volume, 'rebalance.stop', stopMs) : undefined;
      await this.#context.supervisor.endRebalance(volume, this.#node);
      const last = said ?? (await this.status(volume, task));
      return last.state === 'running' ? { ...last, state: 'stopped' } : last;
    });
  }

  /** Ends it at once: its task is over, or never began. */
  end(volume: VolumeInfo): Promise<void> {
    return this.#turns.take(volume.name, async () => {
      const note = await this.#notes.last(volume.name);
      if (note) await this.#notes.keep(volume.name, { ...note, isStopped: true });
      await this.#context.supervisor.endRebalance(volume, this.#node);
    });
  }

  // --- what dies ---

  async #supervise(name: string): Promise<void> {
    // While it waited for its turn the volume may have changed.
    const own = this.#own(name);
    if (!own) return;
    const { volume, task, known } = own;
    const isOver = known.state !== 'running';
    const note = await this.#notes.of(name, task);
    const left = note && (await this.#notes.status(name));
    if (note && left && left.state !== 'running') return this.#tell(own, note, left);
    if (isOver) this.#told.add(task.id);
    if (isOver) return;
    if (!note) return this.#startLate(own);
    if (note.isStopped || (await this.#isAlive(volume))) return;
    await this.#startAgain(own, note, left);
  }

  /** Who was to start it died before that. */
  async #startLate(own: Own): Promise<void> {
    const { task } = own;
    if (this.#restarts.isOverdue(task.id, this.#context.clock.nowMs()))
      await this.#beginOrDie(own, { id: task.id, deaths: [] }, undefined, false);
  }

  async #startAgain(own: Own, note: Note, left: TaskProgress | undefined): Promise<void> {
    const when = this.#restarts.due(own.task.id, this.#context.clock.nowMs());
    if (when === 'unknown') return this.#died(own, note, left);
    if (when === 'now') await this.#beginOrDie(own, note, left, true);
  }

  /** One that cannot be started has died. */
  async #beginOrDie(own: Own, note: Note, left: TaskProgress | undefined, isAgain: boolean): Promise<void> {
    const { volume, task } = own;
    try {
      await this.#begin(volume, task, note, isAgain);
      this.#log('INFO', `the rebalance process of ${volume.name} was started${isAgain ? ' again' : ''}`);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      await this.#died(own, note, left);
    }
  }

  async #died({ volume, task, known }: Own, note: Note, left: TaskProgress | undefined): Promise<void> {
    const { clock } = this.#context;
    const { deaths, pauseMs } = this.#restarts.died(task.id, note.deaths, clock.wall().sec, clock.nowMs());
    await this.#notes.keep(volume.name, { ...note, deaths });
    if (pauseMs !== undefined)
      return this.#log('WARNING', `the rebalance process of ${volume.name} died; again in ${pauseMs / 1000} s`);
    const { secondsLeft: _, ...last } = left ?? known;
    const reason = `the rebalance process died ${deaths.length} times in ${deathsWithinSeconds / 60} minutes`;
    const failed: TaskProgress = { ...last, state: 'failed', reason };
    await this.#notes.keepStatus(volume.name, failed);
    this.#log('ERROR', `${reason}: that of ${volume.name} is given up`);
  }

  /** Once. */
  async #tell({ volume, task }: Own, note: Note, left: TaskProgress): Promise<void> {
    this.#told.add(task.id);
    if (note.isTold) return;
    await this.#notes.keep(volume.name, { ...note, isTold: true });
    if (left.state === 'stopped') return;
    const { movedFiles: files, movedBytes: size, scanned: lookups, failures, skipped, seconds } = left;
    this.#context.events?.emit(left.state === 'failed' ? 'VOLUME_REBALANCE_FAILED' : 'VOLUME_REBALANCE_COMPLETE', {
      volume: volume.name,
      files,
      size,
      lookups,
      failures,
      skipped,
      time: seconds,
    });
  }

  // --- what it has ---

  get #node(): string {
    return this.#context.store.state.node.uuid;
  }

  #own(name: string): Own | undefined {
    const volume = this.#context.store.state.volumes.get(name);
    const { task } = volume ?? {};
    if (!volume || !task || this.#told.has(task.id)) return undefined;
    const known = nodesOf(task, this.#node)[this.#node];
    return known && { volume, task, known };
  }

  #isAlive(volume: VolumeInfo): Promise<boolean> {
    return this.#context.supervisor.isRebalancing(volume, this.#node);
  }

  async #ask(volume: VolumeInfo, method: string, timeoutMs: number): Promise<TaskProgress | undefined> {
    try {
      return taskProgressSchema.parse(await this.#context.supervisor.askRebalance(volume, method, timeoutMs));
    } catch (error) {
      this.#log('WARNING', `rebalance of ${volume.name}: ${(error as Error).message}`);
      return undefined;
    }
  }

  #log(level: 'ERROR' | 'WARNING' | 'INFO', text: string): void {
    this.#context.log.write(level, 'management', text);
  }
}
