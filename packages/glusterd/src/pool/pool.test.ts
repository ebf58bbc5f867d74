import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { announceBrick } from '../server/brick-started.ts';
import { Network, PoolNode, until } from '../testing/pool-rig.ts';
import { needed } from './server-quorum.ts';

const count = 4;
let network: Network;
let nodes: PoolNode[];

function node(index: number): PoolNode {
  return nodes[index - 1]!;
}

function probe(from: number, host: string) {
  return node(from).run({ verb: 'peer.probe', host });
}

/** Nodes 1 to `size` are a pool, and all connected. */
async function pool(size: number): Promise<PoolNode[]> {
  for (let i = 2; i <= size; i++) expect(await probe(1, node(i).address)).toMatchObject({ ok: true });
  const members = nodes.slice(0, size);
  await connected(members);
  return members;
}

async function connected(members: readonly PoolNode[]): Promise<void> {
  const uuids = members.map(({ uuid }) => uuid);
  await until('all peers are connected', () =>
    members.every((one) => uuids.every((uuid) => one.daemon.context.pool!.isConnected(uuid))),
  );
}

async function equal(members: readonly PoolNode[]): Promise<void> {
  await until('equal documents', () => new Set(members.map((one) => one.documents())).size === 1);
}

beforeEach(async () => {
  network = new Network();
  nodes = Array.from({ length: count }, (_, i) => new PoolNode(network, i + 1, count));
  for (const one of nodes) await one.up();
});

afterEach(async () => {
  for (const one of nodes) {
    await one.daemon.close();
    one.remove();
  }
});

describe('peer probe', () => {
  it('takes nodes in, and each learns the name of the other', async () => {
    const members = await pool(3);
    await equal(members);
    const hostnames = async (index: number) =>
      (await node(index).done({ verb: 'peer.status' })).peers.map((peer) => [peer.hostname, peer.connected]).sort();
    expect(await hostnames(1)).toEqual([
      ['10.9.0.2', true],
      ['10.9.0.3', true],
    ]);
    expect(await hostnames(3)).toEqual([
      ['10.9.0.2', true],
      ['node1', true],
    ]);
    expect(await node(2).file(`peers/${node(2).uuid}`)).toBeNull();
  });

  it('works by name, and adds another name of a member', async () => {
    await probe(1, 'node2');
    expect(await probe(1, 'node2')).toEqual({
      ok: true,
      data: { message: 'Host node2 port 24007 already in peer list', errno: 2 },
    });
    expect(await probe(1, node(2).address)).toEqual({ ok: true, data: { errno: 0 } });
    const [peer] = (await node(1).done({ verb: 'peer.status' })).peers;
    expect(peer!.hostnames).toEqual(['node2', '10.9.0.2']);
    await equal(nodes.slice(0, 2));
  });

  it('refuses a node that is too old for the pool', async () => {
    const { pool: own, store } = node(1).daemon.context;
    await node(2).daemon.context.store.commit({ node: { uuid: node(2).uuid, opVersion: 80_000 } });
    const { hello } = own!;
    own!.hello = async (host) => ({ ...(await hello.call(own, host)), maxOpVersion: 80_000 });
    const text = '10.9.0.2 does not support required op-version';
    expect(await probe(1, node(2).address)).toEqual({ ok: false, error: { text: `Peer ${text}`, errno: 10 } });
    // One that could have it takes it over.
    own!.hello = hello;
    await pool(2);
    expect(node(2).daemon.context.store.state.node.opVersion).toBe(store.state.node.opVersion);
  });

  it('refuses this node, nobody, and nodes of other pools or with volumes', async () => {
    expect(await probe(1, 'node1')).toMatchObject({ ok: true, data: { message: 'Probe on localhost not needed' } });
    const nobody = { text: 'Probe returned with Transport endpoint is not connected', errno: 107 };
    expect(await probe(1, '10.9.0.99')).toEqual({ ok: false, error: nobody });
    expect(await probe(1, 'no.such.host.invalid')).toEqual({ ok: false, error: nobody });
    const taken = 'is either already part of another cluster or having volumes configured';
    await pool(2);
    expect(await probe(3, node(2).address)).toMatchObject({ ok: false, error: { text: `10.9.0.2 ${taken}` } });
    await node(4).create('lone', [node(4).at('b')]);
    expect(await probe(3, node(4).address)).toMatchObject({ ok: false, error: { text: `10.9.0.4 ${taken}` } });
  });
});

describe('peer detach', () => {
  it('leaves both sides without the other', async () => {
    const members = await pool(3);
    await node(1).done({ verb: 'peer.detach', host: node(3).address, force: false });
    await until('node 3 is alone', () => node(3).daemon.context.store.state.peers.size === 0);
    await equal(members.slice(0, 2));
    // It still says since when it is none, to who knows the pool; and nothing else.
    const { connections, id, version } = node(1).daemon.context.pool!;
    const ask = (pool: string | null) =>
      connections.callOnce(node(3).address, 'pool.changes', { pool, from: node(1).uuid, params: { since: 0 } });
    // The peers are gone from what it does a moment before that is noted.
    await until('node 3 says that it has left', () =>
      ask(id).then(
        () => true,
        () => false,
      ),
    );
    expect(await ask(id)).toEqual({ version, documents: [], hasLeft: true });
    await expect(ask(node(1).uuid)).rejects.toThrow('only members');
    expect((await node(2).done({ verb: 'peer.status' })).peers).toHaveLength(1);
    expect(await probe(1, node(3).address)).toMatchObject({ ok: true });
    await connected(members);
    await equal(members);
  });

  it('refuses strangers, this node, and who has bricks', async () => {
    await pool(2);
    const refusal = (host: string) => node(1).refusal({ verb: 'peer.detach', host, force: true });
    expect(await refusal('10.9.0.3')).toBe('10.9.0.3 is not part of cluster');
    expect(await refusal('node1')).toBe('node1 is localhost');
    await node(1).create('v', [node(2).at('b')]);
    expect(await refusal('10.9.0.2')).toMatch(/^Peer 10.9.0.2 hosts one or more bricks/);
  });

  it('reaches a node that was away', async () => {
    await pool(3);
    await node(3).down();
    await node(1).done({ verb: 'peer.detach', host: node(3).address, force: true });
    await node(3).up();
    await until('node 3 is alone', () => node(3).daemon.context.store.state.peers.size === 0);
  });
});

describe('a member that is installed anew under its old uuid', () => {
  it('catches up, after a change that it has no vote in', async () => {
    const members = await pool(3);
    await node(1).create('v', [node(3).at('v')]);
    await equal(members);
    await node(3).down();
    const { uuid } = node(3);
    node(3).batches.entries.clear();
    rmSync(node(3).directories.work, { recursive: true });
    mkdirSync(node(3).directories.work);
    writeFileSync(`${node(3).directories.work}/glusterd.info`, `UUID=${uuid}\noperating-version=100000\n`);
    const before = node(1).daemon.context.pool!.version;
    await node(3).up();
    expect(node(3).uuid).toBe(uuid);
    await equal(members);
    await until('it is at a version that it knew nothing of', () => node(3).daemon.context.pool!.version > before);
    await node(3).done({ verb: 'volume.start', volume: 'v', force: true });
    await equal(members);
  });

  it('ends what it ran for volumes that are stopped or gone by now', async () => {
    const members = await pool(3);
    const own = (name: string) => node(3).processes.pidsOf(`${node(3).root}/${name}`).length;
    for (const name of ['on', 'off', 'gone']) {
      await node(1).create(name, [node(3).at(name)]);
      await node(1).done({ verb: 'volume.start', volume: name, force: false });
    }
    await equal(members);
    const stop = (volume: string) => node(1).done({ verb: 'volume.stop', volume, force: false });
    await stop('gone');
    await node(1).done({ verb: 'volume.delete', volume: 'gone' });
    // Node 3 has cleaned up behind the volume before it forgets it.
    await until('nothing is left of it', () => !existsSync(`${node(3).directories.run}/vols/gone`));
    await node(3).down();
    await until('node 3 is missed', () => !node(1).daemon.context.pool!.isConnected(node(3).uuid));
    await stop('off');
    await node(3).processes.run('glusterfsd', strayOf(node(3), 'gone'));
    expect([own('on'), own('off'), own('gone')]).toEqual([1, 1, 1]);
    node(3).batches.entries.clear();
    rmSync(node(3).directories.work, { recursive: true });
    mkdirSync(node(3).directories.work);
    const info = `UUID=${node(3).uuid}\noperating-version=100000\n`;
    writeFileSync(`${node(3).directories.work}/glusterd.info`, info);
    await node(3).up();
    await until('only what is wanted runs', () => `${own('on')},${own('off')},${own('gone')}` === '1,0,0');
    await equal(members);
  });

  const strayOf = ({ directories, address, root }: PoolNode, name: string) => [
    ...['--process-name', 'brick', '--brick-name', `${root}/${name}`],
    ...['--volfile-id', `${name}.${address}.x`, '-p', `${directories.run}/vols/${name}/x.pid`],
  ];

  const losesItsDisk = async (lost: PoolNode) => {
    await lost.down();
    lost.batches.entries.clear();
    rmSync(lost.directories.work, { recursive: true });
    mkdirSync(lost.directories.work);
    writeFileSync(`${lost.directories.work}/glusterd.info`, `UUID=${lost.uuid}\noperating-version=100000\n`);
  };

  it('gets the state of the one that is left by force, when most members have lost theirs', async () => {
    const members = await pool(3);
    await node(1).create('v', [node(1).at('v')]);
    await equal(members);
    const recover = (force: boolean) => node(1).run({ verb: 'system.pool.recover', force });
    expect(await recover(true)).toMatchObject({
      ok: false,
      error: { text: expect.stringContaining('nothing to recover') },
    });
    await losesItsDisk(node(2));
    await losesItsDisk(node(3));
    await node(2).up();
    await until('node 2 is back', () => node(1).daemon.context.pool!.isConnected(node(2).uuid));
    await until('it knows that', async () => {
      const reply = await recover(true);
      return !reply.ok && /: no answer\. It may know of changes/.test(reply.error.text);
    });
    await node(3).up();
    await until('node 3 is back', () => node(1).daemon.context.pool!.isConnected(node(3).uuid));
    await until('it says what is lost', async () => {
      const reply = await recover(false);
      return !reply.ok && /lost the state of the pool.*use force$/.test(reply.error.text);
    });
    expect(await recover(true)).toMatchObject({ ok: true });
    await equal(members);
    await node(3).done({ verb: 'volume.start', volume: 'v', force: false });
    await equal(members);
  });

  it('is not taken back while the others are no majority without it', async () => {
    const members = await pool(3);
    await node(3).down();
    node(3).batches.entries.clear();
    rmSync(node(3).directories.work, { recursive: true });
    mkdirSync(node(3).directories.work);
    const info = `UUID=${node(3).uuid}\noperating-version=100000\n`;
    writeFileSync(`${node(3).directories.work}/glusterd.info`, info);
    network.cut(node(2).address);
    await until('node 2 is missed', () => !node(1).daemon.context.pool!.isConnected(node(2).uuid));
    await node(3).up();
    await until('node 1 has tried', () => node(1).lines.some((line) => line.includes('No majority of the pool')));
    expect(node(3).daemon.context.pool!.isShared).toBe(false);
    network.mend(node(2).address);
    await equal(members);
  });
});

describe('volumes over nodes', () => {
  const bricks = () => [1, 2, 3].map((i) => node(i).at('v'));
  const make = () => node(1).create('v', bricks(), { type: 'replicate', replica: 3 });
  const runningOn = (one: PoolNode) => one.processes.pidsOf(one.at('v').slice(one.at('v').indexOf(':') + 1)).length;

  it('are created, started, stopped and deleted on all', async () => {
    const members = await pool(3);
    await make();
    await equal(members);
    await node(2).done({ verb: 'volume.start', volume: 'v', force: false });
    await equal(members);
    expect(members.map(runningOn)).toEqual([1, 1, 1]);
    await until('heal daemons', () => members.every((one) => one.processes.pidsOf('glustershd').length === 1));
    const status = (await node(3).done({ verb: 'volume.status', volume: 'v' })).volumes[0]!.processes;
    expect(status.map(({ hostname, path, online }) => `${hostname} ${path.split('/')[0]} ${online}`)).toEqual([
      '10.9.0.1  true',
      '10.9.0.2  true',
      '10.9.0.3  true',
      'Self-heal Daemon localhost true',
      'Self-heal Daemon node1 true',
      'Self-heal Daemon 10.9.0.2 true',
    ]);
    await node(3).done({ verb: 'volume.stop', volume: 'v', force: false });
    expect(members.map(runningOn)).toEqual([0, 0, 0]);
    await node(1).done({ verb: 'volume.delete', volume: 'v' });
    await equal(members);
    expect(await node(2).file('vols/v/info')).toBeNull();
  });

  it('have a heal daemon again that was asked to end, when a member comes back', async () => {
    await pool(3);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    const { processes } = node(2);
    await until('a heal daemon', () => processes.healed.size === 1);
    processes.signal(processes.pidsOf('glustershd')[0]!, 'SIGTERM');
    expect(processes.pidsOf('glustershd')).toEqual([]);
    await node(1).down();
    await until('node 1 is missed', () => !node(2).daemon.context.pool!.isConnected(node(1).uuid));
    await node(1).up();
    await until('a heal daemon again', () => processes.healed.size === 1);
  });

  it('take options set anywhere, also those set while a node was away', async () => {
    const members = await pool(3);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    await node(3).down();
    const pairs = [{ key: 'network.ping-timeout', value: '33' }];
    await until('node 3 is missed', () => !node(2).daemon.context.pool!.isConnected(node(3).uuid));
    await node(2).done({ verb: 'volume.set', volume: 'v', pairs });
    expect((await node(2).done({ verb: 'volume.status', volume: 'v' })).volumes[0]!.processes).toHaveLength(4);
    await node(3).up();
    await equal(members);
    const shown = async () => (await node(3).file('vols/v/info'))?.includes('network.ping-timeout=33') === true;
    await until('the files follow', shown);
  });

  it('cannot be changed by less than half of the pool', async () => {
    const members = await pool(3);
    await make();
    network.cut(node(3).address);
    const set = (index: number, value: string) =>
      node(index).run({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value }] });
    await until('node 3 is missed', () => !node(1).daemon.context.pool!.isConnected(node(3).uuid));
    expect(await set(3, '40')).toMatchObject({ ok: false });
    expect(await set(1, '41')).toMatchObject({ ok: true });
    expect(await node(1).refusal({ verb: 'volume.delete', volume: 'v' })).toBe('Some of the peers are down');
    network.mend(node(3).address);
    await equal(members);
    expect(node(3).daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBe('41');
  });

  it('exchange a brick on another node for one on a third', async () => {
    const members = await pool(4);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    for (const one of members) one.processes.answers['brick.blame'] = {};
    const exchange = { source: node(2).at('v'), target: node(4).at('v'), ignorePartition: false };
    await node(1).done({ verb: 'volume.replace-brick', volume: 'v', ...exchange });
    await equal(members);
    await until('the bricks run where they belong', () => members.map(runningOn).join() === '1,0,1,1');
    await node(1).done({
      verb: 'volume.reset-brick',
      volume: 'v',
      source: node(4).at('v'),
      action: 'start',
      force: false,
      ignorePartition: false,
    });
    expect(members.map(runningOn)).toEqual([1, 0, 1, 0]);
    const back = { source: node(4).at('v'), target: node(4).at('v'), ignorePartition: false, force: true };
    await node(1).done({ verb: 'volume.reset-brick', volume: 'v', action: 'commit', ...back });
    expect(members.map(runningOn)).toEqual([1, 0, 1, 1]);
  });

  it('refuse directories on other nodes that cannot be bricks, and leave nothing', async () => {
    await pool(3);
    await make();
    const again = node(1).createRequest('w', bricks(), { type: 'replicate', replica: 3 });
    expect(await node(1).refusal(again)).toMatch(/^Brick: 10.9.0.1:.* not available/);
    const elsewhere = node(1).createRequest('w', [node(1).at('w'), node(2).at('v/below')]);
    expect(await node(1).refusal(elsewhere)).toMatch(/^Brick: 10.9.0.2:.* not available/);
  });

  it('get new bricks and lose them on other nodes', async () => {
    const members = await pool(3);
    await node(1).create('v', [node(1).at('v')]);
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    await node(1).done({
      verb: 'volume.add-brick',
      volume: 'v',
      arbiter: 0,
      bricks: [node(2).at('v')],
      force: true,
      ignorePartition: false,
    });
    await equal(members);
    expect(runningOn(node(2))).toBe(1);
    await node(3).done({ verb: 'volume.remove-brick', volume: 'v', bricks: [node(2).at('v')], action: 'force' });
    await equal(members);
    await until('the brick has ended', () => runningOn(node(2)) === 0);
  });
});

describe('a brick that is started', () => {
  it('is announced by every node to those who have the volfile from it', async () => {
    await pool(2);
    const request = node(1).createRequest('v', [node(1).at('b')]);
    expect(await node(1).run(request)).toMatchObject({ ok: true });
    await equal(nodes.slice(0, 2));
    const heard: string[] = [];
    for (const one of nodes.slice(0, 2)) {
      const { volfiles } = one.daemon.context;
      const listener = {
        changed: () => undefined,
        brickStarted: (volume: string) => heard.push(`${one.address} ${volume}`),
      };
      volfiles.watch(listener, 'v', false, '');
    }
    announceBrick(node(1).daemon.context, 'v');
    await until('both have told', () => heard.length === 2);
    expect(heard).toEqual(['10.9.0.1 v', '10.9.0.2 v']);
  });
});

describe('what an operation does on every node', () => {
  const make = () => node(1).create('v', [node(1).at('v'), node(2).at('v')]);

  it('is running the hooks, each node its own', async () => {
    const members = await pool(3);
    for (const one of members)
      for (const when of ['pre', 'post']) {
        const folder = `${one.directories.work}/hooks/1/start/${when}`;
        writeFileSync(`${folder}/S10-${when}`, '');
        writeFileSync(`${folder}/K10`, '');
      }
    await make();
    await node(3).done({ verb: 'volume.start', volume: 'v', force: false });
    for (const one of members) {
      const ran = one.processes.ran.filter(({ program }) => program.includes('/hooks/'));
      const { work } = one.directories;
      const words = ['--volname=v', '--first=yes', '--version=1', '--volume-op=start', `--gd-workdir=${work}`];
      expect(ran).toEqual([
        { program: `${work}/hooks/1/start/pre/S10-pre`, args: words },
        { program: `${work}/hooks/1/start/post/S10-post`, args: words },
      ]);
    }
  });

  it('is raising the op-version, which all must know', async () => {
    const members = await pool(3);
    for (const one of members) {
      const { store } = one.daemon.context;
      await store.commit({ node: { ...store.state.node, opVersion: 90_000 } });
    }
    const raise = (value: string) => ({
      verb: 'volume.set' as const,
      volume: 'all',
      pairs: [{ key: 'cluster.op-version', value }],
    });
    const { connections } = node(1).daemon.context.pool!;
    const { call } = connections;
    connections.call = async (uuid, method, ...more) => {
      const answer = await call.call(connections, uuid, method, ...more);
      const isOld = method === 'pool.hello' && uuid === node(3).uuid;
      return isOld ? { ...(answer as object), maxOpVersion: 90_001 } : answer;
    };
    expect(await node(1).refusal(raise('100000'))).toBe(
      'Staging failed on 10.9.0.3. Error: Required op_version (100000) is not supported. Max supported op version is 90001',
    );
    connections.call = call;
    await node(3).down();
    await until('node 3 is missed', () => !node(1).daemon.context.pool!.isConnected(node(3).uuid));
    expect(await node(1).refusal(raise('100000'))).toBe('Host 10.9.0.3 not connected');
    await node(3).up();
    await connected(members);
    await node(2).done(raise('100000'));
    const opVersions = () => members.map((one) => one.daemon.context.store.state.node.opVersion).join();
    await until('all have it', () => opVersions() === '100000,100000,100000');
    expect((await node(3).done({ verb: 'volume.get', volume: 'all', key: 'cluster.op-version' })).options).toEqual([
      { key: 'cluster.op-version', value: '100000' },
    ]);
  });

  it('is giving the logs of bricks new files', async () => {
    await pool(3);
    await make();
    await node(3).done({ verb: 'volume.start', volume: 'v', force: false });
    const logOf = (one: PoolNode) => `${one.directories.log}/bricks`;
    const name = (one: PoolNode) => `${one.root}/v`.slice(1).replaceAll('/', '-');
    for (const one of nodes.slice(0, 2)) writeFileSync(`${logOf(one)}/${name(one)}.log`, 'old');
    await node(3).done({ verb: 'volume.log.rotate', volume: 'v' });
    for (const one of nodes.slice(0, 2)) {
      expect(readdirSync(logOf(one))).toEqual([expect.stringMatching(/-v\.log\.\d+$/)]);
      expect(one.processes.signals.filter(({ signal }) => signal === 'SIGHUP')).toHaveLength(1);
    }
    await node(3).done({ verb: 'volume.log.rotate', volume: 'v', brick: node(2).at('v') });
    expect(node(1).processes.signals.filter(({ signal }) => signal === 'SIGHUP')).toHaveLength(1);
    expect(await node(1).refusal({ verb: 'volume.log.rotate', volume: 'v', brick: node(3).at('v') })).toMatch(
      /^Incorrect brick/,
    );
  });
});

describe('the quorum of servers', () => {
  it('is more than half, or as many as the ratio says', () => {
    expect([2, 3, 4, 5].map((members) => needed(members, undefined))).toEqual([2, 2, 3, 3]);
    expect([2, 3, 4, 5].map((members) => needed(members, '51%'))).toEqual([2, 2, 3, 3]);
    expect([needed(3, '90%'), needed(3, '30'), needed(3, '0%')]).toEqual([3, 1, 0]);
  });

  it('stops the bricks of a node that is cut off, and starts them again', async () => {
    const members = await pool(3);
    await node(1).create(
      'v',
      [1, 2, 3].map((i) => node(i).at('v')),
      { type: 'replicate', replica: 3 },
    );
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    const pairs = [{ key: 'cluster.server-quorum-type', value: 'server' }];
    await node(1).done({ verb: 'volume.set', volume: 'v', pairs });
    await equal(members);
    const bricks = () => members.map((one) => one.processes.pidsOf(`${one.root}/v`).length);
    network.cut(node(3).address);
    await until('node 3 serves nothing', () => bricks().join() === '1,1,0');
    const set = { verb: 'volume.set' as const, volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '9' }] };
    expect(await node(3).refusal(set)).toBe('Quorum not met. Volume operation not allowed.');
    network.mend(node(3).address);
    await until('node 3 serves again', () => bricks().join() === '1,1,1');
  }, 60_000);
});

describe('the cluster lock', () => {
  it('goes with the connection that it was taken over', async () => {
    await pool(3);
    await make3();
    const { connections, id } = node(2).daemon.context.pool!;
    const ballot = { round: 1000, node: node(2).uuid };
    const said = { pool: id, from: node(2).uuid, params: { ballot, operation: 'nothing', lifeMs: 60_000 } };
    expect(await connections.callOnce(node(1).address, 'pool.lock', said)).toMatchObject({ granted: true });
    const set = { verb: 'volume.set' as const, volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '9' }] };
    await until('node 1 has its lock back', async () => (await node(1).run(set)).ok);
  });

  it('is shown and broken on every node', async () => {
    await pool(3);
    await make3();
    const release = await heldByNode1();
    const show = async (index: number) => (await node(index).done({ verb: 'system.lock.show' })).locks;
    const lock = { subject: 'cluster', uuid: node(1).uuid, operation: 'volume set v' };
    await until('the lock is taken', async () => (await show(2)).length === 1);
    expect(await show(2)).toMatchObject([{ ...lock, hostname: 'node1' }]);
    expect(await show(1)).toMatchObject([{ ...lock, hostname: 'localhost' }]);
    expect(await set(2, '8')).toMatchObject({ ok: false });
    expect((await node(3).done({ verb: 'system.lock.break' })).locks).toMatchObject([lock]);
    expect(await show(2)).toEqual([]);
    // On the node of the broken operation, too, others go on.
    for (const index of [1, 2]) expect(await set(index, `1${index}`)).toMatchObject({ ok: true });
    expect(await release()).toMatchObject({
      ok: false,
      error: { text: expect.stringContaining('lock of this operation was broken') },
    });
    await equal(nodes.slice(0, 3));
    expect(node(1).daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBe('12');
  });

  it('of a node that is alone keeps a broken holder from committing, too', async () => {
    await make3();
    const release = await heldByNode1();
    expect((await node(1).done({ verb: 'system.lock.show' })).locks).toMatchObject([
      { subject: 'v', hostname: 'localhost', operation: 'volume set v', ageSeconds: 0, expiresInSeconds: 180 },
    ]);
    expect((await node(1).done({ verb: 'system.lock.break' })).locks).toHaveLength(1);
    expect(await release()).toMatchObject({ ok: false });
    expect((await node(1).done({ verb: 'system.lock.show' })).locks).toEqual([]);
    expect(node(1).daemon.context.store.state.volumes.get('v')!.options['network.ping-timeout']).toBeUndefined();
  });

  const set = (index: number, value: string) =>
    node(index).run({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value }] });

  /** An operation of node 1 that has the lock and waits, in a hook, until it is let go. */
  async function heldByNode1() {
    const { hooks } = node(1).daemon.context;
    const run = hooks.run.bind(hooks);
    let go = () => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    let began = () => {};
    const begun = new Promise<void>((resolve) => {
      began = resolve;
    });
    hooks.run = async () => {
      hooks.run = run;
      began();
      await held;
    };
    const late = set(1, '7');
    await begun;
    return () => {
      go();
      return late;
    };
  }

  const make3 = () => node(1).create('v', [node(1).at('v')]);
});

describe('strangers', () => {
  it('are answered nothing but who this node is', async () => {
    await pool(2);
    const { connections, id } = node(3).daemon.context.pool!;
    const call = (method: string, params: object) => connections.callOnce(node(1).address, method, params);
    const lie = { pool: node(1).daemon.context.pool!.id, from: node(2).uuid };
    expect(id).toBeNull();
    await expect(call('pool.changes', { ...lie, params: { since: 0 } })).rejects.toThrow('only members');
    await expect(call('site.undoBricks', { ...lie, token: 'x' })).rejects.toThrow('only members');
    await expect(call('pool.join', { pool: node(3).uuid, from: node(3).uuid, opVersion: 1 })).rejects.toThrow(
      'already part of another cluster',
    );
    expect(await call('pool.hello', {})).toMatchObject({ uuid: node(1).uuid, isMember: true });
  });
});
