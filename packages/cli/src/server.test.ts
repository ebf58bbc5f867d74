/** What glusterd's answers look like. */
import type { PeerData, VolumeData } from '@mortar/glusterd/protocol/replies.ts';
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

const options: [string, string][] = [
  ['cluster.granular-entry-heal', 'on'],
  ['storage.fips-mode-rchecksum', 'on'],
  ['transport.address-family', 'inet'],
  ['nfs.disable', 'on'],
  ['performance.client-io-threads', 'off'],
];

function volume(name: string, id: string, more: Partial<VolumeData> = {}, paths = [`/srv/b1/${name}`]): VolumeData {
  const replica = more.type === 'Replicate';
  return {
    name,
    id,
    type: 'Replicate',
    status: 'Started',
    bricks: paths.flatMap((path) =>
      (Object.keys(nodes) as Host[]).map((host, i) => ({
        name: `${host}:${path}`,
        hostUuid: nodes[host],
        arbiter: (more.arbiter ?? 0) > 0 && i === 2,
      })),
    ),
    setSize: 3,
    replica: replica ? 3 : 1,
    arbiter: 0,
    disperse: 0,
    redundancy: 0,
    transport: 'tcp',
    snapshotCount: 0,
    options: replica ? options : options.slice(1, 4),
    ...more,
  };
}

const volumes = [
  volume('arb', '60a2f999-8f85-4fd1-be5d-3d47c27e711e', { type: 'Replicate', arbiter: 1 }),
  volume('disp', '77d05f20-d926-460d-be71-e1e1992a52ea', { type: 'Disperse', disperse: 3, redundancy: 1 }),
  volume('dist', '7d556574-974e-415e-bf9d-b38be7c1c063', { type: 'Distribute', setSize: 1 }),
  volume('dr', '18fbf117-efad-4d08-8e25-9cef2c095deb', { type: 'Replicate' }, ['/srv/b1/dr', '/srv/b2/dr']),
  volume('rep3', 'd1a333de-674a-4bac-a83c-ea2f5bba74a9', { type: 'Replicate' }),
];

describe('volume info and list', () => {
  const file = 'volume-start-stop';
  const only = (name: string) => ok({ volumes: volumes.filter((one) => one.name === name) });

  it('describes all volumes', () => compare(file, 'gluster volume info', () => ok({ volumes })));
  it('describes one', () => compare(file, 'gluster volume info rep3', () => only('rep3')));
  it('describes one in XML', () => compare(file, 'gluster --xml volume info arb', () => only('arb')));
  it('tells that there is none', () =>
    compare(file, 'gluster volume info nosuch', () => refused('Volume nosuch does not exist')));
  it('tells that there is none in XML', () =>
    compare(file, 'gluster --xml volume info nosuch', () => refused('Volume nosuch does not exist', { errno: 30806 })));
  it('lists names', () => compare(file, 'gluster volume list', () => ok({ names: volumes.map((one) => one.name) }), 1));
  it('lists names in XML', () =>
    compare(file, 'gluster --xml volume list', () => ok({ names: volumes.map((one) => one.name) })));
});

describe('refusals', () => {
  const prefix =
    /^(volume (?:create|start|stop|delete): [^:\s]+: failed: |volume (?:set|reset|get option|statedump|log-rotate|sync): failed: |peer (?:probe|detach): failed: )/;
  const files = ['volume-create', 'volume-create-2', 'volume-start-stop', 'volume-set', 'peers', 'statedump'];
  const found = files
    .flatMap(transcripts)
    .filter((one) => prefix.test(one.stderr) && !/\nUsage:/.test(one.stderr) && !one.command.includes('bitrot'));

  it.each(found.map((one) => [one.command, one] as const))('%s', async (command, one) => {
    const text = one.stderr.replace(prefix, '').replace(/\n$/, '');
    const answer: Answer = () => refused(text, one.exit === 1 ? {} : { exit: one.exit });
    const { requests, ...outcome } = await runCommand(command, answer, one.input);
    expect(outcome).toEqual(outcomeOf(one));
  });

  it('covers the transcripts', () => expect(found.length).toBeGreaterThan(50));
});

describe('successes', () => {
  const done =
    /^(?:.*\(y\/n\) )?(volume (?:create|start|stop|delete|set|reset|statedump|log-rotate).*success.*|peer (?:probe|detach): success)\n$/s;
  const files = ['volume-create', 'volume-create-2', 'volume-start-stop', 'volume-set', 'peers', 'statedump'];
  const found = files.flatMap(transcripts).filter((one) => done.test(one.stdout) && one.stderr === '');

  it.each(found.map((one) => [one.command, one] as const))('%s', async (command, one) => {
    const { requests, ...outcome } = await runCommand(command, () => ok({ errno: 0 }), one.input);
    expect(outcome).toEqual(outcomeOf(one));
    expect(requests).toHaveLength(1);
  });

  it('covers the transcripts', () => expect(found.length).toBeGreaterThan(60));

  it('creates in XML', () =>
    compare('volume-create', 'gluster --xml volume create xmlv 10.78.0.11:/srv/b2/xmlv', () =>
      ok({ volume: 'xmlv', id: 'c7d24b70-b261-4a4d-b3ca-900d9fbf4911' }),
    ));
  it('refuses in XML', () =>
    compare(
      'volume-create',
      'gluster --xml volume create xmlv 10.78.0.11:/srv/b2/xmlv',
      () => refused('Volume xmlv already exists', { errno: 0 }),
      1,
    ));
});

describe('volume set, get and reset', () => {
  const file = 'volume-set';
  const bad = 'invalid number format "abc" in option "cache-size"';

  it('sets in XML', () => compare(file, 'gluster --xml volume set rep3 performance.cache-size 33MB', () => ok({})));
  it('refuses in XML', () =>
    compare(file, 'gluster --xml volume set rep3 performance.cache-size abc', () => refused(bad)));
  it('resets in XML', () => compare(file, 'gluster --xml volume reset rep3', () => ok({})));
  it('names the file of a group that cannot be read', () =>
    compare(file, 'gluster volume set rep3 group nosuchgroup', () =>
      refused("Unable to open file '/var/lib/glusterd/groups/nosuchgroup'. Error: No such file or directory"),
    ));
  it('shows a value', () =>
    compare(file, 'gluster volume get rep3 user.comment', () =>
      ok({ options: [{ key: 'user.comment', value: 'hello' }] }),
    ));
  it('shows a value in XML', () =>
    compare(file, 'gluster --xml volume get rep3 performance.cache-size', () =>
      ok({ options: [{ key: 'performance.cache-size', value: '33MB' }] }),
    ));
  it('shows the options of the pool', async () => {
    const one = transcript(file, 'gluster volume get all all');
    const rows = one.stdout.trimEnd().split('\n').slice(2);
    const shown = rows.map((row) => ({ key: row.slice(0, 40).trim(), value: row.slice(41).trim() }));
    await compare(file, one.command, () => ok({ options: shown }));
  });
});

describe('peers', () => {
  const peer = (hostname: Host | '10.78.0.14', uuid: string): PeerData => ({
    uuid,
    hostname,
    hostnames: [hostname],
    connected: true,
    state: 3,
    stateText: 'Peer in Cluster',
  });
  const peers = [
    peer('10.78.0.12', nodes['10.78.0.12']),
    peer('10.78.0.13', nodes['10.78.0.13']),
    peer('10.78.0.14', '5601af76-ff65-4ecd-9594-ba37b1cfe137'),
  ];
  const self = nodes['10.78.0.11'];

  it('has none', () => compare('peers', 'gluster peer status', () => ok({ peers: [] })));
  it('has some', () => compare('peers', 'gluster peer status', () => ok({ peers }), 1));
  it('lists a pool of one', () => compare('peers', 'gluster pool list', () => ok({ peers: [], self })));
  it('lists the pool from any node', async () => {
    const rows = transcript('peers', 'gluster pool list', 2).stdout.split('\n').slice(1, -1);
    const nodesShown = rows.map((row) => row.split(/\s+/));
    const others = nodesShown
      .slice(0, -1)
      .map(([uuid, hostname]) => ({ ...peers[0]!, uuid: uuid!, hostname: hostname! }));
    await compare('peers', 'gluster pool list', () => ok({ peers: others, self: nodesShown.at(-1)![0] }), 2);
  });
  it('lists the pool in XML', () => compare('peers', 'gluster --xml pool list', () => ok({ peers, self })));
  it('shows peers in XML', () => compare('peers', 'gluster --xml peer status', () => ok({ peers })));
  it('need not probe itself', () =>
    compare('peers', 'gluster peer probe 10.78.0.11', () =>
      ok({ message: 'Probe on localhost not needed', errno: 1 }),
    ));
  it('need not probe itself, in XML', () =>
    compare('peers', 'gluster --xml peer probe 10.78.0.11', () =>
      ok({ message: 'Probe on localhost not needed', errno: 1 }),
    ));
  it('refuses in XML', () =>
    compare('peers', 'gluster --xml peer probe 10.78.0.99', () =>
      refused('Probe returned with Transport endpoint is not connected', { errno: 107 }),
    ));
});

describe('get-state', () => {
  it('names the file', () =>
    compare('statedump', 'gluster get-state', () => ok({ path: '/var/run/gluster/glusterd_state_20261120_205728' })));
  it('refuses a directory that is not there', () =>
    compare('statedump', 'gluster get-state odir /nosuchdir', () =>
      refused('Output directory /nosuchdir does not exist.'),
    ));
});

it('tells that no daemon answers', async () => {
  const { ConnectionFailed } = await import('./session.ts');
  const { main } = await import('./main.ts');
  let stdout = '';
  const io = {
    out: (text: string) => {
      stdout += text;
    },
    err: () => undefined,
    readLine: async () => null,
    inputIsTerminal: false,
  };
  const exit = await main(['volume', 'info'], io, () => Promise.reject(new ConnectionFailed('gone')));
  expect({ stdout, exit }).toEqual({ stdout: transcript('server-down', 'gluster volume info').stdout, exit: 1 });
});

it.each([
  ['TIMEOUT', { stdout: '', stderr: 'Error : Request timed out\n', exit: 1 }],
  ['DISCONNECTED', outcomeOf(transcript('server-down', 'gluster volume info'))],
])('tells that glusterd did not answer: %s', async (code, outcome) => {
  const answer = () => {
    throw Object.assign(new Error('no answer'), { code });
  };
  expect(await runCommand('gluster volume info', answer)).toMatchObject(outcome);
});
