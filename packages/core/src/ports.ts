/**
 * Ports: time, chance, log and counters reach the translators through these, so that a whole cluster can run in one
 * process under a seed. The real ones are made by `host`, the simulated ones by `testing`.
 */
import type { Timespec } from './iatt.ts';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  nowMs(): number;
  /** Wall-clock time. */
  wall(): Timespec;
  /** Calls back once after `ms`; never before the current turn of the loop ends. */
  after(ms: number, callback: () => void): Timer;
  /** Resolves after `ms`. */
  sleep(ms: number): Promise<void>;
  /** How often this thread has given up the processor to wait for something; a process sets it where that is known. */
  waits?: () => number;
}

export interface Random {
  bytes(count: number): Uint8Array;
  /** Uniform integer in [0, below). */
  integer(below: number): number;
}

export type LogLevel = 'NONE' | 'CRITICAL' | 'ERROR' | 'WARNING' | 'INFO' | 'DEBUG' | 'TRACE';

/** Levels from silent to loud; a line is written when its level is at or below the log's. */
export const logLevels: readonly LogLevel[] = ['NONE', 'CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG', 'TRACE'];

export interface Log {
  readonly level: LogLevel;
  /** `origin`: of that translator's or module's lines only, from then on whatever the others' is. */
  setLevel(level: LogLevel, origin?: string): void;
  /** Whether such a line would be written: asked before lines that cost something to make. */
  wants?(level: LogLevel, origin: string): boolean;
  /**
   * One line. `origin` is the translator's or module's name (`vol-replicate-0`), `text` says what happened, to what
   * and what to do; `messageId` is for texts which programs look for, and `source` for lines that they find by the
   * part of GlusterFS which writes them.
   */
  write(level: LogLevel, origin: string, text: string, messageId?: number, source?: string): void;
}

export interface Counter {
  add(amount?: number): void;
}

export interface Histogram {
  /** Records one duration in microseconds. */
  record(micros: number): void;
}

export interface Metrics {
  counter(name: string, labels?: Record<string, string>): Counter;
  histogram(name: string, labels?: Record<string, string>): Histogram;
}
