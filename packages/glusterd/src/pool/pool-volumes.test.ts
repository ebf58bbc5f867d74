import { readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemInspector } from '../brick-inspector.ts';
import { announceBrick } from '../server/brick-started.ts';
import { connected, equal, fourNodes, network, node, nodes, pool } from '../testing/four-nodes-rig.ts';
import { type PoolNode, until } from '../testing/pool-rig.ts';

fourNodes();

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
    // Each shows the volume's daemon once that has heard of the volume.
    const heals = async ({ daemon }: PoolNode) => (await daemon.context.healDaemon.state('v')).online;
    await until('heal daemons', async () => (await Promise.all(members.map(heals))).every(Boolean));
    for (const one of members) expect(one.processes.pidsOf('glustershd')).toHaveLength(1);
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

  it('have no bricks left where the node that starts them dies before that is agreed on', async () => {
    const members = await pool(3);
    await make();
    const start = (index: number) => node(index).run({ verb: 'volume.start', volume: 'v', force: false });
    let go = () => {};
    node(2).processes.gate = new Promise((resolve) => {
      go = resolve;
    });
    const starting = start(3).catch(() => undefined);
    await until('node 1 runs its brick', () => runningOn(node(1)) === 1);
    await node(3).down();
    go();
    await starting;
    await until('node 2 has come to run its brick', () =>
      node(2).processes.ran.some(({ args }) => args.includes('--brick-port')),
    );
    await until('nobody runs a brick', () => runningOn(node(1)) + runningOn(node(2)) === 0);
    await node(3).up();
    await connected(members);
    await until('node 3 runs none either', () => runningOn(node(3)) === 0);
    expect(await start(3)).toMatchObject({ ok: true });
    // Agreed on, they are no longer the matter of who had them started.
    await node(3).down();
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(members.map(runningOn)).toEqual([1, 1, 1]);
    await node(3).up();
  });

  it('are not started, by force either, over a directory of another volume on any node', async () => {
    const members = await pool(3);
    await make();
    const path = node(2)
      .at('v')
      .slice(node(2).at('v').indexOf(':') + 1);
    systemInspector.setVolumeId(path, '11111111-2222-4333-8444-555555555555');
    for (const force of [false, true]) {
      const reply = await node(1).run({ verb: 'volume.start', volume: 'v', force });
      expect(reply.ok || reply.error.text).toMatch(/^Volume id mismatch for brick 10\.9\.0\.2:/);
    }
    expect(members.map(runningOn)).toEqual([0, 0, 0]);
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

  it('have other bricks when they were stopped and started again while a node was away', async () => {
    const members = await pool(3);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    await node(3).down();
    await until('node 3 is missed', () => !node(2).daemon.context.pool!.isConnected(node(3).uuid));
    const path = node(3).at('v').split(':')[1]!;
    const pid = () => node(3).processes.pidsOf(path);
    const [old] = pid();
    await node(2).done({ verb: 'volume.stop', volume: 'v', force: false });
    await node(2).done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'server.ssl', value: 'on' }] });
    await node(2).done({ verb: 'volume.start', volume: 'v', force: true });
    await node(3).up();
    await equal(members);
    await until('node 3 runs another brick', () => pid().length === 1 && pid()[0] !== old);
    // What comes when it is running changes nothing more.
    await connected(members);
    const [now] = pid();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: true });
    await node(1).done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '33' }] });
    await equal(members);
    await node(3).daemon.context.pool!.learned();
    expect(pid()).toEqual([now]);
  });

  it('are dumped on all nodes, and the brick that could not is named', async () => {
    await pool(3);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    for (const i of [1, 2, 3]) node(i).processes.answers['process.statedump'] = { path: '/dump' };
    const request = { verb: 'volume.statedump' as const, volume: 'v', options: [] };
    expect(await node(1).done(request)).toEqual({});
    node(3).processes.answers = {};
    expect(await node(1).refusal(request)).toBe(`${node(3).at('v')}: nobody answers process.statedump`);
    const { ask } = node(1).daemon.context.pool!;
    node(1).daemon.context.pool!.ask = (uuid, method, ...more) =>
      method === 'site.dumpBricks' && uuid === node(2).uuid
        ? Promise.reject(new Error('no answer in 10 s'))
        : ask.call(node(1).daemon.context.pool!, uuid, method, ...more);
    const lines = (await node(1).refusal(request)).split('\n');
    expect(lines[0]).toMatch(`${node(2).at('v')}: Host 10.9.0.2 does not answer: no answer in 10 s`);
    expect(lines).toHaveLength(2);
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

  it('exchange a brick for one at the same path on another node, and have the old one ended', async () => {
    await pool(4);
    await make();
    await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
    for (const one of nodes) one.processes.answers['brick.blame'] = {};
    const source = node(1).at('v');
    const path = source.slice(source.indexOf(':') + 1);
    const exchange = { source, target: `${node(4).address}:${path}`, ignorePartition: false };
    await node(1).done({ verb: 'volume.replace-brick', volume: 'v', ...exchange });
    expect(nodes.map((one) => one.processes.pidsOf(path).length)).toEqual([0, 0, 0, 1]);
  });

  it.each([1, 2])(
    'tell no client of the brick in place of one of node %d before that has ended',
    async (index) => {
      await pool(4);
      await make();
      await node(1).done({ verb: 'volume.start', volume: 'v', force: false });
      for (const one of nodes) one.processes.answers['brick.blame'] = {};
      // A client that has its volfile from node 1 stays until it hears of the new one from there.
      let isTold = false;
      Object.defineProperty(node(index).processes.answers, 'brick.clients', { get: () => (isTold ? [] : ['mount']) });
      const seen: number[] = [];
      for (const one of nodes) {
        const { volfiles } = one.daemon.context;
        const changed = () => {
          seen.push(runningOn(node(index)));
          if (one === node(1)) isTold = true;
        };
        volfiles.watch({ changed, brickStarted: () => undefined }, 'v', false, volfiles.text('v', false)!);
      }
      const exchange = { source: node(index).at('v'), target: node(4).at('v'), ignorePartition: false };
      await node(1).done({ verb: 'volume.replace-brick', volume: 'v', ...exchange });
      await until('all have heard', () => seen.length >= 4);
      expect(new Set(seen)).toEqual(new Set([0]));
    },
    30_000,
  );

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
