import { describe, expect, it } from 'vitest';
import { jsonText } from './json.ts';
import { ok, refused, runCommand } from './testing/transcripts.ts';
import { element, outcome } from './xml.ts';

const parsed = (stdout: string) => JSON.parse(stdout) as Record<string, unknown>;

describe('--json', () => {
  it('says what --xml says', async () => {
    const { stdout, exit } = await runCommand('gluster --json volume list', () => ok({ names: ['a', '7'] }));
    expect(parsed(stdout)).toEqual({ opRet: 0, opErrno: 0, opErrstr: '', volList: { count: 2, volume: ['a', '7'] } });
    expect(exit).toBe(0);
  });

  it('has a list where there may be several', async () => {
    const { stdout } = await runCommand('gluster volume list --json', () => ok({ names: ['a'] }));
    expect(parsed(stdout)).toMatchObject({ volList: { volume: ['a'] } });
  });

  it('tells failures', async () => {
    const { stdout } = await runCommand('gluster --json volume start v', () => refused('No', { errno: 7 }));
    expect(parsed(stdout)).toEqual({ opRet: -1, opErrno: 7, opErrstr: 'No' });
  });

  it('keeps attributes and the fields of mixed content', () => {
    const file = { name: 'file', attributes: { gfid: 'g' }, text: '/a<b' };
    const brick = {
      name: 'brick',
      attributes: { uuid: 'u' },
      inline: 'h:/a&amp;b<name>h:/a&amp;b</name><isArbiter>0</isArbiter>',
    };
    expect(parsed(jsonText([...outcome(0), element('bricks', [brick]), file]))).toMatchObject({
      bricks: { brick: [{ uuid: 'u', name: 'h:/a&b', isArbiter: '0' }] },
      file: [{ gfid: 'g', value: '/a<b' }],
    });
  });
});
