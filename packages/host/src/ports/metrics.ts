/** Counters and latency histograms of a process, and their Prometheus text. */
import type { Counter, Histogram, Metrics } from '@mortar/core';
import { metricHelp } from './metric-help.ts';

/** Upper bounds in microseconds: powers of two from 1 µs to about 33 s; one more bucket holds the rest. */
const boundCount = 26;

export class LatencyHistogram implements Histogram {
  readonly buckets = new Float64Array(boundCount + 1);
  sumMicros = 0;
  count = 0;
  maxMicros = 0;

  record(micros: number): void {
    const whole = micros < 1 ? 0 : Math.min(Math.ceil(Math.log2(micros)), boundCount);
    this.buckets[whole]!++;
    this.count++;
    this.sumMicros += micros;
    if (micros > this.maxMicros) this.maxMicros = micros;
  }
}

class Count implements Counter {
  value = 0;
  add(amount = 1): void {
    this.value += amount;
  }
}

type Labels = Record<string, string>;
interface Family<T> {
  readonly series: Map<string, T>;
}

/** A value that is asked for when somebody looks: sizes of tables, memory. */
export type Gauge = () => number;

/**
 * Names follow Prometheus: `mortar_` before all but the customary `process_`, base units (seconds, bytes) in the name, `_total`
 * behind counters. Callers may leave these out, or have them already.
 */
export class MetricsRegistry implements Metrics {
  readonly #counters = new Map<string, Family<Count>>();
  readonly #histograms = new Map<string, Family<LatencyHistogram>>();
  readonly #gauges = new Map<string, Map<string, Gauge>>();
  /** Numbers that are counted elsewhere. */
  readonly #totals = new Map<string, Gauge>();
  /** What belongs to parts of the process, each with labels of its own. */
  readonly #parts = new Map<MetricsRegistry, Labels>();

  /** Counters of a part of this process that may end before it: in the text they have these labels as well. */
  part(labels: Labels): MetricsRegistry {
    const part = new MetricsRegistry();
    this.#parts.set(part, labels);
    return part;
  }

  /** The part has ended: nothing is told of it any more. */
  drop(part: MetricsRegistry): void {
    this.#parts.delete(part);
  }

  counter(name: string, labels: Labels = {}): Counter {
    return seriesOf(this.#counters, name, labels, () => new Count());
  }

  histogram(name: string, labels: Labels = {}): LatencyHistogram {
    return seriesOf(this.#histograms, name, labels, () => new LatencyHistogram());
  }

  gauge(name: string, gauge: Gauge, labels: Labels = {}): void {
    const family = this.#gauges.get(name) ?? new Map<string, Gauge>();
    this.#gauges.set(name, family.set(labelText(labels), gauge));
  }

  /** A counter that somebody else keeps. */
  total(name: string, read: Gauge): void {
    this.#totals.set(name, read);
  }

  /** Prometheus text exposition format, version 0.0.4; durations in seconds. */
  text(): string {
    const families = new Families();
    this.#tell(families, '');
    return families.text();
  }

  #tell(families: Families, own: string): void {
    for (const [name, read] of this.#totals) families.add('counter', counterName(name), sample('', own, read()));
    for (const [name, { series }] of this.#counters)
      for (const [labels, counter] of series)
        families.add('counter', counterName(name), sample('', join(own, labels), counter.value));
    for (const [name, series] of this.#gauges)
      for (const [labels, gauge] of series)
        families.add('gauge', fullName(name), sample('', join(own, labels), gauge()));
    for (const [name, { series }] of this.#histograms) {
      const metric = `${fullName(name).replace(/_micros$/, '')}_seconds`;
      for (const [labels, histogram] of series)
        families.add('histogram', metric, ...histogramSamples(join(own, labels), histogram));
    }
    for (const [part, labels] of this.#parts) part.#tell(families, join(own, labelText(labels)));
  }
}

type Type = 'counter' | 'gauge' | 'histogram';

/** Samples by family, since a family stands once in a text, whoever has part in it; types in the order below. */
class Families {
  readonly #byType: Readonly<Record<Type, Map<string, string[]>>> = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
  };

  /** `samples`: without the metric's name. */
  add(type: Type, metric: string, ...samples: string[]): void {
    const family = this.#byType[type].get(metric) ?? [];
    this.#byType[type].set(metric, family);
    for (const one of samples) family.push(`${metric}${one}`);
  }

  text(): string {
    const lines = Object.entries(this.#byType).flatMap(([type, families]) =>
      [...families].flatMap(([metric, samples]) => [...headOf(metric, type), ...samples]),
    );
    return `${lines.join('\n')}\n`;
  }
}

function seriesOf<T>(families: Map<string, Family<T>>, name: string, labels: Labels, make: () => T): T {
  let family = families.get(name);
  if (!family) {
    family = { series: new Map() };
    families.set(name, family);
  }
  const key = labelText(labels);
  let one = family.series.get(key);
  if (one === undefined) {
    one = make();
    family.series.set(key, one);
  }
  return one;
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${metricName(name)}="${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`)
    .join(',');
}

function braces(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}

function fullName(name: string): string {
  const plain = metricName(name);
  return /^(mortar|process)_/.test(plain) ? plain : `mortar_${plain}`;
}

function counterName(name: string): string {
  return `${fullName(name).replace(/_total$/, '')}_total`;
}

function headOf(metric: string, type: string): string[] {
  const help = metricHelp[metric];
  return [...(help === undefined ? [] : [`# HELP ${metric} ${help}`]), `# TYPE ${metric} ${type}`];
}

function metricName(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, '_');
}

function join(own: string, labels: string): string {
  return own === '' || labels === '' ? own + labels : `${own},${labels}`;
}

function sample(suffix: string, labels: string, value: number): string {
  return `${suffix}${braces(labels)} ${value}`;
}

function histogramSamples(labels: string, histogram: LatencyHistogram): string[] {
  const samples: string[] = [];
  let below = 0;
  for (let i = 0; i < boundCount; i++) {
    below += histogram.buckets[i]!;
    samples.push(sample('_bucket', join(labels, `le="${2 ** i / 1e6}"`), below));
  }
  samples.push(sample('_bucket', join(labels, 'le="+Inf"'), histogram.count));
  samples.push(sample('_sum', labels, histogram.sumMicros / 1e6));
  samples.push(sample('_count', labels, histogram.count));
  return samples;
}
