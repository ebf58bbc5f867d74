/**
 * The network between processes: messages of one connection arrive in order, each with a delay of its own; different
 * connections know nothing of each other. A direction can be blocked, which holds what is sent, as TCP would; nothing is
 * lost or doubled but by the end of the connection.
 */
import type { SeededRandom } from './random.ts';
import type { Scheduler, SimNode } from './scheduler.ts';

/** Delays between two processes, and which directions are blocked. */
export class Wire {
  /** Milliseconds a message takes: at least, at most. */
  delay: [number, number];
  readonly blocked = { up: false, down: false };
  connection: Connection | null = null;

  constructor(delay: [number, number]) {
    this.delay = delay;
  }

  get isWhole(): boolean {
    return !this.blocked.up && !this.blocked.down;
  }

  block(up: boolean, down: boolean): void {
    this.blocked.up = up;
    this.blocked.down = down;
  }

  unblock(): void {
    this.block(false, false);
    this.connection?.flush();
  }
}

/** `up`: from client to brick. */
export type Direction = 'up' | 'down';

export interface Ends {
  readonly up: SimNode;
  readonly down: SimNode;
}

/** One connection as both ends see it. An end that closed it hears nothing more. */
export class Connection {
  readonly open = { up: true, down: true };
  readonly #wire: Wire;
  readonly #random: SeededRandom;
  readonly #ends: Ends;
  readonly #scheduler: Scheduler;
  readonly #lastMs = { up: 0, down: 0 };
  readonly #held: Record<Direction, (() => void)[]> = { up: [], down: [] };

  #isDead = false;

  /** `ends.up` receives what goes up: the brick; `ends.down` the client. */
  constructor(wire: Wire, ends: Ends, scheduler: Scheduler, random: SeededRandom) {
    this.#wire = wire;
    this.#ends = ends;
    this.#scheduler = scheduler;
    this.#random = random;
    wire.connection = this;
  }

  /** It broke: nothing passes any more, also not what is on its way. */
  kill(): void {
    this.#isDead = true;
  }

  /** Delivers `message` to the end that is up or down, unless that has closed the connection by then. */
  send(direction: Direction, message: () => void): void {
    if (this.#wire.blocked[direction] || this.#held[direction].length > 0) {
      this.#held[direction].push(message);
      return;
    }
    const [low, high] = this.#wire.delay;
    const atMs = Math.max(this.#scheduler.nowMs + this.#random.between(low, high), this.#lastMs[direction] + 1e-3);
    this.#lastMs[direction] = atMs;
    this.#ends[direction].after(atMs - this.#scheduler.nowMs, () => {
      if (!this.open[direction] || this.#isDead) return;
      message();
    });
  }

  /** What was held goes on its way. */
  flush(): void {
    for (const direction of ['up', 'down'] as const) {
      const held = this.#held[direction];
      if (this.#wire.blocked[direction]) continue;
      this.#held[direction] = [];
      for (const message of held) this.send(direction, message);
    }
  }
}
