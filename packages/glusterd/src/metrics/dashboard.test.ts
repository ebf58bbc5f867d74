import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { metricHelp } from '@mortar/host/ports/metric-help.ts';
import { expect, it } from 'vitest';

const text = (path: string) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8');

it('the dashboard asks for metrics that exist', () => {
  const own = [...text('node-metrics.ts').matchAll(/'(mortar_[a-z_]+)'/g)].map(([, name]) => name!);
  const known = new Set([...own, ...Object.keys(metricHelp)]);
  const { panels, templating } = JSON.parse(text('../../../../contrib/grafana/mortar.json')) as {
    panels: { targets: { expr: string }[] }[];
    templating: { list: { query: unknown }[] };
  };
  const asked = JSON.stringify([panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)), templating.list]);
  const names = [...asked.matchAll(/\b(mortar|process)_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ''));
  expect(names.length).toBeGreaterThan(15);
  expect(names.filter((name) => !known.has(name))).toEqual([]);
});
