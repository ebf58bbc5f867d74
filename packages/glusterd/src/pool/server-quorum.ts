/** A node that reaches too few members serves no bricks of volumes that want it so (docs/pool.md). */
import type { Timer } from '@mortar/core/ports.ts';
import type { Context } from '../context.ts';
import type { VolumeInfo } from '../volume.ts';

/** Connections that come back so soon were never missed: a glusterd that is started anew stops no bricks. */
const settleMs = 5000;

export interface Reached {
  /** Members, this node included. */
  readonly members: number;
  /** Those of them that are connected, and this node. */
  readonly reached: number;
}

export class ServerQuorum {
  readonly #context: Context;
  readonly #count: () => Reached;
  /** Volumes whose bricks were ended for want of a quorum. */
  readonly #stopped = new Set<string>();
  /** Volumes whose bricks this glusterd has not started, since it does not reach enough members yet. */
  readonly #awaited = new Set<string>();
  #timer: Timer | null = null;
  #isClosed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(context: Context, count: () => Reached) {
    this.#context = context;
    this.#count = count;
  }

  /** Whether a volume may be changed and served by this node now. */
  isMetFor({ options }: VolumeInfo): boolean {
    if (options['cluster.server-quorum-type'] !== 'server') return true;
    const { members, reached } = this.#count();
    return members < 2 || reached >= needed(members, this.#ratio());
  }

  /** For a glusterd that is started anew; if not, it starts them as soon as it reaches enough. */
  mayStart(volume: VolumeInfo): boolean {
    const isMet = this.isMetFor(volume);
    if (!isMet) this.#awaited.add(volume.name);
    return isMet;
  }

  #ratio(): string | undefined {
    return this.#context.store.state.globals.options['cluster.server-quorum-ratio'];
  }

  /** Members came or went, or options changed: looks when that has settled. */
  look(): void {
    if (this.#isClosed) return;
    if (this.#awaited.size > 0) this.#running = this.#running.then(() => this.#startAwaited());
    this.#timer ??= this.#context.clock.after(settleMs, () => {
      this.#timer = null;
      this.#running = this.#running.then(() => this.#act());
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  async #startAwaited(): Promise<void> {
    const { store, supervisor, log } = this.#context;
    for (const name of [...this.#awaited]) {
      const volume = store.state.volumes.get(name);
      if (volume?.status === 'started' && !this.isMetFor(volume)) continue;
      this.#awaited.delete(name);
      if (volume?.status !== 'started' || this.#isClosed) continue;
      for (const brick of volume.bricks.filter(({ hostUuid }) => hostUuid === store.state.node.uuid))
        await supervisor
          .startBrick(volume, brick)
          .catch((error: Error) => log.write('ERROR', 'management', `quorum of ${name}: ${error.message}`));
    }
  }

  async #act(): Promise<void> {
    const { store, log } = this.#context;
    for (const name of this.#stopped) if (!store.state.volumes.has(name)) this.#stopped.delete(name);
    for (const volume of store.state.volumes.values()) {
      try {
        await this.#actOn(volume);
      } catch (error) {
        log.write('ERROR', 'management', `quorum of ${volume.name}: ${(error as Error).message}`);
      }
    }
  }

  async #actOn(volume: VolumeInfo): Promise<void> {
    const { store, supervisor, log, events } = this.#context;
    const own = volume.bricks.filter((brick) => brick.hostUuid === store.state.node.uuid);
    const isMet = this.isMetFor(volume);
    if (volume.status !== 'started') {
      this.#stopped.delete(volume.name);
    } else if (isMet && this.#stopped.delete(volume.name)) {
      log.write('INFO', 'management', `server quorum of ${volume.name} is regained: its bricks are started`);
      events?.emit('QUORUM_REGAINED', { volume: volume.name });
      await Promise.all(own.map((brick) => supervisor.startBrick(volume, brick)));
    } else if (!isMet && !this.#stopped.has(volume.name)) {
      log.write('CRITICAL', 'management', `server quorum of ${volume.name} is lost: its bricks here are stopped`);
      events?.emit('QUORUM_LOST', { volume: volume.name });
      this.#stopped.add(volume.name);
      this.#awaited.delete(volume.name);
      await Promise.all(own.map((brick) => supervisor.stopBrick(volume, brick)));
    }
  }
}

/** How many of so many members; `ratio` is `51%` or `51`, by default it is more than half. */
export function needed(members: number, ratio: string | undefined): number {
  const percent = ratio === undefined ? Number.NaN : Number.parseFloat(ratio);
  return Number.isFinite(percent) ? Math.ceil((members * percent) / 100) : Math.floor(members / 2) + 1;
}
