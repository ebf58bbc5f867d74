/**
 * Whether a peer is alive, for who wants to know it sooner than the ping timeout tells. A ping goes out with the first question; anything that
 * comes from the peer is an answer.
 */
import type { Clock, Timer } from '@mortar/core/ports.ts';

interface Question {
  readonly answer: (isAlive: boolean) => void;
  readonly timer: Timer;
}

export class LifeSigns {
  readonly #clock: Clock;
  readonly #ping: () => void;
  readonly #questions = new Set<Question>();
  /** Since when a ping is not answered. */
  #askedMs: number | null = null;
  /** That it was silent for as long as it was given has been said, and still holds. */
  #isSilent = false;

  constructor(clock: Clock, ping: () => void) {
    this.#clock = clock;
    this.#ping = ping;
  }

  /** Something came. */
  heard(): void {
    if (this.#askedMs === null) return;
    this.#askedMs = null;
    this.#isSilent = false;
    this.end(true);
  }

  /** Whether there is a sign of life within so many milliseconds; at once where one has been owed for as long. */
  within(ms: number): Promise<boolean> {
    const nowMs = this.#clock.nowMs();
    if (this.#askedMs === null) {
      this.#askedMs = nowMs;
      this.#ping();
    }
    const leftMs = this.#askedMs + ms - nowMs;
    if (this.#isSilent && leftMs <= 0) return Promise.resolve(false);
    return new Promise((answer) => this.#wait(answer, Math.max(1, leftMs), ms));
  }

  #wait(answer: Question['answer'], leftMs: number, ms: number): void {
    const dueMs = this.#clock.nowMs() + leftMs;
    const due = () => {
      this.#questions.delete(question);
      // This process itself was stopped or busy: what the peer sent meanwhile is not read yet.
      if (this.#clock.nowMs() - dueMs > ms / 2) return this.#wait(answer, ms, ms);
      this.#isSilent = true;
      answer(false);
    };
    const question: Question = { answer, timer: this.#clock.after(leftMs, due) };
    this.#questions.add(question);
  }

  /** All who ask are answered. */
  end(isAlive: boolean): void {
    for (const { answer, timer } of this.#questions) {
      timer.cancel();
      answer(isAlive);
    }
    this.#questions.clear();
  }
}
