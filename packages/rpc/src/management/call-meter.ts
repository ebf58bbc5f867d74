/** How many management calls there were, how they ended and how long they took, by method. */
import type { Clock, Counter, Histogram, Metrics } from '@mortar/core/ports.ts';
import { ManagementCode } from './protocol.ts';

/** Calls of others to this process, and of this process to others. */
export type CallDirection = 'in' | 'out';
type CallResult = 'ok' | 'timeout' | 'disconnected' | 'error';

/** Further ones are counted as `other`: whatever is called, there is an end to what is kept. */
const methodsMax = 256;

interface Series {
  readonly latency: Histogram;
  readonly ends: Map<CallResult, Counter>;
}

export class CallMeter {
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #series: Readonly<Record<CallDirection, Map<string, Series>>> = { in: new Map(), out: new Map() };

  constructor(metrics: Metrics, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
  }

  /** Counts a call that begins now, when it has ended. */
  watch(direction: CallDirection, method: string, call: Promise<unknown>): void {
    const sinceMs = this.#clock.nowMs();
    const ended = (result: CallResult) => this.#ended(direction, method, result, sinceMs);
    call.then(
      () => ended('ok'),
      (error: unknown) => ended(resultOf(error)),
    );
  }

  #ended(direction: CallDirection, called: string, result: CallResult, sinceMs: number): void {
    const all = this.#series[direction];
    const method = all.has(called) || all.size < methodsMax ? called : 'other';
    const series = all.get(method) ?? this.#begin(direction, method);
    series.latency.record((this.#clock.nowMs() - sinceMs) * 1000);
    const labels = { direction, method, result };
    const count = series.ends.get(result) ?? this.#metrics.counter('management_calls_total', labels);
    series.ends.set(result, count);
    count.add();
  }

  #begin(direction: CallDirection, method: string): Series {
    const latency = this.#metrics.histogram('management_call_latency_micros', { direction, method });
    const series = { latency, ends: new Map() };
    this.#series[direction].set(method, series);
    return series;
  }
}

function resultOf(error: unknown): CallResult {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === ManagementCode.timeout) return 'timeout';
  return code === ManagementCode.disconnected ? 'disconnected' : 'error';
}
