/** Makes things go wrong while a distributed volume grows and shrinks, for a while; then puts all right again. */
import type { SimBrick, World } from '../sim/brick.ts';
import type { DiskMood } from '../sim/faults.ts';
import type { SeededRandom } from '../sim/random.ts';
import type { Remote } from '../sim/remote.ts';
import type { FaultKind, Plan } from './plan.ts';
import type { VolumeProcess } from './process.ts';

const restartMs: [number, number] = [1_500, 6_000];
/** Longer than bricks keep others waiting for a mover. */
const pauseMostMs = 15_000;

export class Nemesis {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #bricks: readonly SimBrick[];
  readonly #moods: readonly DiskMood[];
  /** All there are, the latest mover last. */
  readonly #processes: readonly VolumeProcess[];
  readonly #restore = new Set<() => void>();
  #endMs = 0;
  #killed = 0;

  constructor(
    world: World,
    plan: Plan,
    bricks: readonly SimBrick[],
    moods: readonly DiskMood[],
    processes: readonly VolumeProcess[],
  ) {
    this.#world = world;
    this.#plan = plan;
    this.#random = world.random.fork();
    this.#bricks = bricks;
    this.#moods = moods;
    this.#processes = processes;
  }

  get mayStrike(): boolean {
    return this.#world.scheduler.nowMs < this.#endMs;
  }

  start(): void {
    this.#endMs = this.#world.scheduler.nowMs + this.#plan.faultsMs;
    if (this.#plan.faults.length > 0) this.#next();
  }

  #next(): void {
    this.#world.scheduler.after(this.#random.between(0, 2 * this.#plan.faultEveryMs), () => {
      if (!this.mayStrike) return this.calm();
      this.#strike(this.#random.pick(this.#plan.faults));
      this.#next();
    });
  }

  /** All that can be put right is. */
  calm(): void {
    for (const restore of this.#restore) restore();
    this.#restore.clear();
  }

  /** Nothing goes wrong any more. */
  end(): void {
    this.#endMs = Number.NEGATIVE_INFINITY;
    this.calm();
  }

  #later(ms: number, restore: () => void): void {
    const once = () => {
      if (this.#restore.delete(once)) restore();
    };
    this.#restore.add(once);
    this.#world.scheduler.after(ms, once);
  }

  #alive(kind: 'mover' | 'client' | 'any'): VolumeProcess | undefined {
    const fits = ({ name, isAlive }: VolumeProcess) =>
      isAlive && (kind === 'any' ? name !== 'verifier' : name.startsWith(kind));
    const all = this.#processes.filter(fits);
    return all.length > 0 ? this.#random.pick(all) : undefined;
  }

  #say(what: string): void {
    this.#world.trace.add('faults', what);
  }

  #strike(kind: FaultKind): void {
    const handlers: Record<FaultKind, () => void> = {
      cut: () => this.#cut(),
      'brick-kill': () => this.#crashBrick(this.#random.pick(this.#bricks)),
      'slow-disk': () => this.#slow(this.#random.integer(this.#bricks.length)),
      pause: () => this.#pause(this.#alive('any')),
      'mover-kill': () => this.#kill(this.#alive('mover')),
      'mover-pause': () => this.#pause(this.#alive('mover')),
      'client-kill': () => {
        // One survives, to have somebody who tells.
        const left = this.#processes.filter(({ name, isAlive }) => isAlive && name.startsWith('client'));
        if (left.length > 1 && this.#killed++ < 1) this.#kill(this.#alive('client'));
      },
    };
    handlers[kind]();
  }

  #kill(process: VolumeProcess | undefined): void {
    if (!process) return;
    this.#say(`${process.name} is killed`);
    process.kill();
  }

  #pause(process: VolumeProcess | undefined): void {
    if (!process) return;
    const ms = this.#random.between(0, this.#random.pick([300, pauseMostMs]));
    this.#say(`${process.name} is paused for ${ms.toFixed(0)} ms`);
    process.node.pause(ms);
    for (const remote of process.remotes) this.#watchSilence(remote, () => process.node.isPaused);
  }

  /** Who hears nothing for the ping timeout gives the connection up. */
  #watchSilence(remote: Remote, isSilent: () => boolean): void {
    const { connection, brick } = remote;
    if (!connection) return;
    const { node } = brick;
    node.after(this.#world.pingMs * this.#random.between(1, 1.3), () => {
      if (isSilent() && brick.node === node && connection.open.up) brick.lost(connection);
    });
  }

  /** The connection breaks; each end notices in its time. */
  #cut(): void {
    const process = this.#alive('any');
    const remotes = [...(process?.remotes ?? [])];
    if (remotes.length === 0) return;
    const remote = this.#random.pick(remotes);
    const { connection, brick } = remote;
    if (!connection) return;
    this.#say(`connection of ${remote.clientId} to ${brick.name} breaks`);
    const { scheduler, pingMs } = this.#world;
    const notice = () => (this.#random.chance(0.5) ? 0 : this.#random.between(0, pingMs));
    connection.kill();
    scheduler.after(notice(), () => brick.isUp && brick.lost(connection));
    remote.after(notice(), () => remote.lost(connection));
  }

  #crashBrick(brick: SimBrick): void {
    if (!brick.isUp) return;
    brick.crash(false);
    for (const process of this.#processes)
      for (const remote of process.remotes) {
        const { connection } = remote;
        if (remote.brick === brick && connection) connection.send('down', () => remote.lost(connection));
      }
    this.#later(this.#random.between(...restartMs), () => void brick.start());
  }

  #slow(i: number): void {
    const mood = this.#moods[i]!;
    this.#say(`slow disk on ${this.#bricks[i]!.name}`);
    mood.slowMs = this.#random.pick([5, 50, 400]);
    this.#later(this.#random.between(0, 4000), () => {
      mood.slowMs = 0;
    });
  }
}
