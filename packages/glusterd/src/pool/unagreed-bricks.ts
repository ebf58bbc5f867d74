/**
 * Bricks that another node had started here for a change that is not agreed on yet. If it dies before that, nobody takes
 * them back, and no document tells of them: so this node does, some time after the connection of who asked has ended.
 */

import type { Timer } from '@mortar/core/ports.ts';
import type { ManagementCaller } from '@mortar/rpc';
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export type BrickCaller = Pick<ManagementCaller, 'onClose'>;

interface Started {
  readonly volume: VolumeInfo;
  readonly brick: BrickInfo;
}

interface Asked {
  /** By their directories. */
  readonly bricks: Map<string, Started>;
  isClosed: boolean;
}

/** What was agreed on at the last moment has come by then; if not, its coming starts the brick again. */
const graceMs = 3000;

export class UnagreedBricks {
  readonly #context: Context;
  readonly #asked = new WeakMap<BrickCaller, Asked>();
  /** By its directory, who was the last to have a brick started. */
  readonly #latest = new Map<string, Asked>();
  readonly #timers = new Set<Timer>();
  #isClosed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** `bricks`: those of this node, whether they run by now or not. */
  started(caller: BrickCaller, volume: VolumeInfo, bricks: readonly BrickInfo[]): void {
    const asked = this.#of(caller);
    for (const [path, started] of asked.bricks) if (this.#isAgreed(started)) this.#drop(asked, path);
    for (const brick of bricks) {
      if (this.#isAgreed({ volume, brick })) continue;
      asked.bricks.set(brick.path, { volume, brick });
      this.#latest.set(brick.path, asked);
    }
    if (asked.isClosed) this.#later(asked);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #of(caller: BrickCaller): Asked {
    const known = this.#asked.get(caller);
    if (known) return known;
    const asked: Asked = { bricks: new Map(), isClosed: false };
    this.#asked.set(caller, asked);
    caller.onClose(() => {
      asked.isClosed = true;
      this.#later(asked);
    });
    return asked;
  }

  #later(asked: Asked): void {
    if (this.#isClosed || asked.bricks.size === 0) return;
    const timer = this.#context.clock.after(graceMs, () => {
      this.#timers.delete(timer);
      void this.#look(asked);
    });
    this.#timers.add(timer);
  }

  async #look(asked: Asked): Promise<void> {
    const { locks, supervisor, log } = this.#context;
    const busy = new Set(locks.holders().map(({ subject }) => subject));
    for (const [path, { volume, brick }] of [...asked.bricks]) {
      // This node's own operation sees to the bricks of its volume.
      if (busy.has(volume.name) || busy.has('all')) continue;
      const isLatest = this.#latest.get(path) === asked;
      this.#drop(asked, path);
      if (!isLatest || this.#isAgreed({ volume, brick })) continue;
      log.write('WARNING', 'management', `ending brick ${brick.host}:${path}: who had it started is gone`);
      await supervisor
        .stopBrick(volume, brick)
        .catch((error: Error) => log.write('ERROR', 'management', `brick ${brick.host}:${path}: ${error.message}`));
    }
    this.#later(asked);
  }

  #drop(asked: Asked, path: string): void {
    asked.bricks.delete(path);
    if (this.#latest.get(path) === asked) this.#latest.delete(path);
  }

  #isAgreed({ volume, brick }: Started): boolean {
    const now = this.#context.store.state.volumes.get(volume.name);
    const isSame = (one: BrickInfo) => one.hostUuid === brick.hostUuid && one.path === brick.path;
    return now?.status === 'started' && now.bricks.some(isSame);
  }
}
