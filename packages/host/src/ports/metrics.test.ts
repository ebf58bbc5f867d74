import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatencyHistogram, MetricsRegistry } from './metrics.ts';

describe('MetricsRegistry', () => {
  it('prints counters, gauges and histograms as Prometheus reads them', () => {
    const metrics = new MetricsRegistry();
    metrics.counter('fops', { xlator: 'v-dht', fop: 'lookup' }).add(3);
    metrics.gauge('inodes_active', () => 7);
    metrics.histogram('fop latency', { fop: 'lookup' }).record(3);
    const lines = metrics.text().split('\n');
    expect(lines).toContain('# TYPE mortar_fops_total counter');
    expect(lines).toContain('mortar_fops_total{xlator="v-dht",fop="lookup"} 3');
    expect(lines).toContain('mortar_inodes_active 7');
    expect(lines).toContain('mortar_fop_latency_seconds_bucket{fop="lookup",le="0.000002"} 0');
    expect(lines).toContain('mortar_fop_latency_seconds_bucket{fop="lookup",le="0.000004"} 1');
    expect(lines).toContain('mortar_fop_latency_seconds_bucket{fop="lookup",le="+Inf"} 1');
    expect(lines).toContain('mortar_fop_latency_seconds_count{fop="lookup"} 1');
  });

  it('gives the same series for the same labels', () => {
    const metrics = new MetricsRegistry();
    metrics.counter('x', { a: '1' }).add();
    metrics.counter('x', { a: '1' }).add();
    metrics.counter('x', { a: '2' }).add();
    expect(metrics.text()).toContain('mortar_x_total{a="1"} 2\nmortar_x_total{a="2"} 1\n');
  });

  it('keeps one suffix for names that have it already', () => {
    const metrics = new MetricsRegistry();
    metrics.counter('rpc_bugs_total').add();
    expect(metrics.text()).toContain('mortar_rpc_bugs_total 1');
  });

  it('gives names the prefix and units once, and those of the process none', () => {
    const metrics = new MetricsRegistry();
    metrics.counter('mortar_read_bytes_total').add();
    metrics.histogram('mortar_fop_latency_micros').record(1);
    metrics.gauge('process_resident_memory_bytes', () => 5);
    metrics.total('process_cpu_seconds_total', () => 1.5);
    const names = [...metrics.text().matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
    expect(names).toEqual([
      'process_cpu_seconds_total counter',
      'mortar_read_bytes_total counter',
      'process_resident_memory_bytes gauge',
      'mortar_fop_latency_seconds histogram',
    ]);
    expect(metrics.text()).toContain('# HELP process_cpu_seconds_total CPU time that the process has used.\n');
  });

  it('tells of its parts with their labels, each family once, as long as they are there', () => {
    const metrics = new MetricsRegistry();
    const part = metrics.part({ volume: 'v' });
    for (const one of [metrics, part, metrics.part({ volume: 'w' })]) {
      one.counter('fops', { fop: 'read' }).add();
      one.gauge('inodes_active', () => 7);
      one.histogram('fop latency').record(3);
    }
    const samples = (text: string, name: string) => text.split('\n').filter((line) => line.startsWith(`${name}{`));
    const all = metrics.text();
    expect(samples(all, 'mortar_fops_total')).toEqual([
      'mortar_fops_total{fop="read"} 1',
      'mortar_fops_total{volume="v",fop="read"} 1',
      'mortar_fops_total{volume="w",fop="read"} 1',
    ]);
    expect(all).toContain('mortar_inodes_active 7\nmortar_inodes_active{volume="v"} 7\n');
    expect(all).toContain('mortar_fop_latency_seconds_sum{volume="v"} 0.000003\n');
    expect(all).toContain('mortar_fop_latency_seconds_bucket{volume="v",le="+Inf"} 1\n');
    expect(all.match(/^# TYPE /gm)).toHaveLength(3);
    expect(part.text()).toContain('mortar_fops_total{fop="read"} 1\n');
    metrics.drop(part);
    expect(metrics.text()).not.toContain('volume="v"');
    expect(metrics.text()).toContain('volume="w"');
  });

  it('escapes what would end a label', () => {
    const metrics = new MetricsRegistry();
    metrics.counter('x', { path: 'a"b\\c\nd' }).add();
    expect(metrics.text()).toContain('{path="a\\"b\\\\c\\nd"} 1');
  });
});

it('counts every duration in exactly one bucket whose bound it does not pass', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e12, noNaN: true })), (durations) => {
      const histogram = new LatencyHistogram();
      for (const micros of durations) histogram.record(micros);
      expect(histogram.buckets.reduce((sum, count) => sum + count, 0)).toBe(durations.length);
      let below = 0;
      for (let i = 0; i < histogram.buckets.length - 1; i++) {
        below += histogram.buckets[i]!;
        expect(below).toBe(durations.filter((micros) => micros <= 2 ** i).length);
      }
    }),
  );
});
