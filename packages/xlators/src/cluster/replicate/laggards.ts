/**
 * Children that do not answer while a quorum does. After `laggard-timeout` they are left out, so that one frozen brick or hung
 * disk holds nobody up; when they have answered everything that was asked of them they are back (docs/replicate.md).
 */
import type { Clock, Timer } from '@mortar/core';

export interface LaggardHost {
  readonly clock: Clock;
  /** 0: nobody is ever left out. */
  readonly timeoutMs: number;
  /** Whether the set may go on with these children alone. */
  maySpare(children: readonly number[]): boolean;
  /** Asks all that are up for something they can answer at once. */
  probe(): Promise<unknown>;
  /** A child is left out, or back. */
  changed(child: number, lags: boolean): void;
}

/** Answers that are being waited for. */
interface Watch {
  readonly outstanding: Set<number>;
  readonly answered: number[];
  /** When a quorum had answered. */
  sinceMs: number | undefined;
  readonly giveUp: () => void;
}

/** An answer of one child that may take long for good reasons: a lock, a large read. */
interface Wait {
  readonly child: number;
  sinceMs: number;
  readonly giveUp: () => void;
}

/** How exactly the time is kept: once so often in the timeout. */
const ticks = 6;

export class Laggards {
  readonly #host: LaggardHost;
  readonly #watches = new Set<Watch>();
  readonly #waits = new Set<Wait>();
  /** By child that is left out: answers that it owes. */
  readonly #owed = new Map<number, number>();
  #timer: Timer | undefined;

  constructor(host: LaggardHost) {
    this.#host = host;
  }

  has(child: number): boolean {
    return this.#owed.has(child);
  }

  /**
   * Asks all of `children` and waits for their answers, but not for who lags: its answer is `late`. `counts`: whether an
   * answer shows that its child is there.
   */
  async collect<R>(
    children: readonly number[],
    ask: (child: number) => Promise<R>,
    late: R,
    counts: (answer: R) => boolean,
  ): Promise<Map<number, R>> {
    const answers = new Map<number, R>();
    if (this.#host.timeoutMs === 0 || children.length < 2) {
      await Promise.all(children.map(async (child) => answers.set(child, await ask(child))));
      return answers;
    }
    return new Promise((resolve, reject) => {
      const finish = () => {
        this.#watches.delete(watch);
        resolve(answers);
      };
      let over = false;
      const watch: Watch = {
        outstanding: new Set(children),
        answered: [],
        sinceMs: undefined,
        giveUp: () => {
          // Another watch that ends may end this one too.
          if (over) return;
          over = true;
          finish();
          for (const child of watch.outstanding) {
            answers.set(child, late);
            this.#owe(child);
          }
        },
      };
      const heard = (child: number, answer: R) => {
        if (over) {
          this.#paid(child);
          return;
        }
        answers.set(child, answer);
        watch.outstanding.delete(child);
        if (watch.outstanding.size === 0) {
          finish();
          return;
        }
        if (counts(answer)) watch.answered.push(child);
        if (watch.sinceMs === undefined && this.#host.maySpare(watch.answered)) this.#watch(watch);
      };
      // Asking does not fail but by a bug; then nobody is to lag for it.
      const broke = (error: unknown) => {
        this.#watches.delete(watch);
        reject(error);
      };
      for (const child of children) ask(child).then((answer) => heard(child, answer), broke);
    });
  }

  /** Waits for one child's `answer` as long as that child is there otherwise: who answers nothing at all is `late`. */
  heed<R>(child: number, answer: Promise<R>, late: R): Promise<R> {
    if (this.#host.timeoutMs === 0) return answer;
    if (this.has(child)) return Promise.resolve(late);
    return new Promise((resolve, reject) => {
      const wait: Wait = { child, sinceMs: this.#host.clock.nowMs(), giveUp: () => resolve(late) };
      this.#waits.add(wait);
      this.#start();
      const over = () => this.#waits.delete(wait);
      answer.then(
        (value) => {
          over();
          resolve(value);
        },
        (error) => {
          over();
          reject(error);
        },
      );
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #watch(watch: Watch): void {
    watch.sinceMs = this.#host.clock.nowMs();
    this.#watches.add(watch);
    if (this.#onlyLag(watch)) watch.giveUp();
    else this.#start();
  }

  #onlyLag({ outstanding }: Watch): boolean {
    return [...outstanding].every((child) => this.has(child));
  }

  #start(): void {
    this.#timer ??= this.#host.clock.after(this.#host.timeoutMs / ticks, () => this.#tick());
  }

  #tick(): void {
    this.#timer = undefined;
    const { clock, timeoutMs } = this.#host;
    const now = clock.nowMs();
    for (const watch of [...this.#watches]) if (now - watch.sinceMs! >= timeoutMs) watch.giveUp();
    const long = [...this.#waits].filter((wait) => now - wait.sinceMs >= timeoutMs / ticks);
    if (long.length > 0) void this.#question(long, now);
    if (this.#watches.size + this.#waits.size > 0) this.#start();
  }

  async #question(waits: readonly Wait[], now: number): Promise<void> {
    // Not again before this question is answered, or found to be unanswered.
    for (const wait of waits) wait.sinceMs = now + this.#host.timeoutMs;
    await this.#host.probe();
    for (const wait of waits) if (this.has(wait.child) && this.#waits.delete(wait)) wait.giveUp();
  }

  #owe(child: number): void {
    const owed = this.#owed.get(child) ?? 0;
    this.#owed.set(child, owed + 1);
    if (owed > 0) return;
    this.#host.changed(child, true);
    // What it was asked before is not waited for any longer either.
    for (const wait of [...this.#waits]) if (wait.child === child && this.#waits.delete(wait)) wait.giveUp();
    for (const watch of [...this.#watches]) if (this.#onlyLag(watch)) watch.giveUp();
  }

  #paid(child: number): void {
    const owed = this.#owed.get(child)! - 1;
    if (owed > 0) {
      this.#owed.set(child, owed);
      return;
    }
    this.#owed.delete(child);
    this.#host.changed(child, false);
  }
}
