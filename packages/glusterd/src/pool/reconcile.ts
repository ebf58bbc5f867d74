/** After learning of changes: the processes of this node become what the documents say, and watchers are told. */
import type { Context } from '../context.ts';
import type { State } from '../store/documents.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export class Reconciler {
  readonly #context: Context;
  #seen: State;
  #running: Promise<void> = Promise.resolve();

  constructor(context: Context) {
    this.#context = context;
    this.#seen = context.store.state;
  }

  /** One after the other; failures are logged, the rest goes on. `own`: volumes whose processes an operation sees to. */
  run(own: ReadonlySet<string>): Promise<void> {
    // An operation's own change must not be looked at later, when it is no longer known as such.
    const now = this.#context.store.state;
    this.#running = this.#running.then(() => this.#step(now, own));
    return this.#running;
  }

  async #step(now: State, own: ReadonlySet<string>): Promise<void> {
    const { volfiles, log } = this.#context;
    const before = this.#seen;
    this.#seen = now;
    const names = new Set([...before.volumes.keys(), ...now.volumes.keys()]);
    const changed = [...names].filter((name) => !own.has(name) && before.volumes.get(name) !== now.volumes.get(name));
    await Promise.all(
      changed.map((name) =>
        this.#volume(before.volumes.get(name), now.volumes.get(name)).catch((error: Error) =>
          log.write('ERROR', 'management', `volume ${name}: ${error.stack ?? error.message}`),
        ),
      ),
    );
    // New bricks run by now, as far as this node can see to it. Operations tell watchers themselves, in their time.
    if (own.size === 0) volfiles.publish();
  }

  async #volume(before: VolumeInfo | undefined, now: VolumeInfo | undefined): Promise<void> {
    const { supervisor, healDaemon, rebalances, store, files, directories } = this.#context;
    const { uuid } = store.state.node;
    const own = (volume: VolumeInfo | undefined) => volume?.bricks.filter((brick) => brick.hostUuid === uuid) ?? [];
    const isIn = (bricks: readonly BrickInfo[], { host, path }: BrickInfo) =>
      bricks.some((brick) => brick.host === host && brick.path === path);
    const wanted = now?.status === 'started' ? own(now) : [];
    const goesOnRunning = now?.status === 'started' && !wasStopped(before, now);
    if (before) {
      const ended = own(before).filter((brick) => !goesOnRunning || !isIn(wanted, brick));
      // Of a volume that goes on: watchers are told below, and its clients leave the brick before it ends.
      if (goesOnRunning) for (const brick of ended) this.#retire(before, brick);
      else await Promise.all(ended.map((brick) => supervisor.stopBrick(before, brick)));
      if (!now) await healDaemon.update();
      const goesOn = now?.task?.state === 'running' && now.task.id === before.task?.id;
      if (before.task?.state === 'running' && !goesOn) await rebalances.end(before);
    }
    if (!now) {
      for (const kind of ['vols', 'shd']) await files.remove(`${directories.run}/${kind}/${before!.name}`);
      return;
    }
    // One that ended by itself or was ended stays so; only what is wanted anew is started.
    const already = before?.status === 'started' && goesOnRunning ? own(before) : [];
    await Promise.all(wanted.filter((brick) => !isIn(already, brick)).map((brick) => this.#start(now, brick)));
    await healDaemon.update();
  }

  #retire(volume: VolumeInfo, brick: BrickInfo): void {
    const { supervisor, log } = this.#context;
    supervisor
      .retireBrick(volume, brick)
      .catch((error: Error) =>
        log.write('ERROR', 'management', `brick ${brick.host}:${brick.path}: ${error.stack ?? error.message}`),
      );
  }

  async #start(volume: VolumeInfo, brick: BrickInfo): Promise<void> {
    const { supervisor, log } = this.#context;
    try {
      await supervisor.startBrick(volume, brick);
    } catch (error) {
      log.write('ERROR', 'management', `brick ${brick.host}:${brick.path}: ${(error as Error).message}`);
    }
  }
}

/** And started again: this node was away, and its bricks are those of before. */
function wasStopped(before: VolumeInfo | undefined, { startedVersion }: VolumeInfo): boolean {
  return before?.status === 'started' && startedVersion > 0 && startedVersion !== before.startedVersion;
}
