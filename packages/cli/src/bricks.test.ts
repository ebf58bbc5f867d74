/** add-brick, remove-brick, replace-brick, reset-brick, rebalance. */
import type { TaskData, TaskNodeData } from '@mortar/glusterd/protocol/replies.ts';
import type { Request } from '@mortar/glusterd/protocol/requests.ts';
import { describe, expect, it } from 'vitest';
import { ok, outcomeOf, refused, runCommand, type Transcript, transcripts } from './testing/transcripts.ts';

const prefix = /^volume (?:(?:add|replace|reset)-brick|remove-brick (?:commit force|\w+)|rebalance: [^:\s]+): failed: /;

const rowForm =
  /^ +(\S+) +(?:(\d+) +(\d+)Bytes +(\d+) +(\d+) +(\d+) +)?(?:fix-layout )?(completed|in progress) +(\d+):(\d\d):(\d\d)$/gm;
const uuid = '7b51575f-facf-469d-a415-3e414ef567fb';

/** The task that a recorded command shows: its rows, or its elements. */
function taskIn({ stdout, command }: Transcript): TaskData | undefined {
  const id = /(?:ID: |<task-id>)([0-9a-f-]{36})/.exec(stdout)?.[1] ?? '';
  const xml = (text: string, name: string) => new RegExp(`<${name}>([^<]*)`).exec(text)?.[1] ?? '0';
  const made = (name: string, node: string, counts: readonly number[]): TaskNodeData => ({
    name,
    node,
    state: 'completed',
    movedFiles: counts[0]!,
    movedBytes: counts[1]!,
    scanned: counts[2]!,
    failures: counts[3]!,
    skipped: counts[4]!,
    seconds: counts[5]!,
  });
  const rows = [...stdout.matchAll(rowForm)].map(([, name, ...words]) => {
    const [files, bytes, scanned, failures, skipped, , hours, minutes, seconds] = words.map((word) =>
      Number(word ?? 0),
    );
    const time = hours! * 3600 + minutes! * 60 + seconds!;
    return made(name!, uuid, [files!, bytes!, scanned!, failures!, skipped!, time]);
  });
  const fields = ['files', 'size', 'lookups', 'failures', 'skipped', 'runtime'];
  const elements = [...stdout.matchAll(/<node>(.*?)<\/node>/gs)].map(([, text]) =>
    made(
      xml(text!, 'nodeName'),
      xml(text!, 'id'),
      fields.map((name) => Number(xml(text!, name))),
    ),
  );
  const nodes = [...rows, ...elements];
  if (id === '' && nodes.length === 0) return undefined;
  const sum = (field: 'movedFiles' | 'movedBytes' | 'scanned' | 'failures' | 'skipped') =>
    nodes.reduce((total, node) => total + node[field], 0);
  return {
    kind: command.includes('rebalance') ? 'rebalance' : 'remove-brick',
    id,
    command: stdout.includes('fix-layout') ? 'fix-layout' : 'force',
    state: 'completed',
    movedFiles: sum('movedFiles'),
    movedBytes: sum('movedBytes'),
    scanned: sum('scanned'),
    failures: sum('failures'),
    skipped: sum('skipped'),
    seconds: Math.max(0, ...nodes.map((node) => node.seconds)),
    bricks: [],
    nodes,
    nodeCount: Number(xml(stdout, 'nodeCount')),
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
  const counts = { movedFiles: 0, movedBytes: 0, scanned: 0, failures: 0, skipped: 0, seconds: 3725 };
  const task: TaskData = {
    kind: 'rebalance',
    id: '24437c7d-2ea0-430c-ac57-24262f157ef7',
    command: 'fix-layout',
    state: 'completed',
    ...counts,
    bricks: [],
    nodes: [{ node: uuid, name: 'localhost', state: 'completed', ...counts }],
    nodeCount: 1,
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

  it('tells why a process was given up', async () => {
    const given = (command: TaskData['command']): TaskData => ({
      ...task,
      command,
      state: 'failed',
      nodes: [{ ...task.nodes[0]!, name: 'n2', state: 'failed', reason: 'it died 6 times' }, task.nodes[0]!],
    });
    for (const command of ['migrate', 'fix-layout'] as const) {
      const { stdout, exit } = await runCommand('gluster volume rebalance dist status', () =>
        ok({ task: given(command) }),
      );
      expect(stdout.split('\n').slice(2)).toEqual([
        expect.stringMatching(/^ +n2 .*failed {8}1:02:05$/),
        expect.stringMatching(/^ +localhost .*completed {8}1:02:05$/),
        'n2: it died 6 times',
        'volume rebalance: dist: success',
        '',
      ]);
      expect(exit).toBe(0);
    }
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
