import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';
import { gaugeText, mergeMetrics } from './merge.ts';
import { nodeMetrics } from './node-metrics.ts';

describe('texts of several processes', () => {
  const text = (value: number) =>
    [
      '# HELP mortar_fops_total File operations.',
      '# TYPE mortar_fops_total counter',
      `mortar_fops_total{fop="READ"} ${value}`,
      '# TYPE mortar_fop_latency_seconds histogram',
      `mortar_fop_latency_seconds_bucket{le="+Inf"} ${value}`,
      `mortar_fop_latency_seconds_sum ${value}`,
      `mortar_fop_latency_seconds_count ${value}`,
      '',
    ].join('\n');

  it('become one, with each family once and each sample labelled', () => {
    const merged = mergeMetrics([
      { labels: { process: 'brick', brick: 'h:/a"b' }, text: text(1) },
      { labels: { process: 'glustershd' }, text: text(2) },
      { labels: {}, text: gaugeText('mortar_pool_members', 'Nodes.', [[{}, 3]]) },
    ]);
    expect(merged).toBe(
      [
        '# HELP mortar_fops_total File operations.',
        '# TYPE mortar_fops_total counter',
        'mortar_fops_total{process="brick",brick="h:/a\\"b",fop="READ"} 1',
        'mortar_fops_total{process="glustershd",fop="READ"} 2',
        '# TYPE mortar_fop_latency_seconds histogram',
        'mortar_fop_latency_seconds_bucket{process="brick",brick="h:/a\\"b",le="+Inf"} 1',
        'mortar_fop_latency_seconds_sum{process="brick",brick="h:/a\\"b"} 1',
        'mortar_fop_latency_seconds_count{process="brick",brick="h:/a\\"b"} 1',
        'mortar_fop_latency_seconds_bucket{process="glustershd",le="+Inf"} 2',
        'mortar_fop_latency_seconds_sum{process="glustershd"} 2',
        'mortar_fop_latency_seconds_count{process="glustershd"} 2',
        '# HELP mortar_pool_members Nodes.',
        '# TYPE mortar_pool_members gauge',
        'mortar_pool_members 3',
        '',
      ].join('\n'),
    );
  });

  it('lose what is no sample, and families without any', () => {
    const merged = mergeMetrics([{ labels: {}, text: '# TYPE a gauge\nwhat is this\n# TYPE b gauge\nb 1\n' }]);
    expect(merged).toBe('# TYPE b gauge\nb 1\n');
  });
});

describe("a node's metrics", () => {
  let rig: Rig;

  beforeEach(async () => {
    rig = new Rig();
    await rig.start();
  });

  afterEach(async () => {
    await rig.daemon.close();
    rig.remove();
  });

  it('have volumes, bricks, what is to heal, and what each process tells', async () => {
    await rig.createReplica('v');
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    rig.processes.answers['metrics.text'] = { text: '# TYPE mortar_inodes_active gauge\nmortar_inodes_active 7\n' };
    rig.processes.answers['heal.count'] = [{ brick: rig.brick('v-1'), count: 4 }];
    const text = await nodeMetrics(rig.daemon.context, '# TYPE x gauge\nx 1\n');
    const lines = text.split('\n');
    expect(lines).toContain('mortar_volume_started{volume="v"} 1');
    expect(lines).toContain('mortar_volume_bricks{volume="v"} 3');
    expect(lines).toContain('mortar_pool_members 1');
    expect(lines).toContain('x{process="glusterd"} 1');
    const brick = `volume="v",brick="${rig.brick('v-1')}"`;
    expect(lines).toContain(`mortar_process_answers{process="brick",${brick}} 1`);
    expect(lines).toContain(`mortar_inodes_active{process="brick",${brick}} 7`);
    expect(lines).toContain('mortar_inodes_active{process="glustershd"} 7');
    expect(lines).toContain(`mortar_heal_pending_entries{${brick}} 4`);
    expect(text).toMatch(/^mortar_brick_size_bytes\{volume="v",brick="[^"]+"\} \d{4,}$/m);
  });

  it('say which process does not answer', async () => {
    await rig.create('d', [rig.brick('d')]);
    await rig.done({ verb: 'volume.start', volume: 'd', force: false });
    const text = await nodeMetrics(rig.daemon.context, '');
    expect(text).toContain(`mortar_process_answers{process="brick",volume="d",brick="${rig.brick('d')}"} 0\n`);
  });
});
