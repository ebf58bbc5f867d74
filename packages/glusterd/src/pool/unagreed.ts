/**
 * Processes that another node had started here for a change that is not agreed on yet: bricks, and those that move files. If
 * it dies before that, nobody takes them back, and no document tells of them: so this node does, some time after the
 * connection of who asked has ended.
 */
import type { Timer } from '@mortar/core/ports.ts';
import type { ManagementCaller } from '@mortar/rpc';
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export type UnagreedCaller = Pick<ManagementCaller, 'onClose'>;

export interface Unagreed {
  /** One process of this node. */
  readonly what: string;
  readonly volume: string;
  /** Whether the documents want it by now. */
  isAgreed(): boolean;
  end(): Promise<void>;
}

interface Asked {
  readonly processes: Map<string, Unagreed>;
  isClosed: boolean;
}

/** What was agreed on at the last moment has come by then; if not, its coming starts the process again. */
const graceMs = 3000;

export function unagreedBrick({ store, supervisor }: Context, volume: VolumeInfo, brick: BrickInfo): Unagreed {
  const isSame = (one: BrickInfo) => one.hostUuid === brick.hostUuid && one.path === brick.path;
  return {
    what: `brick ${brick.host}:${brick.path}`,
    volume: volume.name,
    isAgreed: () => {
      const now = store.state.volumes.get(volume.name);
      return now?.status === 'started' && now.bricks.some(isSame);
    },
    end: () => supervisor.stopBrick(volume, brick),
  };
}

export function unagreedTask({ store, rebalances }: Context, volume: VolumeInfo): Unagreed {
  return {
    what: `the rebalance of ${volume.name}`,
    volume: volume.name,
    // Another one that runs by now has taken its place.
    isAgreed: () => store.state.volumes.get(volume.name)?.task?.state === 'running',
    end: () => rebalances.end(volume),
  };
}

export class UnagreedProcesses {
  readonly #context: Context;
  readonly #asked = new WeakMap<UnagreedCaller, Asked>();
  /** Of each process, who was the last to have it started. */
  readonly #latest = new Map<string, Asked>();
  readonly #timers = new Set<Timer>();
  #isClosed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Whether they run by now or not. */
  started(caller: UnagreedCaller, processes: readonly Unagreed[]): void {
    const asked = this.#of(caller);
    for (const one of asked.processes.values()) if (one.isAgreed()) this.#drop(asked, one);
    for (const one of processes) {
      if (one.isAgreed()) continue;
      asked.processes.set(one.what, one);
      this.#latest.set(one.what, asked);
    }
    if (asked.isClosed) this.#later(asked);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #of(caller: UnagreedCaller): Asked {
    const known = this.#asked.get(caller);
    if (known) return known;
    const asked: Asked = { processes: new Map(), isClosed: false };
    this.#asked.set(caller, asked);
    caller.onClose(() => {
      asked.isClosed = true;
      this.#later(asked);
    });
    return asked;
  }

  #later(asked: Asked): void {
    if (this.#isClosed || asked.processes.size === 0) return;
    const timer = this.#context.clock.after(graceMs, () => {
      this.#timers.delete(timer);
      void this.#look(asked);
    });
    this.#timers.add(timer);
  }

  async #look(asked: Asked): Promise<void> {
    const { locks, log } = this.#context;
    const busy = new Set(locks.holders().map(({ subject }) => subject));
    for (const one of [...asked.processes.values()]) {
      // This node's own operation sees to the processes of its volume.
      if (busy.has(one.volume) || busy.has('all')) continue;
      const isLatest = this.#latest.get(one.what) === asked;
      this.#drop(asked, one);
      if (!isLatest || one.isAgreed()) continue;
      log.write('WARNING', 'management', `ending ${one.what}: who had it started is gone`);
      await one
        .end()
        .catch((error: Error) => log.write('ERROR', 'management', `${one.what}: ${error.stack ?? error.message}`));
    }
    this.#later(asked);
  }

  #drop(asked: Asked, { what }: Unagreed): void {
    asked.processes.delete(what);
    if (this.#latest.get(what) === asked) this.#latest.delete(what);
  }
}
