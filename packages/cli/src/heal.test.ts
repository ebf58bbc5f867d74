/** `volume heal` and what it tells. */
import type { HealBrickData } from '@mortar/glusterd/protocol/replies.ts';
import { describe, expect, it } from 'vitest';
import {
  type Answer,
  compare,
  type Host,
  nodes,
  ok,
  outcomeOf,
  refused,
  runCommand,
  transcript,
  transcripts,
} from './testing/transcripts.ts';

describe('volume heal', () => {
  const brick = (name: string, entries: HealBrickData['entries'] | null): HealBrickData => ({
    name,
    hostUuid: nodes[name.split(':')[0] as Host],
    connected: entries !== null,
    entries: entries ?? [],
  });
  const done: Answer = () => ok({ kind: 'done' });
  const simple = ['', ' full', ' enable', ' disable', ' granular-entry-heal disable', ' granular-entry-heal enable'];
  it.each(simple)('rep3%s', (words) => compare('heal', `gluster volume heal rep3${words}`, done));

  it('tells why it was not launched', () =>
    compare('heal', 'gluster volume heal nosuch', () => refused('Volume nosuch does not exist')));
  it('has no information about a distributed volume', () =>
    compare('heal', 'gluster volume heal dist info', () =>
      refused(
        'This command is supported for only volumes of replicate/disperse type. Volume dist is not of type replicate/disperse',
        { exit: 234 },
      ),
    ));
  it('has no information about a stopped volume', () =>
    compare('heal', 'gluster volume heal stopped info', () =>
      refused('stopped: Not able to fetch volfile from glusterd', { exit: 251 }),
    ));

  it('has no bricks in the document of a refusal', async () => {
    const text = 'Volume none does not exist';
    const { stdout, exit } = await runCommand('gluster --xml volume heal none info', () =>
      refused(text, { errno: 2, exit: 254 }),
    );
    expect([exit, stdout]).toEqual([
      254,
      `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<cliOutput>
  <healInfo>
    <bricks/>
  </healInfo>
  <opRet>-1</opRet>
  <opErrno>2</opErrno>
  <opErrstr>${text}</opErrstr>
</cliOutput>
`,
    ]);
  });

  const xml = transcript('heal', 'gluster --xml volume heal rep3 info').stdout;
  const pending = [...xml.matchAll(/<file gfid="([^"]+)">([^<]+)</g)]
    .slice(0, 6)
    .map((match) => ({ gfid: match[1]!, path: match[2]!, splitBrain: false, healing: false }));
  const away = [
    brick('10.78.0.11:/srv/b1/rep3', pending),
    brick('10.78.0.12:/srv/b1/rep3', null),
    brick('10.78.0.13:/srv/b3/rep3', pending),
  ];
  const healthy = away.map((one) => ({ ...one, connected: true, entries: [] }));
  const info =
    (bricks: HealBrickData[]): Answer =>
    () =>
      ok({ kind: 'info', bricks });

  it('has nothing to heal', () => compare('heal', 'gluster volume heal rep3 info', info(healthy)));
  it('has nothing to heal, in sum', () => compare('heal', 'gluster volume heal rep3 info summary', info(healthy)));
  it('has no split brain', () => compare('heal', 'gluster volume heal rep3 info split-brain', info(healthy)));
  it('lists what is pending', () => compare('heal', 'gluster volume heal rep3 info', info(away), 1));
  it('sums up what is pending', () => compare('heal', 'gluster volume heal rep3 info summary', info(away), 1));
  it('lists in XML', () => compare('heal', 'gluster --xml volume heal rep3 info', info(away)));
  it('sums up in XML', () => compare('heal', 'gluster --xml volume heal rep3 info summary', info(away)));
  it.each([
    ['gluster volume heal rep3 statistics heal-count', 1],
    ['gluster volume heal rep3 statistics heal-count replica 10.78.0.11:/srv/b1/rep3', 0],
  ] as const)('counts: %s', (command, nth) =>
    compare(
      'heal',
      command,
      () =>
        ok({
          kind: 'count',
          bricks: away.map((one) => ({ name: one.name, count: one.connected ? one.entries.length : null })),
        }),
      nth,
    ),
  );

  it('shows the statistics of crawls', async () => {
    const one = transcript('heal', 'gluster volume heal rep3 statistics');
    const seconds = (text: string) => Date.parse(`${text}`) / 1000;
    const bricks = one.stdout
      .split(/^-{48}\n/m)
      .slice(1)
      .map((part, index) => ({
        index,
        hostname: /Hostname of brick (.*)/.exec(part)![1],
        connected: true,
        crawls: [
          ...part.matchAll(
            /Starting time of crawl: (.*)\n\nEnding time of crawl: (.*)\n\nType of crawl: (\w+)\n.*healed: (\d+)\n.*split-brain: (\d+)\n.*entries: (\d+)/g,
          ),
        ].map((m) => ({
          startSeconds: seconds(m[1]!),
          endSeconds: seconds(m[2]!),
          type: m[3],
          healed: Number(m[4]),
          splitBrain: Number(m[5]),
          failed: Number(m[6]),
        })),
      }));
    await compare('heal', one.command, () => ok({ kind: 'statistics', bricks }));
  });

  const sbXml = transcript('split-brain', 'gluster --xml volume heal sb info split-brain').stdout;
  const split = [...sbXml.matchAll(/<file gfid="([^"]+)">([^<]+)</g)]
    .slice(0, 7)
    .map((match) => ({ gfid: match[1]!, path: match[2]!, splitBrain: true, healing: false }));
  const entries = [...split.slice(0, 6), { ...split[6]!, path: '/g', splitBrain: false }, split[6]!];
  const sides = [brick('10.78.0.11:/srv/b2/sb', entries), brick('10.78.0.12:/srv/b2/sb', entries)];

  it('marks a split brain', () => compare('split-brain', 'gluster volume heal sb info', info(sides)));
  it('sums up split brains', () => compare('split-brain', 'gluster volume heal sb info summary', info(sides)));
  it('lists split brains only', () => compare('split-brain', 'gluster volume heal sb info split-brain', info(sides)));
  it('lists split brains in XML', () =>
    compare('split-brain', 'gluster --xml volume heal sb info split-brain', info(sides)));

  const resolutions = transcripts('split-brain').filter(
    (one) => / split-brain (bigger-file|latest-mtime|source-brick) \S/.test(one.command) && one.stderr === '',
  );
  it.each(resolutions.map((one) => [one.command, one] as const))('%s', async (command, one) => {
    const failed = one.stdout.endsWith('Volume heal failed.\n');
    const lines = one.stdout
      .replace(/Volume heal failed\.\n$/, '')
      .replace(/\n$/, '')
      .split('\n');
    const answer: Answer = () => ok({ kind: 'split-brain', lines, failed, exit: one.exit });
    const { requests, ...outcome } = await runCommand(command, answer);
    expect(outcome).toEqual(outcomeOf(one));
    expect(requests[0]).toMatchObject({ verb: 'volume.heal', volume: 'sb' });
  });

  it('shows a gfid where no path is known', async () => {
    const unknown = { gfid: split[0]!.gfid, path: null, splitBrain: false, healing: true };
    const { stdout } = await runCommand('gluster volume heal sb info', info([brick('h:/b', [unknown])]));
    expect(stdout).toContain(`<gfid:${unknown.gfid}> - Possibly undergoing heal\n`);
  });
});
