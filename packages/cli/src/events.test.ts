import { expect, it } from 'vitest';
import { ok, refused, runCommand } from './testing/transcripts.ts';

it('adds a webhook, and leaves its token out of the history', async () => {
  const done = await runCommand('gluster eventsapi webhook-add http://h/x bearer-token abc', () => ok({}));
  expect(done).toMatchObject({
    stdout: 'webhook-add: success\n',
    exit: 0,
    requests: [{ verb: 'events.webhook-add', url: 'http://h/x', token: 'abc' }],
  });
  const failed = await runCommand('gluster eventsapi webhook-del http://h/x', () => refused('Webhook does not exists'));
  expect(failed).toMatchObject({ stderr: 'webhook-del: failed: Webhook does not exists\n', exit: 1 });
});

it.each(['webhook-add', 'webhook-add ftp://h', 'webhook-add http://h token x', "webhook-add http://h bearer-token ''"])(
  'refuses %s',
  async (words) => {
    const { exit, requests } = await runCommand(`gluster eventsapi ${words}`, () => ok({}));
    expect({ exit, requests }).toEqual({ exit: 1, requests: [] });
  },
);

it('draws the tables of the original', async () => {
  const answer = () =>
    ok({
      webhooks: ['http://h/x'],
      nodes: [
        { node: 'node2', up: false },
        { node: 'localhost', up: true },
      ],
    });
  expect((await runCommand('gluster eventsapi status', answer)).stdout.split('\n')).toEqual([
    'Webhooks: ',
    'http://h/x',
    '',
    '+-----------+-------------+-----------------------+',
    '|      NODE | NODE STATUS | GLUSTEREVENTSD STATUS |',
    '+-----------+-------------+-----------------------+',
    '|     node2 |        DOWN |                NOT OK |',
    '| localhost |          UP |                    OK |',
    '+-----------+-------------+-----------------------+',
    '',
  ]);
  const tried = await runCommand('gluster eventsapi webhook-test http://h/x', () =>
    ok({ result: 'NOT OK: ECONNREFUSED' }),
  );
  expect(tried).toMatchObject({ exit: 1, stdout: expect.stringContaining('| NOT OK: ECONNREFUSED |') });
});
