import fc from 'fast-check';
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

  it.each([
    ['system:: uuid get', { uuid: 'u' }, { uuid: 'u' }],
    ['system:: uuid reset --mode=script', { uuid: 'u' }, { uuid: 'u' }],
    ['system:: getwd', { path: '/w' }, { path: '/w' }],
    ['system:: getspec v', { text: 'volume a\n' }, { volfile: 'volume a\n' }],
    ['volume clear-locks v /f kind all posix', { lines: ['a', 'b'] }, { lines: { line: ['a', 'b'] } }],
    ['volume heal v', { kind: 'done' }, {}],
    ['volume heal v granular-entry-heal enable', { kind: 'done' }, {}],
    [
      'volume heal v statistics heal-count',
      {
        kind: 'count',
        bricks: [
          { name: 'h:/a', count: 2 },
          { name: 'h:/b', count: null },
        ],
      },
      {
        bricks: {
          brick: [
            { name: 'h:/a', numberOfEntries: 2 },
            { name: 'h:/b', numberOfEntries: '-' },
          ],
        },
      },
    ],
    [
      'volume heal v statistics',
      {
        kind: 'statistics',
        bricks: [
          {
            ...{ index: 0, hostname: 'h' },
            crawls: [{ startSeconds: 1, endSeconds: null, type: 'INDEX', healed: 3, splitBrain: 0, failed: 1 }],
          },
        ],
      },
      {
        bricks: {
          brick: [
            {
              ...{ index: 0, hostname: 'h' },
              crawls: {
                crawl: [{ startTime: 1, endTime: '-', type: 'INDEX', healed: 3, splitBrain: 0, failed: 1 }],
              },
            },
          ],
        },
      },
    ],
    [
      'volume set help',
      { text: 'Option: a.b\nDefault Value: on\nDescription: what it does\n\n' },
      { options: { option: [{ name: 'a.b', default: 'on', description: 'what it does' }] } },
    ],
  ])('is there for what GlusterFS has no document for: %s', async (words, data, expected) => {
    const { stdout, exit } = await runCommand(`gluster --json ${words}`, () => ok(data));
    expect([parsed(stdout), exit]).toEqual([{ opRet: 0, opErrno: 0, opErrstr: '', ...expected }, 0]);
  });

  it('has the state of get-state, with lists of peers, volumes and bricks', async () => {
    const text = [
      ...['[Global]', 'MYUUID: u', '', '[Global options]', 'cluster.x: 1', '', '[Peers]', 'Peer1.uuid: p', ''],
      ...['[Volumes]', 'Volume1.name: v', 'Volume1.Brick1.path: h:/a', 'Volume1.Brick2.path: h:/b'],
      ...[
        'Volume1.rebalance.status: not_started',
        'Volume1.options.network.ping-timeout: 9',
        '',
        'Volume2.name: w',
        '',
      ],
    ].join('\n');
    const { stdout } = await runCommand('gluster get-state --json', () => ok({ path: '/s', text }));
    expect(parsed(stdout)).toEqual({
      ...{ opRet: 0, opErrno: 0, opErrstr: '', path: '/s' },
      state: {
        Global: { MYUUID: 'u' },
        'Global options': { 'cluster.x': '1' },
        Peers: [{ uuid: 'p' }],
        Volumes: [
          {
            name: 'v',
            bricks: [{ path: 'h:/a' }, { path: 'h:/b' }],
            'rebalance.status': 'not_started',
            options: { 'network.ping-timeout': '9' },
          },
          { name: 'w' },
        ],
      },
    });
    const none = await runCommand('gluster get-state --json', () => ok({ path: '/s', text: '[Peers]\n\n[Volumes]\n' }));
    expect(parsed(none.stdout)).toMatchObject({ state: { Peers: [], Volumes: [] } });
  });

  const empty = { opRet: 0, opErrno: 0, opErrstr: '' };
  const brick = { name: 'h:/a', hostUuid: 'u', connected: true, entries: [] };
  it.each([
    ['volume list', { names: [] }, { volList: { count: 0, volume: [] } }],
    ['volume info', { volumes: [] }, { volInfo: { volumes: { count: 0, volume: [] } } }],
    ['volume status', { volumes: [] }, { volStatus: { volumes: { volume: [] } } }],
    [
      'volume status v',
      { volumes: [{ volume: 'v', processes: [] }] },
      { volStatus: { volumes: { volume: [{ volName: 'v', nodeCount: 0, node: [], tasks: { task: [] } }] } } },
    ],
    ['volume get v all', { options: [] }, { volGetopts: { count: 0, Opt: [] } }],
    ['volume profile v info', { bricks: [] }, { volProfile: { brick: [] } }],
    ['volume top v open', { bricks: [] }, { volTop: { brickCount: 0, brick: [] } }],
    ['volume heal v info', { kind: 'info', bricks: [] }, { healInfo: { bricks: { brick: [] } } }],
    [
      'volume heal v info split-brain',
      { kind: 'info', bricks: [brick] },
      { healInfo: { bricks: { brick: [{ hostUuid: 'u', name: 'h:/a', file: [], numberOfEntries: 0 }] } } },
    ],
    [
      'volume heal v statistics',
      { kind: 'statistics', bricks: [{ index: 0, hostname: 'h', crawls: [] }] },
      { bricks: { brick: [{ index: 0, hostname: 'h', crawls: { crawl: [] } }] } },
    ],
    ['volume clear-locks v /f kind all posix', { lines: [] }, { lines: { line: [] } }],
    ['peer status', { peers: [] }, { peerStatus: { peer: [] } }],
    ['system:: fsm log', { transitions: [] }, { transitions: { transition: [] } }],
    ['system:: lock show', { locks: [] }, { locks: { lock: [] } }],
    ['eventsapi status', { webhooks: [], nodes: [] }, { webhooks: { webhook: [] }, nodes: { node: [] } }],
  ])('has an empty list where there are none: %s', async (words, data, expected) => {
    const { stdout } = await runCommand(`gluster --json ${words}`, () => ok(data));
    expect(parsed(stdout)).toMatchObject({ ...empty, ...expected });
  });

  it('has a list of any number of what is listed', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.nat()), (name, numbers) => {
        fc.pre(!['', 'other', '__proto__'].includes(name));
        const rows = numbers.map((number) => element(name, number));
        const text = jsonText([element('all', [element('other', 1), ...rows], name)]);
        expect(parsed(text)).toEqual({ all: { other: 1, [name]: numbers } });
      }),
    );
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
