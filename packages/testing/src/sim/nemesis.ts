/** Makes things go wrong at random times, and puts right what can be: after a while, or when there are to be no more faults. */
import type { SimBrick, World } from './brick.ts';
import type { SeededRandom } from './random.ts';
import type { Remote } from './remote.ts';

/** A restarted brick is a new process: that takes time. */
const restartMs: [number, number] = [1_500, 6_000];

export interface FaultPlan<Kind extends string> {
  readonly faults: readonly Kind[];
  /** Milliseconds between faults, on average. */
  readonly faultEveryMs: number;
}

export abstract class Nemesis<Kind extends string> {
  protected readonly world: World;
  protected readonly random: SeededRandom;
  readonly #plan: FaultPlan<Kind>;
  readonly #restore = new Set<() => void>();

  constructor(world: World, plan: FaultPlan<Kind>) {
    this.world = world;
    this.#plan = plan;
    this.random = world.random.fork();
  }

  /** Whether there are still to be faults. */
  abstract get mayStrike(): boolean;
  protected abstract readonly strikes: Readonly<Record<Kind, () => void>>;

  start(): void {
    if (this.#plan.faults.length > 0) this.#next();
  }

  #next(): void {
    this.world.scheduler.after(this.random.between(0, 2 * this.#plan.faultEveryMs), () => {
      if (!this.mayStrike) return this.calm();
      this.strikes[this.random.pick(this.#plan.faults)]();
      this.#next();
    });
  }

  /** All that can be put right is. */
  calm(): void {
    for (const restore of this.#restore) restore();
    this.#restore.clear();
  }

  /** Undoes a fault after a while, or when the faults end. */
  protected later(ms: number, restore: () => void): void {
    const once = () => {
      if (this.#restore.delete(once)) restore();
    };
    this.#restore.add(once);
    this.world.scheduler.after(ms, once);
  }

  protected say(what: string): void {
    this.world.trace.add('faults', what);
  }

  /** The connection breaks; each end notices in its time. */
  protected cut(remote: Remote): void {
    const { connection, brick } = remote;
    if (!connection) return;
    this.say(`connection of ${remote.clientId} to ${brick.name} breaks`);
    const { scheduler, pingMs } = this.world;
    // What is on the way is lost with it.
    const notice = () => (this.random.chance(0.5) ? 0 : this.random.between(0, pingMs));
    connection.kill();
    scheduler.after(notice(), () => brick.isUp && brick.lost(connection));
    remote.after(notice(), () => remote.lost(connection));
  }

  /** How long somebody hears nothing before he gives a connection up. */
  protected get pingPatienceMs(): number {
    return this.world.pingMs * this.random.between(1, 1.3);
  }

  /** The brick gives the connection up, if it has heard nothing for so long. */
  protected brickMisses(remote: Remote, isSilent: () => boolean): void {
    const { connection, brick } = remote;
    if (!connection) return;
    const { node } = brick;
    node.after(this.pingPatienceMs, () => {
      if (isSilent() && brick.node === node && connection.open.up) brick.lost(connection);
    });
  }

  /** The start waits for nothing but promises that settle at once. */
  protected restart(brick: SimBrick): void {
    this.later(this.random.between(...restartMs), () => void brick.start());
  }
}
