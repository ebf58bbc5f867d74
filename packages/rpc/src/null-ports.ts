/** Ports for those who want neither log nor counters. */
import type { Counter, Histogram, Log, Metrics } from '@mortar/core/ports.ts';

const counter: Counter = { add: () => undefined };
const histogram: Histogram = { record: () => undefined };

export const nullMetrics: Metrics = { counter: () => counter, histogram: () => histogram };

export const nullLog: Log = { level: 'NONE', setLevel: () => undefined, write: () => undefined };
