/**
 * Clients that work in a graph with other subvolumes than the rebalance's: they would not find what it moves. It begins when
 * there are none, and rests when one comes (docs/distribute.md, Waiting for clients).
 */
import type { Clock, Log } from '@mortar/core';

export interface LateClient {
  readonly program: string;
  readonly host: string;
  readonly processId: number;
}

export interface Census {
  readonly late: readonly LateClient[];
  /** Nobody is late, and no late one is let in any more. */
  readonly isClear: boolean;
  /** Bricks that could not be asked. */
  readonly unasked: readonly string[];
}

export interface AwaitedClient extends LateClient {
  /** For so long it has been waited for. */
  readonly seconds: number;
}

export interface LateClientsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Origin of log lines. */
  readonly name: string;
  /** Of all bricks of the volume. A rejection: nobody can say. */
  ask(): Promise<Census>;
  /** Nobody is waited for, but it is said who is left behind. */
  readonly leavesBehind?: boolean;
}

const firstLookMs = 100;
const lastLookMs = 2000;
/** While files are moved. */
const watchMs = 5000;
const sayMs = 60_000;

export class LateClients {
  readonly #options: LateClientsOptions;
  /** By the name in messages. */
  #awaited = new Map<string, { client: LateClient; sinceMs: number }>();
  #unasked = '';
  #said = { text: '', atMs: Number.NEGATIVE_INFINITY };
  #isEnded = false;
  #wake: () => void = () => undefined;
  /** While somebody is waited for. */
  #rest: { ended: Promise<void>; end: () => void } | undefined;

  constructor(options: LateClientsOptions) {
    this.#options = options;
  }

  /** Resolves when nothing stands in the way any more, or at `end`; from then on looks from time to time whether that is still so. */
  async begin(): Promise<void> {
    if (this.#options.leavesBehind) return this.#tellLeftBehind();
    await this.#untilClear();
    if (!this.#isEnded) void this.#watch();
  }

  /** What is to be waited for before the next step; undefined: nothing. */
  pass(): Promise<void> | undefined {
    return this.#rest?.ended;
  }

  /** Whoever waits here goes on, at once. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
    this.#goOn();
  }

  awaited(): AwaitedClient[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#awaited.values()].map(({ client, sinceMs }) => ({
      ...client,
      seconds: Math.floor((nowMs - sinceMs) / 1000),
    }));
  }

  async #tellLeftBehind(): Promise<void> {
    const census = await this.#look();
    const names = (census?.late ?? []).map(nameOf);
    if (names.length > 0)
      this.#write(
        `is not waited for, and may not see files that move until it has the present graph: ${unique(names)}`,
      );
    this.#awaited.clear();
  }

  async #watch(): Promise<void> {
    while (!this.#isEnded) {
      await this.#pause(watchMs);
      const census = this.#isEnded ? undefined : await this.#look();
      // Who cannot be asked now told once that nobody is late, and bricks keep it so.
      if (!census || census.isClear || this.#isEnded) continue;
      this.#beginRest();
      await this.#untilClear();
      this.#goOn();
    }
  }

  async #untilClear(): Promise<void> {
    for (let ms = firstLookMs; !this.#isEnded; ms = Math.min(lastLookMs, ms * 2)) {
      const census = await this.#look();
      if (this.#isEnded) return;
      if (census?.isClear) return this.#sayClear();
      if (census) this.#sayAwaited();
      await this.#pause(ms);
    }
  }

  /** Undefined: nobody could say. */
  async #look(): Promise<Census | undefined> {
    try {
      const census = await Promise.race([this.#options.ask(), this.#ending()]);
      if (!census) return undefined;
      this.#note(census);
      return census;
    } catch (error) {
      this.#sayAgain(`it is not known whether clients have the present graph: ${(error as Error).message}`);
      return undefined;
    }
  }

  #note({ late, unasked }: Census): void {
    const nowMs = this.#options.clock.nowMs();
    const before = this.#awaited;
    this.#awaited = new Map(
      late.map((client) => [nameOf(client), before.get(nameOf(client)) ?? { client, sinceMs: nowMs }]),
    );
    const bricks = unasked.join(', ');
    if (bricks !== '' && bricks !== this.#unasked)
      this.#write(
        `${bricks} cannot be asked for clients that have an older graph; those that have other bricks as well are known from there`,
      );
    this.#unasked = bricks;
  }

  #sayAwaited(): void {
    const names = this.awaited().map((one) => `${nameOf(one)}, for ${one.seconds} s`);
    const known = names.length > 0 ? names.join('; ') : 'a client that has just come';
    // The seconds alone make no news.
    this.#sayAgain(`waits for clients to take the present graph: ${known}`, unique([...this.#awaited.keys()]));
  }

  #sayClear(): void {
    if (this.#said.text !== '') this.#write('all clients have the present graph', 'INFO');
    this.#said = { text: '', atMs: Number.NEGATIVE_INFINITY };
  }

  /** At once, and then every so often. */
  #sayAgain(message: string, text = message): void {
    const nowMs = this.#options.clock.nowMs();
    if (text === this.#said.text && nowMs < this.#said.atMs + sayMs) return;
    this.#said = { text, atMs: nowMs };
    this.#write(message);
  }

  #write(message: string, level: 'INFO' | 'WARNING' = 'WARNING'): void {
    this.#options.log.write(level, this.#options.name, `rebalance: ${message}`);
  }

  #beginRest(): void {
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#rest = { ended, end };
  }

  #goOn(): void {
    this.#rest?.end();
    this.#rest = undefined;
  }

  #ending(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

function nameOf({ program, host, processId }: LateClient): string {
  return `${program} ${processId} on ${host}`;
}

function unique(names: readonly string[]): string {
  return [...new Set(names)].sort().join(', ');
}
