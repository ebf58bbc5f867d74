/** add-brick, remove-brick, replace-brick, reset-brick. */
import type { Request } from '@mortar/glusterd/protocol/requests.ts';
import { describe, expect, it } from 'vitest';
import { ok, outcomeOf, refused, runCommand, transcripts } from './testing/transcripts.ts';

const prefix = /^volume (?:(?:add|replace|reset)-brick|remove-brick (?:commit force|\w+)): failed: /;

describe('commands on bricks, as GlusterFS ran them', () => {
  const found = transcripts('bricks');
  it.each(found.map((one, i) => [`${i} ${one.command}`, one] as const))('%s', async (_name, recorded) => {
    const refusal = prefix.test(recorded.stderr) ? recorded.stderr.replace(prefix, '').trimEnd() : undefined;
    const outcome = await runCommand(
      recorded.command,
      () => (refusal === undefined ? ok({}) : refused(refusal)),
      recorded.input,
    );
    expect(outcomeOf({ ...recorded, ...outcome })).toEqual(outcomeOf(recorded));
  });
});

async function requestOf(command: string): Promise<Request | undefined> {
  const { requests } = await runCommand(`gluster --mode=script ${command}`, () => ok({}));
  return requests[0];
}

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
