/** A translator that measures latencies when told to, beside what its options say (`.meta/measure_latency`). */
import type { Xlator } from '@mortar/core';

export interface LatencyMeter {
  measureLatency(on: boolean): void;
  /** One line a fop that was seen. */
  latencies(): Record<string, string | number>;
}

export function asLatencyMeter(xlator: Xlator): LatencyMeter | undefined {
  const { measureLatency, latencies } = xlator as Partial<LatencyMeter>;
  const isMeter = typeof measureLatency === 'function' && typeof latencies === 'function';
  return isMeter ? (xlator as Xlator & LatencyMeter) : undefined;
}
