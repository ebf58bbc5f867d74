/** Counts what a device is asked for, and how long it took: counters and latency histograms of the process's metrics. */
import type { Clock, Counter, Histogram, Metrics } from '@mortar/core';
import type { Answer, BlockDevice, Done, ReadReply, StatusReply, ZeroHow } from './device.ts';
import { PassingDevice } from './passing.ts';

const operations = ['read', 'write', 'zero', 'trim', 'flush', 'status'] as const;
type Operation = (typeof operations)[number];

interface Series {
  readonly count: Counter;
  readonly bytes: Counter;
  readonly errors: Counter;
  readonly latency: Histogram;
}

export class MeasuredDevice extends PassingDevice {
  readonly #clock: Clock;
  readonly #series: Readonly<Record<Operation, Series>>;

  constructor(below: BlockDevice, name: string, clock: Clock, metrics: Metrics) {
    super(below);
    this.#clock = clock;
    const series = (operation: Operation): Series => {
      const labels = { device: name, operation };
      return {
        count: metrics.counter('block_requests', labels),
        bytes: metrics.counter('block_bytes', labels),
        errors: metrics.counter('block_errors', labels),
        latency: metrics.histogram('block_latency_micros', labels),
      };
    };
    this.#series = Object.fromEntries(operations.map((one) => [one, series(one)])) as Record<Operation, Series>;
  }

  #measure<T extends { readonly ok: boolean }>(operation: Operation, bytes: number, run: () => Answer<T>): Answer<T> {
    const started = this.#clock.nowMs();
    const answer = run();
    if (answer instanceof Promise) return answer.then((reply) => this.#note(operation, bytes, started, reply));
    return this.#note(operation, bytes, started, answer);
  }

  #note<T extends { readonly ok: boolean }>(operation: Operation, bytes: number, started: number, reply: T): T {
    const series = this.#series[operation];
    series.count.add();
    if (reply.ok) series.bytes.add(bytes);
    else series.errors.add();
    series.latency.record((this.#clock.nowMs() - started) * 1000);
    return reply;
  }

  override read(offset: number, length: number): Answer<ReadReply> {
    return this.#measure('read', length, () => this.below.read(offset, length));
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#measure('write', bytes.length, () => this.below.write(offset, bytes, fua));
  }

  override zero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return this.#measure('zero', length, () => this.below.zero(offset, length, how));
  }

  override trim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.#measure('trim', length, () => this.below.trim(offset, length, fua));
  }

  override flush(): Answer<Done> {
    return this.#measure('flush', 0, () => this.below.flush());
  }

  override status(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    return this.#measure('status', length, () => this.below.status(offset, length, extentsMax));
  }
}
