import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { connected, equal, fourNodes, network, node, nodes, pool, probe } from '../testing/four-nodes-rig.ts';
import { type PoolNode, until } from '../testing/pool-rig.ts';

fourNodes();

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

  it('by another name breaks no connection', async () => {
    const members = await pool(3);
    const events = async () => {
      const logs = await Promise.all(members.map((one) => one.done({ verb: 'system.fsm.log' })));
      return logs.flatMap(({ transitions }) => transitions.map(({ event }) => event));
    };
    const established = async () => (await events()).filter((event) => event === 'connection established').length;
    await until('each has met the others', async () => (await established()) === 6);
    await probe(1, 'node2');
    await equal(members);
    await connected(members);
    expect(await events()).not.toContain('connection lost');
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

  it('refuses who has got bricks by an operation that it waited for', async () => {
    await pool(3);
    const folder = `${node(1).directories.work}/hooks/1/create/pre`;
    writeFileSync(`${folder}/S10-slow`, '');
    let go = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { processes } = node(1);
    const start = processes.run.bind(processes);
    processes.run = async (program, args) => {
      if (program === `${folder}/S10-slow`) await gate;
      return start(program, args);
    };
    const creating = node(1).create('v', [node(1).at('b'), node(3).at('b')]);
    await until('node 1 has the lock', async () => (await node(2).daemon.context.pool!.holders()).length === 1);
    const detaching = node(2).run({ verb: 'peer.detach', host: node(3).address, force: false });
    await new Promise((resolve) => setTimeout(resolve, 300));
    go();
    await creating;
    expect(await detaching).toMatchObject({ ok: false });
    expect(node(1).daemon.context.store.state.peers.has(node(3).uuid)).toBe(true);
    await until('node 3 has the volume', () => node(3).daemon.context.store.state.volumes.has('v'));
  });

  it('reaches a node that was away', async () => {
    await pool(3);
    await node(3).down();
    await node(1).done({ verb: 'peer.detach', host: node(3).address, force: true });
    await node(3).up();
    await until('node 3 is alone', () => node(3).daemon.context.store.state.peers.size === 0);
  });

  it('is heard of with the next probe by a node that has not heard of it', async () => {
    const members = await pool(3);
    network.cut(node(3).address);
    await node(1).done({ verb: 'peer.detach', host: node(3).address, force: true });
    network.mend(node(3).address);
    expect(node(3).daemon.context.store.state.peers.size).toBe(3);
    expect(await probe(1, node(3).address)).toMatchObject({ ok: true });
    await connected(members);
    await equal(members);
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
