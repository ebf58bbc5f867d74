/**
 * How a session gets its next connection: attempts with waits between them that grow, and at once when somebody needs the
 * server now. However many need it, and however often, an attempt begins no sooner than `leastGapMs` after the one before.
 */
import type { Clock, Log, Random, Timer } from '@mortar/core/ports.ts';
import { Backoff } from '../backoff.ts';
import { type Address, printableAddress, type Stream, type Transport } from '../stream.ts';
import { serverGoneCode } from './client-options.ts';

const leastGapMs = 100;
/** Programs repeat requests that fail: while attempts for them are in vain they become as rare as this. */
const mostNeededGapMs = 1000;

export interface ReconnectingOptions {
  clock: Clock;
  random: Random;
  log: Log;
  name: string;
  transport: Transport;
  /** Where the server is now; asked before each attempt. */
  resolve(): Promise<Address>;
  /** Before each attempt. */
  connecting(): void;
  /** An attempt has come so far; whether it succeeds is told by `succeeded` or `failed`. */
  connected(stream: Stream): void;
  /** Nobody is there: the process that knew our session is gone, and with it every answer still owed. */
  gone(): void;
  /** There is no connection; told once for each success, and for the first attempt that fails. */
  down(message: string): void;
}

export class Reconnecting {
  readonly #options: ReconnectingOptions;
  readonly #backoff: Backoff;
  #state: 'stopped' | 'trying' | 'waiting' | 'up' = 'stopped';
  #timer: Timer | null = null;
  /** When the last attempt began. */
  #beganMs = Number.NEGATIVE_INFINITY;
  #dueMs = 0;
  /** Of attempts: what an attempt from before a stop comes to is nobody's affair. */
  #number = 0;
  #neededGapMs = leastGapMs;
  /** Asked for while an attempt was under way, which may have looked too early. */
  #nextGapMs = Number.POSITIVE_INFINITY;
  /** Wait for the end of the attempt under way, or of the one after. */
  #waiting: (() => void)[] = [];
  #waitingForNext: (() => void)[] = [];
  #isToldDown = false;
  #lastComplaint = '';

  constructor(options: ReconnectingOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  start(): void {
    if (this.#state === 'stopped') this.#try();
  }

  stop(): void {
    this.#state = 'stopped';
    this.#timer?.cancel();
    this.#timer = null;
    this.#settle(true);
  }

  /** Requests pass. */
  succeeded(): void {
    this.#state = 'up';
    this.#backoff.reset();
    this.#neededGapMs = leastGapMs;
    this.#nextGapMs = Number.POSITIVE_INFINITY;
    this.#isToldDown = false;
    this.#lastComplaint = '';
    this.#settle(true);
  }

  /** The attempt did not succeed, or the connection that had is lost. */
  failed(message: string): void {
    if (this.#state === 'stopped') return;
    const { clock, log, name } = this.#options;
    if (!this.#isToldDown) {
      this.#isToldDown = true;
      this.#options.down(message);
    }
    if (message !== this.#lastComplaint) {
      this.#lastComplaint = message;
      log.write('WARNING', name, `not connected: ${message}; trying again`);
    }
    // Who hears that it is down may have stopped it.
    if ((this.#state as string) === 'stopped') return;
    const wasTrying = this.#state === 'trying';
    this.#state = 'waiting';
    const dueMs = Math.min(clock.nowMs() + this.#backoff.next(), this.#soonest(this.#nextGapMs));
    this.#nextGapMs = Number.POSITIVE_INFINITY;
    this.#wait(dueMs);
    if (wasTrying) this.#settle(false);
  }

  /** Somebody says that the server is there, or waits for it. Resolves when an attempt that began after this has ended. */
  asked(): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    const began = this.#state === 'trying' ? this.#waitingForNext : this.#waiting;
    const tried = new Promise<void>((resolve) => began.push(resolve));
    this.#backoff.reset();
    this.#neededGapMs = leastGapMs;
    this.#sooner(leastGapMs);
    return tried;
  }

  /** A request needed it. */
  needed(): void {
    if (!this.#isOver && this.#sooner(this.#neededGapMs))
      this.#neededGapMs = Math.min(mostNeededGapMs, 2 * this.#neededGapMs);
  }

  get #isOver(): boolean {
    return this.#state === 'stopped' || this.#state === 'up';
  }

  /** Whether this brings the next attempt forward. */
  #sooner(gapMs: number): boolean {
    if (this.#state === 'trying') {
      if (gapMs >= this.#nextGapMs) return false;
      this.#nextGapMs = gapMs;
      return true;
    }
    const atMs = this.#soonest(gapMs);
    if (atMs >= this.#dueMs) return false;
    this.#wait(atMs);
    return true;
  }

  #soonest(gapMs: number): number {
    return Math.max(this.#options.clock.nowMs(), this.#beganMs + gapMs);
  }

  #wait(untilMs: number): void {
    this.#timer?.cancel();
    this.#dueMs = untilMs;
    this.#timer = this.#options.clock.after(Math.max(0, untilMs - this.#options.clock.nowMs()), () => this.#try());
  }

  #try(): void {
    this.#timer = null;
    this.#state = 'trying';
    this.#beganMs = this.#options.clock.nowMs();
    void this.#attempt();
  }

  async #attempt(): Promise<void> {
    const { transport } = this.#options;
    const number = ++this.#number;
    const isOver = () => this.#number !== number || this.#state === 'stopped';
    this.#options.connecting();
    let address: Address | undefined;
    try {
      address = await this.#options.resolve();
      const stream = await transport.connect(address);
      if (isOver()) stream.destroy();
      else this.#options.connected(stream);
    } catch (error) {
      if (isOver()) return;
      const where = address ? `connecting to ${printableAddress(address)}` : 'finding the brick';
      if (isGone(error)) this.#options.gone();
      this.failed(`${where}: ${(error as Error).message}`);
    }
  }

  /** An attempt has ended. Those who came while it was under way need the next one, unless it succeeded. */
  #settle(all: boolean): void {
    const ended = this.#waiting;
    this.#waiting = all ? [] : this.#waitingForNext;
    if (all) ended.push(...this.#waitingForNext);
    this.#waitingForNext = [];
    for (const resolve of ended) resolve();
  }
}

const goneCodes: readonly unknown[] = ['ECONNREFUSED', 'ENOENT', serverGoneCode];

function isGone(error: unknown): boolean {
  return goneCodes.includes((error as { code?: unknown }).code);
}
