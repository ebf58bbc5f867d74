/** Management over connections: who may ask what, and who hears of what. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ManagementClient, ManagementServer, MemoryStream } from '@mortar/rpc';
import type { PeerIdentity, Stream } from '@mortar/rpc/stream.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { brickSocket } from '../paths.ts';
import { Rig } from '../testing/rig.ts';
import { pathInName, volfileId } from '../volgen/index.ts';

let rig: Rig;
let clients: ManagementClient[];
beforeEach(async () => {
  rig = new Rig();
  clients = [];
  await rig.start();
});
afterEach(() => {
  for (const client of clients) client.close();
  rig.remove();
});

const root = { kind: 'unix', address: '', port: 0, isLocal: true, isLocalRoot: true } as const;
const local = { kind: 'tcp', address: '127.0.0.1', port: 1, isLocal: true, isLocalRoot: false } as const;
const remote = { kind: 'tcp', address: '192.0.2.1', port: 1, isLocal: false, isLocalRoot: false } as const;

/** A client that the transport says is `peer`. */
async function connect(peer: PeerIdentity): Promise<ManagementClient> {
  const [mine, theirs] = MemoryStream.pair('test');
  Object.defineProperty(theirs, 'peer', { value: peer });
  rig.daemon.server.accept(theirs);
  const transport = { connect: async (): Promise<Stream> => mine, listen: () => Promise.reject(new Error('no')) };
  const client = await ManagementClient.connect(
    transport,
    { kind: 'memory', name: 'test' },
    { clock: nodeClock, program: 'test' },
  );
  clients.push(client);
  return client;
}

async function started(): Promise<void> {
  await rig.createReplica('v');
  await rig.done({ verb: 'volume.start', volume: 'v', force: false });
}

const volume = () => rig.daemon.context.store.state.volumes.get('v')!;
const text = async (client: ManagementClient, id: string) =>
  (await client.call<{ text: string }>('volfile.get', { id })).text;
const turn = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('commands', () => {
  const command = (request: unknown) => ['cli.command', { request, line: 'x' }] as const;

  it('are run for root', async () => {
    const client = await connect(root);
    const reply = await client.call(...command(rig.createRequest('v', [rig.brick('b')])));
    expect(reply).toMatchObject({ ok: true, data: { volume: 'v' } });
  });

  it.each([
    { verb: 'volume.info' },
    { verb: 'volume.start', force: false },
    { verb: 'volume.heal', operation: { kind: 'statistics' } },
    { verb: 'system.getspec' },
  ])('of a volume that is not there say which was meant: $verb', async (request) => {
    const client = await connect(root);
    await rig.create('vol', [rig.brick('b')]);
    const meant = async (volume: string) => {
      const { error } = await client.call<{ error: { text: string; meant?: string } }>(
        ...command({ ...request, volume }),
      );
      expect(error.text).toBe(`Volume ${volume} does not exist`);
      return error.meant;
    };
    expect(await meant('vlo')).toBe('vol');
    expect([await meant('x'), await meant('other'), await meant('v'.repeat(300))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('from elsewhere may look only', async () => {
    const client = await connect(remote);
    expect(await client.call(...command({ verb: 'volume.list' }))).toEqual({ ok: true, data: { names: [] } });
    await expect(client.call(...command({ verb: 'volume.stop', volume: 'v', force: true }))).rejects.toThrow(
      /only root/,
    );
  });

  it('that make no sense are refused', async () => {
    const client = await connect(root);
    await expect(client.call(...command({ verb: 'volume.explode' }))).rejects.toMatchObject({ code: 'BAD_PARAMS' });
  });
});

describe('volfiles', () => {
  beforeEach(started);

  it('come with the id and the version of their volume', async () => {
    const client = await connect(remote);
    const asked = () => client.call('volfile.get', { id: 'v' });
    const before = volume().version;
    expect(await asked()).toMatchObject({ volumeId: volume().id, volumeVersion: before });
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '7' }] });
    expect(await asked()).toMatchObject({ volumeVersion: before + 1 });
  });

  const file = (name: string) => `${rig.directories.work}/vols/v/${name}`;
  const marked = (name: string) => {
    const was = readFileSync(file(name), 'utf8');
    writeFileSync(file(name), `# by hand\n${was}`);
    return was;
  };

  it('count as somebody edited them, until they would be made differently', async () => {
    const client = await connect(local);
    const [brick] = volume().bricks;
    const ids: [id: string, name: string][] = [
      ['v', 'trusted-v.tcp-fuse.vol'],
      ['client/v', 'v.tcp-fuse.vol'],
      ['shd/v', 'v-shd.vol'],
      [volfileId({ kind: 'brick', volume: 'v', brick: brick! }), `v.${brick!.host}.${pathInName(brick!.path)}.vol`],
    ];
    for (const [id, name] of ids) {
      const was = marked(name);
      expect(await text(client, id), id).toBe(`# by hand\n${was}`);
    }
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    for (const [id] of ids) expect(await text(client, id), id).toContain('# by hand');
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'cluster.heal-timeout', value: '77' }] });
    for (const [id, name] of ids) {
      const isOther = id === 'shd/v';
      expect((await text(client, id)).includes('# by hand'), name).toBe(!isOther);
      expect(readFileSync(file(name), 'utf8').includes('# by hand'), name).toBe(!isOther);
    }
  });

  it('are made again when the file is gone, and refused when it has become too long', async () => {
    const client = await connect(local);
    const made = await text(client, 'v');
    rmSync(file('trusted-v.tcp-fuse.vol'));
    expect(await text(client, 'v')).toBe(made);
    writeFileSync(file('trusted-v.tcp-fuse.vol'), '#'.repeat(1024 * 1024 + 1));
    await expect(text(client, 'v')).rejects.toThrow(/too long|longer than/);
  });

  it('have the credentials for local processes only', async () => {
    const [near, far] = [await connect(local), await connect(remote)];
    expect(await text(near, 'v')).toContain(volume().password);
    expect(await text(far, '/v')).not.toContain(volume().password);
    expect(await text(near, 'client/v')).not.toContain(volume().password);
  });

  it('of bricks and daemons are for local processes only', async () => {
    const id = `v.node1.${rig.root.slice(1).replaceAll('/', '-')}-v-1`;
    const [near, far] = [await connect(local), await connect(remote)];
    expect(await text(near, id)).toContain('type storage/posix');
    expect(await text(near, 'shd/v')).toContain('type cluster/replicate');
    await expect(text(far, id)).rejects.toMatchObject({ code: 'EACCES' });
    await expect(text(far, 'shd/v')).rejects.toMatchObject({ code: 'EACCES' });
  });

  it('that do not exist are told by name', async () => {
    const client = await connect(local);
    await expect(text(client, 'nosuch')).rejects.toThrow(/no volume or brick 'nosuch'/);
  });

  it('are announced to who has one when they change, and to nobody else', async () => {
    const [one, other] = [await connect(local), await connect(local)];
    const heard: unknown[] = [];
    one.onNotice('volfile.changed', (params) => heard.push(params));
    other.onNotice('volfile.changed', () => heard.push('other'));
    await text(one, 'v');
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'user.note', value: 'x' }] });
    await turn();
    expect(heard).toEqual([]);
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '9' }] });
    await turn();
    expect(heard).toEqual([{ id: 'v' }]);
    one.close();
    await one.closed;
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'network.ping-timeout', value: '8' }] });
  });
});

it('tells nothing more of a volfile that is not wanted any more', async () => {
  await started();
  await rig.createReplica('w');
  const client = await connect(local);
  const heard: unknown[] = [];
  client.onNotice('volfile.changed', (params) => heard.push(params));
  for (const id of ['shd/v', 'shd/w', 'v']) await text(client, id);
  await client.call('volfile.unwatch', { id: 'shd/v' });
  await (await connect(local)).call('volfile.unwatch', { id: 'shd/w' });
  const pairs = [{ key: 'network.ping-timeout', value: '9' }];
  for (const name of ['v', 'w']) await rig.done({ verb: 'volume.set', volume: name, pairs });
  await turn();
  expect(heard).toEqual([{ id: 'v' }, { id: 'shd/w' }]);
});

describe('the portmap', () => {
  beforeEach(started);
  const path = () => `${rig.root}/v-1`;
  const pid = () => rig.processes.pidsOf(path())[0]!;
  const socket = () => brickSocket(rig.directories, 'v', volume().bricks[0]!).replace('.socket', '.fop');

  it('knows the port of a brick', async () => {
    const client = await connect(remote);
    const { port } = volume().bricks[0]!;
    expect(await client.call('portmap.brickPort', { brick: path() })).toEqual({ port, socketPath: '', online: true });
    await expect(client.call('portmap.brickPort', { brick: '/none' })).rejects.toThrow(/no brick \/none/);
  });

  it('learns the socket from the brick itself', async () => {
    const client = await connect(local);
    const { port } = volume().bricks[0]!;
    await client.call('portmap.signin', { brick: path(), pid: pid(), port, socketPath: socket() });
    expect(await client.call('portmap.brickPort', { brick: path() })).toEqual({
      port,
      socketPath: socket(),
      online: true,
    });
  });

  it('tells clients of the volume that a brick was started, and no one else', async () => {
    await rig.createReplica('w');
    const ids = ['v', 'shd/v', 'w', volfileId({ kind: 'brick', volume: 'v', brick: volume().bricks[1]! })];
    const heard: unknown[] = [];
    for (const id of ids) {
      const client = await connect(local);
      await text(client, id);
      client.onNotice('brick.started', (params) => heard.push([id, params]));
    }
    const brick = await connect(local);
    const { port } = volume().bricks[0]!;
    await brick.call('portmap.signin', { brick: path(), pid: pid(), port, socketPath: '' });
    await vi.waitFor(() => expect(heard).toHaveLength(2));
    await turn();
    expect(heard.sort()).toEqual([
      ['shd/v', { volume: 'v' }],
      ['v', { volume: 'v' }],
    ]);
  });

  it('writes down that a brick has ended unasked', async () => {
    const client = await connect(local);
    const { port } = volume().bricks[0]!;
    await client.call('portmap.signin', { brick: path(), pid: pid(), port, socketPath: '' });
    rig.processes.alive.delete(pid());
    client.close();
    await client.closed;
    await vi.waitFor(() => expect(rig.lines.join('\n')).toMatch(/ERROR brick .*\/v-1 of volume v has ended unasked/));
  });

  it('tells that a brick is gone', async () => {
    const client = await connect(local);
    rig.processes.alive.delete(pid());
    expect(await client.call('portmap.brickPort', { brick: path() })).toEqual({
      port: 0,
      socketPath: '',
      online: false,
    });
  });

  it.each([
    ['another process', () => ({ pid: 4242 })],
    ['another port', () => ({ port: 1234 })],
    ['a socket elsewhere', () => ({ socketPath: '/tmp/mine.fop' })],
    ['a socket above its folder', () => ({ socketPath: `${rig.directories.run}/../mine.fop` })],
  ])('does not believe %s', async (_what, lie) => {
    const client = await connect(local);
    const said = { brick: path(), pid: pid(), port: volume().bricks[0]!.port!, socketPath: socket(), ...lie() };
    await expect(client.call('portmap.signin', said)).rejects.toMatchObject({ code: 'EACCES' });
  });

  it('does not believe other machines', async () => {
    const client = await connect(remote);
    const said = { brick: path(), pid: pid(), port: 0, socketPath: '' };
    await expect(client.call('portmap.signin', said)).rejects.toMatchObject({ code: 'EACCES' });
  });
});

describe('state dumps of clients', () => {
  const ask = (client: string, volume = 'v') =>
    rig
      .run({ verb: 'volume.statedump', volume, options: [], client })
      .then((reply) => (reply.ok ? 'success' : reply.error.text));
  /** A client of volume v that answers so. */
  async function client(peer: PeerIdentity, answer: object, id = 'v'): Promise<{ asked: number }> {
    const one = await connect(peer);
    const seen = { asked: 0 };
    one.onNotice('statedump', (params) => {
      seen.asked++;
      void one.call('statedump.done', { ...(params as { token: string }), ...answer });
    });
    await one.call('volfile.get', { id });
    return seen;
  }
  const nobody = /^no client .* of volume v has its volfile from a node that answers\. .*: kill -USR1 \d+$/;

  it('are asked of the one with that host and process', async () => {
    await started();
    const here = await client(local, { path: '/dump' });
    const socket = await client(root, { path: '/dump' });
    const elsewhere = await client(remote, { path: '/dump' });
    expect(await ask(`192.0.2.1:${process.pid}`)).toBe('success');
    expect([here.asked, socket.asked, elsewhere.asked]).toEqual([0, 0, 1]);
    for (const name of ['localhost', 'node1', 'alias1', '10.0.0.1'])
      expect(await ask(`${name}:${process.pid}`)).toBe('success');
    expect([here.asked, socket.asked, elsewhere.asked]).toEqual([4, 4, 1]);
    expect(await ask('localhost:1')).toMatch(nobody);
    expect(await ask(`192.0.2.2:${process.pid}`)).toMatch(nobody);
    expect([here.asked, socket.asked, elsewhere.asked]).toEqual([4, 4, 1]);
  });

  it('are asked of clients of the volume only', async () => {
    await started();
    await rig.createReplica('w');
    const others = [await client(local, { path: '/dump' }, 'w'), await client(local, { path: '/dump' }, 'shd/v')];
    expect(await ask(`localhost:${process.pid}`)).toMatch(nobody);
    expect(others.map(({ asked }) => asked)).toEqual([0, 0]);
  });

  it('fail with the reason, and nobody answers for another client', async () => {
    await started();
    await client(remote, { problem: 'no space' });
    expect(await ask(`192.0.2.1:${process.pid}`)).toBe(`192.0.2.1:${process.pid}: no space`);
    const liar = await connect({ ...remote, address: '192.0.2.9' });
    const silent = await connect({ ...remote, address: '192.0.2.3' });
    await silent.call('volfile.get', { id: 'v' });
    silent.onNotice('statedump', (params) => {
      void liar.call('statedump.done', { ...(params as { token: string }), path: '/dump' });
    });
    expect(await ask(`192.0.2.3:${process.pid}`)).toBe(`192.0.2.3:${process.pid}: no answer within 5 s`);
  }, 20_000);
});

it('is a management server', () => expect(rig.daemon.server).toBeInstanceOf(ManagementServer));
