/** add-brick, remove-brick, replace-brick, reset-brick, rebalance. */
import type { TaskData } from '@mortar/glusterd/protocol/replies.ts';
import type { Request } from '@mortar/glusterd/protocol/requests.ts';
import { describe, expect, it } from 'vitest';
import { ok, outcomeOf, refused, runCommand, type Transcript, transcripts } from './testing/transcripts.ts';

const prefix = /^volume (?:(?:add|replace|reset)-brick|remove-brick (?:commit force|\w+)|rebalance: [^:\s]+): failed: /;

/** The task that a recorded command shows. */
function taskIn({ stdout, command }: Transcript): TaskData | undefined {
  const id = /(?:ID: |<task-id>)([0-9a-f-]{36})/.exec(stdout)?.[1] ?? '';
  const row = /localhost +(\d+) +(\d+)Bytes +(\d+) +(\d+) +(\d+) +(\w+(?: \w+)?) +0:00:(\d\d)/.exec(stdout);
  const xml = (name: string) => Number(new RegExp(`<${name}>(\\d+)`).exec(stdout)?.[1] ?? 0);
  if (id === '' && !row) return undefined;
  const [movedFiles, movedBytes, scanned, failures, skipped] = row
    ? row.slice(1, 6).map(Number)
    : ['files', 'size', 'lookups', 'failures', 'skipped'].map(xml);
  return {
    kind: command.includes('rebalance') ? 'rebalance' : 'remove-brick',
    id,
    command: command.includes('fix-layout') ? 'fix-layout' : 'force',
    state: 'completed',
    movedFiles: movedFiles!,
    movedBytes: movedBytes!,
    scanned: scanned!,
    failures: failures!,
    skipped: skipped!,
    seconds: row ? Number(row[7]) : xml('runtime'),
    bricks: [],
    node: /<id>([0-9a-f-]{36})/.exec(stdout)?.[1] ?? '',
  };
}

describe('commands on bricks, as GlusterFS ran them', () => {
  const found = transcripts('bricks');
  it.each(found.map((one, i) => [`${i} ${one.command}`, one] as const))('%s', async (_name, recorded) => {
    const refusal = prefix.test(recorded.stderr) ? recorded.stderr.replace(prefix, '').trimEnd() : undefined;
    const task = taskIn(recorded);
    const outcome = await runCommand(
      recorded.command,
      () => (refusal === undefined ? ok(task ? { task } : {}) : refused(refusal)),
      recorded.input,
    );
    expect(outcomeOf({ ...recorded, ...outcome })).toEqual(outcomeOf(recorded));
  });
});

async function requestOf(command: string): Promise<Request | undefined> {
  const { requests } = await runCommand(`gluster --mode=script ${command}`, () => ok({}));
  return requests[0];
}

describe('volume rebalance', () => {
  const task: TaskData = {
    kind: 'rebalance',
    id: '24437c7d-2ea0-430c-ac57-24262f157ef7',
    command: 'fix-layout',
    state: 'completed',
    movedFiles: 0,
    movedBytes: 0,
    scanned: 0,
    failures: 0,
    skipped: 0,
    seconds: 3725,
    bricks: [],
    node: '7b51575f-facf-469d-a415-3e414ef567fb',
  };

  it('shows a layout fix in the columns of one', async () => {
    const { stdout } = await runCommand('gluster volume rebalance dist status', () => ok({ task }));
    expect(stdout.split('\n')).toEqual([
      '                               Node                                    status           run time in h:m:s',
      '                          ---------                               -----------                ------------',
      '                          localhost                               fix-layout completed        1:02:05',
      'volume rebalance: dist: success',
      '',
    ]);
  });

  it('tells how long it still takes, once that is known, while it runs', async () => {
    const linesOf = async (more: Partial<TaskData>) => {
      const running: TaskData = { ...task, command: 'migrate', ...more };
      const { stdout } = await runCommand('gluster volume rebalance dist status', () => ok({ task: running }));
      return stdout.split('\n').filter((one) => one.startsWith('Estimated'));
    };
    expect(await linesOf({ state: 'running', secondsLeft: 3725 })).toEqual([
      'Estimated time left for rebalance to complete :        1:02:05',
    ]);
    expect(await linesOf({ state: 'running' })).toEqual([]);
    expect(await linesOf({ state: 'completed', secondsLeft: 0 })).toEqual([]);
  });

  describe('that waits for clients', () => {
    const running: TaskData = { ...task, state: 'running', command: 'migrate' };
    const clients = Array.from({ length: 10 }, (_, i) => ({
      program: 'glusterfs',
      host: `node${i}`,
      processId: 40 + i,
      seconds: 12,
    }));
    const answer = (count: number) => () =>
      ok({ task: running, ...(count > 0 && { awaited: clients.slice(0, count) }) });
    const status = 'volume rebalance dist status';
    const lineOf = async (command: string, count: number) => {
      const { stdout } = await runCommand(`gluster ${command}`, answer(count));
      return stdout.split('\n').filter((one) => one.startsWith('Waiting'));
    };

    it('names them, and says what to do', async () => {
      expect(await lineOf(status, 2)).toEqual([
        'Waiting for clients that still work with other bricks : glusterfs on node0, pid 40 (for 12 s); ' +
          'glusterfs on node1, pid 41 (for 12 s). Unmount what does not answer, ' +
          'or stop this and rebalance with start force, which leaves it behind.',
      ]);
      expect((await lineOf(status, 10))[0]).toContain('pid 47 (for 12 s); 2 more. Unmount');
      expect(await lineOf(status, 0)).toEqual([]);
    });

    it('does not offer to leave them behind where files must not stay', async () => {
      const removal: TaskData = { ...running, kind: 'remove-brick', command: 'detach', bricks: ['h:/a'] };
      const answered = () => ok({ task: removal, awaited: clients.slice(0, 1) });
      const { stdout } = await runCommand('gluster volume remove-brick v h:/a status', answered);
      expect(stdout).toContain('pid 40 (for 12 s). Unmount what does not answer.\n');
    });

    it('tells them as JSON, and leaves XML as it is', async () => {
      const outputOf = async (flag: string, count: number) =>
        (await runCommand(`gluster ${flag} ${status}`, answer(count))).stdout;
      expect(JSON.parse(await outputOf('--json', 1)).volRebalance.awaitedClients).toEqual({
        awaitedClient: [{ program: 'glusterfs', host: 'node0', pid: 40, seconds: 12 }],
      });
      expect(await outputOf('--xml', 1)).toBe(await outputOf('--xml', 0));
    });
  });

  it('is a task of volume status', async () => {
    const moving: TaskData = { ...task, command: 'force', kind: 'remove-brick', bricks: ['h:/a', 'h:/b'] };
    const status = () => ok({ volumes: [{ volume: 'dist', processes: [], task: moving }] });
    const { stdout } = await runCommand('gluster volume status dist tasks', status);
    expect(stdout).toContain(
      [
        'Task                 : Remove brick        ',
        `ID                   : ${task.id}`,
        'Removed bricks:     ',
        'h:/a',
        'h:/b',
        'Status               : completed           ',
        '',
      ].join('\n'),
    );
    const { stdout: xml } = await runCommand('gluster --xml volume status dist tasks', status);
    expect(xml).toContain('<statusStr>completed</statusStr>');
  });

  it.each(['bogus', 'fix-layout', 'start now', 'stop force'])('refuses %s', async (what) => {
    const { stderr, exit, requests } = await runCommand(`gluster volume rebalance dist ${what}`, () => ok({}));
    expect(stderr).toContain('Usage:');
    expect({ exit, requests }).toEqual({ exit: 1, requests: [] });
  });
});

describe('words to requests', () => {
  it.each<[string, Request]>([
    [
      'volume add-brick v replica 3 arbiter 1 h:/a//b/ h:/c force',
      {
        verb: 'volume.add-brick',
        volume: 'v',
        replica: 3,
        arbiter: 1,
        bricks: ['h:/a/b', 'h:/c'],
        force: true,
        ignorePartition: false,
      },
    ],
    [
      '--wignore volume add-brick v h:/a',
      { verb: 'volume.add-brick', volume: 'v', arbiter: 0, bricks: ['h:/a'], force: true, ignorePartition: false },
    ],
    [
      'volume remove-brick v replica 1 h:/a h:/b force',
      { verb: 'volume.remove-brick', volume: 'v', replica: 1, bricks: ['h:/a', 'h:/b'], action: 'force' },
    ],
    [
      '--wignore-partition volume replace-brick v h:/a h:/b commit force',
      { verb: 'volume.replace-brick', volume: 'v', source: 'h:/a', target: 'h:/b', ignorePartition: true },
    ],
    [
      'volume reset-brick v h:/a h:/a commit',
      {
        verb: 'volume.reset-brick',
        volume: 'v',
        source: 'h:/a',
        target: 'h:/a',
        action: 'commit',
        force: false,
        ignorePartition: false,
      },
    ],
  ])('%s', async (command, request) => {
    expect(await requestOf(command)).toEqual(request);
  });

  it.each([
    ['volume add-brick v', /Usage/],
    ['volume add-brick v replica 1 h:/a h:/b', /replica count should be greater than 1/],
    ['volume add-brick v replica 4 arbiter 1 h:/a h:/b', /replica count must be 3/],
    ['volume add-brick v localhost:/a', /other than localhost/],
    ['volume remove-brick v h:/a h:/a force', /Duplicate bricks found/],
    ['volume remove-brick v replica 2 force', /Usage/],
    ['volume remove-brick v h:a force', /wrong brick type: h:a/],
    ['volume remove-brick v h:/a sometime', /Usage/],
    ['volume replace-brick v h:/a h:/b commit gently', /Invalid option 'commit' 'gently'/],
    ['volume reset-brick v h:/a stop', /Invalid option 'stop' for reset-brick/],
    ['volume reset-brick v h:/a h:/a commit gently', /Invalid option 'commit gently'/],
  ])('refuses %s', async (command, message) => {
    const { stderr, exit, requests } = await runCommand(`gluster --mode=script ${command}`, () => ok({}));
    expect(stderr).toMatch(message);
    expect(exit).toBe(1);
    expect(requests).toEqual([]);
  });

  it('does nothing when the warning is not accepted', async () => {
    const { requests, exit } = await runCommand('gluster volume remove-brick v h:/a force', () => ok({}), 'n\n');
    expect({ requests, exit }).toEqual({ requests: [], exit: 0 });
  });
});
