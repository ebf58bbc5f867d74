/** What every process tells of itself, by the names that Prometheus's own libraries use. */
import type { MetricsRegistry } from './metrics.ts';

export function addProcessMetrics(metrics: MetricsRegistry): void {
  metrics.gauge('process_resident_memory_bytes', () => process.memoryUsage.rss());
  metrics.total('process_cpu_seconds_total', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  const startSeconds = Math.round(performance.timeOrigin) / 1000;
  metrics.gauge('process_start_time_seconds', () => startSeconds);
}
