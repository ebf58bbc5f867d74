/** Bricks of this node that died are started again, unless their volume says otherwise (docs/processes.md, Bricks that die). */
import { parseBool } from '@mortar/core';
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { diedAt, pauseAfter } from './deaths.ts';
import { LookTimer } from './look-timer.ts';

/** So long somebody who kills a brick to see what comes of it has it away, and a disk that hangs is not asked again at once. */
const firstPauseMs = 10_000;

/** Of one brick. */
interface Deaths {
  /** When it was found dead, lately. */
  readonly atMs: readonly number[];
  /** When it is started again; 0: it has been. */
  againMs: number;
}

export class BrickKeeper {
  readonly #contextOf: () => Context;
  readonly #timer: LookTimer;
  /** By path. */
  readonly #deaths = new Map<string, Deaths>();

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

  /** From now on what dies is started again. */
  watch(): void {
    this.#timer.start();
  }

  close(): void {
    this.#timer.close();
  }

  /** Failures are logged. A brick that takes long to start keeps the others waiting no longer than its own start. */
  async look(): Promise<void> {
    const { store } = this.#context;
    const seen = new Set<string>();
    const looks: Promise<void>[] = [];
    for (const volume of store.state.volumes.values()) {
      if (!isWished(volume)) continue;
      for (const brick of volume.bricks) {
        if (brick.hostUuid !== store.state.node.uuid) continue;
        seen.add(brick.path);
        looks.push(
          this.#lookAt(volume, brick).catch((error: Error) => this.#log('ERROR', `${nameOf(brick)}: ${error.stack}`)),
        );
      }
    }
    for (const path of this.#deaths.keys()) if (!seen.has(path)) this.#deaths.delete(path);
    await Promise.all(looks);
  }

  async #lookAt(volume: VolumeInfo, brick: BrickInfo): Promise<void> {
    const { supervisor, clock } = this.#context;
    const deaths = this.#deaths.get(brick.path);
    if (!supervisor.isWanted(brick)) {
      this.#deaths.delete(brick.path);
      return;
    }
    const fate = await supervisor.fateOf(volume, brick);
    if (fate === 'runs') {
      if (deaths) deaths.againMs = 0;
    } else if (deaths && deaths.againMs !== 0) {
      if (clock.nowMs() >= deaths.againMs) await this.#restart(volume.name, brick, deaths);
    } else if (fate === 'died') this.#died(brick, 'died');
    else {
      supervisor.letGo(brick);
      this.#log('INFO', `${nameOf(brick)} was asked to end by somebody else; volume start force starts it`);
    }
  }

  async #restart(volume: string, brick: BrickInfo, deaths: Deaths): Promise<void> {
    const { store, supervisor } = this.#context;
    try {
      await supervisor.restartBrick(brick, () => store.state.volumes.get(volume));
      deaths.againMs = 0;
      this.#log('INFO', `${nameOf(brick)} was started again`);
    } catch (error) {
      this.#died(brick, `did not start: ${(error as Error).message}`);
    }
  }

  /** It is started again, later the more often that happens. */
  #died(brick: BrickInfo, how: string): void {
    const nowMs = this.#context.clock.nowMs();
    const atMs = diedAt(nowMs, this.#deaths.get(brick.path)?.atMs ?? []);
    const pauseMs = pauseAfter(atMs.length, firstPauseMs);
    this.#deaths.set(brick.path, { atMs, againMs: nowMs + pauseMs });
    this.#log('ERROR', `${nameOf(brick)} ${how}; again in ${pauseMs / 1000} s`);
  }

  #log(level: 'ERROR' | 'INFO', text: string): void {
    this.#context.log.write(level, 'management', text);
  }
}

function isWished({ status, options }: VolumeInfo): boolean {
  return status === 'started' && parseBool(options['cluster.brick-restart'] ?? 'on') === true;
}

function nameOf({ host, path }: BrickInfo): string {
  return `brick ${host}:${path}`;
}
