/** What goes wrong while a distributed volume grows and shrinks: for a while. */
import type { SimBrick, World } from '../sim/brick.ts';
import type { DiskMood } from '../sim/disk-mood.ts';
import { Nemesis } from '../sim/nemesis.ts';
import type { FaultKind, Plan } from './plan.ts';
import type { VolumeProcess } from './process.ts';

/** Longer than bricks keep others waiting for a mover. */
const pauseMostMs = 15_000;

export class VolumeNemesis extends Nemesis<FaultKind> {
  readonly #faultsMs: number;
  readonly #bricks: readonly SimBrick[];
  readonly #moods: readonly DiskMood[];
  /** All there are, the latest mover last. */
  readonly #processes: readonly VolumeProcess[];
  #endMs = 0;
  #killed = 0;

  constructor(
    world: World,
    plan: Plan,
    bricks: readonly SimBrick[],
    moods: readonly DiskMood[],
    processes: readonly VolumeProcess[],
  ) {
    super(world, plan);
    this.#faultsMs = plan.faultsMs;
    this.#bricks = bricks;
    this.#moods = moods;
    this.#processes = processes;
  }

  override get mayStrike(): boolean {
    return this.world.scheduler.nowMs < this.#endMs;
  }

  override start(): void {
    this.#endMs = this.world.scheduler.nowMs + this.#faultsMs;
    super.start();
  }

  /** Nothing goes wrong any more. */
  end(): void {
    this.#endMs = Number.NEGATIVE_INFINITY;
    this.calm();
  }

  #alive(kind: 'mover' | 'client' | 'any'): VolumeProcess | undefined {
    const fits = ({ name, isAlive }: VolumeProcess) =>
      isAlive && (kind === 'any' ? name !== 'verifier' : name.startsWith(kind));
    const all = this.#processes.filter(fits);
    return all.length > 0 ? this.random.pick(all) : undefined;
  }

  protected readonly strikes: Readonly<Record<FaultKind, () => void>> = {
    cut: () => {
      const remotes = [...(this.#alive('any')?.remotes ?? [])];
      if (remotes.length > 0) this.cut(this.random.pick(remotes));
    },
    'brick-kill': () => this.#crashBrick(this.random.pick(this.#bricks)),
    'slow-disk': () => this.#slow(this.random.integer(this.#bricks.length)),
    pause: () => this.#pause(this.#alive('any')),
    'mover-kill': () => this.#kill(this.#alive('mover')),
    'mover-pause': () => this.#pause(this.#alive('mover')),
    'client-kill': () => {
      // One survives, to have somebody who tells.
      const left = this.#processes.filter(({ name, isAlive }) => isAlive && name.startsWith('client'));
      if (left.length > 1 && this.#killed++ < 1) this.#kill(this.#alive('client'));
    },
  };

  #kill(process: VolumeProcess | undefined): void {
    if (!process) return;
    this.say(`${process.name} is killed`);
    process.kill();
  }

  #pause(process: VolumeProcess | undefined): void {
    if (!process) return;
    const ms = this.random.between(0, this.random.pick([300, pauseMostMs]));
    this.say(`${process.name} is paused for ${ms.toFixed(0)} ms`);
    process.node.pause(ms);
    for (const remote of process.remotes) this.brickMisses(remote, () => process.node.isPaused);
  }

  #crashBrick(brick: SimBrick): void {
    if (!brick.isUp) return;
    brick.crash(false);
    for (const process of this.#processes)
      for (const remote of process.remotes) {
        const { connection } = remote;
        if (remote.brick === brick && connection) connection.send('down', () => remote.lost(connection));
      }
    this.restart(brick);
  }

  #slow(i: number): void {
    const mood = this.#moods[i]!;
    this.say(`slow disk on ${this.#bricks[i]!.name}`);
    mood.slowMs = this.random.pick([5, 50, 400]);
    this.later(this.random.between(0, 4000), () => {
      mood.slowMs = 0;
    });
  }
}
