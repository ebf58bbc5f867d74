import { describe, expect, it } from 'vitest';
import { dumpText } from './sections.ts';

describe('dumpText', () => {
  const text = dumpText(
    [
      {
        name: 'cluster/replicate.v-replicate-0',
        values: { 'child_up[0]': true, 'pending_key[0]': 'trusted.afr.v-client-0', 'child_up[1]': false },
      },
      { name: 'empty', values: {} },
    ],
    '2026-11-21 01:02:03.000004',
    '2026-11-21 01:02:03.000005',
  );

  it('has sections of key=value lines between the stamps', () => {
    expect(text).toBe(
      [
        'DUMP-START-TIME: 2026-11-21 01:02:03.000004 +0000',
        '',
        '[cluster/replicate.v-replicate-0]',
        'child_up[0]=1',
        'pending_key[0]=trusted.afr.v-client-0',
        'child_up[1]=0',
        '',
        '[empty]',
        '',
        'DUMP-END-TIME: 2026-11-21 01:02:03.000005 +0000',
        '',
      ].join('\n'),
    );
  });

  it('keeps the order in which a translator gives its keys: scripts read pairs of lines', () => {
    const lines = text.split('\n');
    expect(lines[lines.indexOf('pending_key[0]=trusted.afr.v-client-0') - 1]).toBe('child_up[0]=1');
  });
});
