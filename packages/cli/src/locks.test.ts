/** `system:: lock`: commands that GlusterFS does not have. */
import { describe, expect, it } from 'vitest';
import { ok, refused, runCommand } from './testing/transcripts.ts';

const lock = {
  subject: 'cluster',
  hostname: 'node2',
  uuid: '60a2f999-8f85-4fd1-be5d-3d47c27e711e',
  operation: 'volume start v',
  ageSeconds: 12,
  expiresInSeconds: 168,
};

describe('system:: lock', () => {
  it('shows who holds it, for what and how long', async () => {
    const shown = await runCommand('gluster system:: lock show', () => ok({ locks: [lock] }));
    expect(shown).toMatchObject({
      stdout:
        'Lock: cluster\nHolder: node2 (60a2f999-8f85-4fd1-be5d-3d47c27e711e)\nOperation: volume start v\n' +
        'Age: 12 s\nExpires in: 168 s\n',
      exit: 0,
    });
    const nobody = await runCommand('gluster system:: lock show', () => ok({ locks: [] }));
    expect(nobody).toMatchObject({ stdout: 'No operation holds the cluster lock\n', exit: 0 });
  });

  it('shows it as XML', async () => {
    const { stdout } = await runCommand('gluster --xml system:: lock show', () => ok({ locks: [lock] }));
    expect(stdout).toContain('<operation>volume start v</operation>');
    expect(stdout).toContain('<expiresIn>168</expiresIn>');
  });

  it('is broken when that is confirmed, and says what lost it', async () => {
    const broken = await runCommand('gluster --mode=script system:: lock break', () => ok({ locks: [lock] }));
    expect(broken).toMatchObject({
      stdout: 'lock break: success\nTaken from node2: volume start v, after 12 s\n',
      exit: 0,
    });
    const failed = await runCommand('gluster --mode=script system:: lock break', () => refused('No majority'));
    expect(failed).toMatchObject({ stderr: 'lock break: failed: No majority\n', exit: 1 });
  });

  it('takes no more words', async () => {
    expect(await runCommand('gluster system:: pool recover now', () => ok({}))).toMatchObject({
      exit: 1,
      requests: [],
    });
    expect(await runCommand('gluster system:: lock show v', () => ok({}))).toMatchObject({ exit: 1 });
  });
});

it('recovers a pool when it is told to, and says who took what', async () => {
  const answer = () => ok({ members: ['node2', 'node3'], version: 7 });
  const done = await runCommand('gluster --mode=script system:: pool recover force', answer);
  expect(done).toMatchObject({
    stdout: 'pool recover: success: node2, node3 took the state of this node (change 7)\n',
    exit: 0,
    requests: [{ verb: 'system.pool.recover', force: true }],
  });
  const asked = await runCommand('gluster system:: pool recover force', answer, 'n\n');
  expect(asked).toMatchObject({ exit: 0, requests: [] });
});

describe('system:: fsm log', () => {
  const transition = {
    uuid: '60a2f999-8f85-4fd1-be5d-3d47c27e711e',
    hostname: 'node2',
    from: 'Peer in Cluster (Connected)',
    to: 'Peer in Cluster (Disconnected)',
    event: 'connection lost',
    at: 1_800_000_000,
  };

  it('shows what became of peers, and when', async () => {
    const shown = await runCommand('gluster system:: fsm log node2', () => ok({ transitions: [transition] }));
    expect(shown).toMatchObject({
      stdout:
        'number of transitions: 1\n\nHostname : node2\nOld State: [Peer in Cluster (Connected)]\n' +
        'New State: [Peer in Cluster (Disconnected)]\nEvent    : [connection lost]\ntimestamp: [2027-01-15 08:00:00]\n',
      exit: 0,
    });
    const { stdout } = await runCommand('gluster --xml system:: fsm log', () => ok({ transitions: [transition] }));
    expect(stdout).toContain('<event>connection lost</event>');
  });

  it('of one that is none says so', async () => {
    const failed = await runCommand('gluster system:: fsm log x', () => refused('x is not a peer'));
    expect(failed).toMatchObject({ stderr: 'fsm log: failed: x is not a peer\n', exit: 1 });
    expect(await runCommand('gluster system:: fsm log a b', () => ok({}))).toMatchObject({ exit: 1 });
  });
});
