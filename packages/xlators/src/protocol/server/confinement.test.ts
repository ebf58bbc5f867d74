import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Args,
  buildGraph,
  compoundStep,
  Errno,
  Fd,
  type Fields,
  FileType,
  type Fop,
  type FopName,
  fopNames,
  fops,
  type Gfid,
  locAt,
  locOf,
  newGfid,
  nullGfid,
  type OptionTable,
  parseVolfile,
  rootCall,
  rootGfid,
  type Subvolume,
  startGraph,
  stopGraph,
  type XlatorType,
} from '@mortar/core';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { nodeTransport } from '@mortar/rpc/transports/node-transport-port.ts';
import { argsOf } from '@mortar/testing/arbitraries.ts';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { xlator as index } from '../../features/index/index.ts';
import { xlator as locks } from '../../features/locks/index.ts';
import { xlator as posix } from '../../storage/posix/index.ts';
import { type Client, services, startClient } from '../rig.ts';
import { type ProtocolServer, xlator as server } from './index.ts';

const brickPath = '/bricks/b1';
const ports = { clock: nodeClock, random: nodeRandom, transport: { transport: nodeTransport() } };
const types = new Map(
  [posix, locks, index, server].map((type) => [type.type, type as unknown as XlatorType<OptionTable>]),
);
const call = rootCall(nodeClock);
const internal = { ...call, internal: 'self-heal' as const };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

interface Volume {
  folder: string;
  server: ProtocolServer;
  /** The whole volume, as somebody trusted has it. */
  whole: Subvolume;
  join(subdirectory: string): Promise<Client>;
}

async function startVolume({
  allow,
  posixOptions = '',
}: {
  allow?: string;
  posixOptions?: string;
} = {}): Promise<Volume> {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-confined-'));
  mkdirSync(join(folder, '.glusterfs'), { mode: 0o700 });
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const volfile = `
volume posix
  type storage/posix
  option directory ${folder}
  option reserve 0
  ${posixOptions}
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume ${brickPath}
  type features/index
  option index-base ${folder}/.glusterfs/indices
  subvolumes locks
end-volume
volume server
  type protocol/server
  option auth-path ${brickPath}
  option auth.addr.${brickPath}.allow ${allow ?? '/(10.9.9.9),/inside(127.0.0.1),/inside/deep(10.9.9.9)'}
  option auth.login.${brickPath}.allow boss
  option auth.login.boss.password secret
  option transport.socket.bind-address 127.0.0.1
  option listen-port 0
  subvolumes ${brickPath}
end-volume
`;
  const graph = buildGraph(parseVolfile(volfile, 'brick.vol'), types, services(ports));
  await startGraph(graph);
  cleanups.push(() => stopGraph(graph));
  const [address] = (graph.top as ProtocolServer).addresses;
  const come = async (client: Record<string, string>) => {
    const port = address?.kind === 'tcp' ? address.port : 0;
    const joined = await startClient({ ...ports, client: { 'remote-port': String(port), ...client } });
    cleanups.push(() => joined.stop());
    return joined;
  };
  const boss = await come({ username: 'boss', password: 'secret' });
  await boss.saw('child-up');
  return {
    folder,
    server: graph.top as ProtocolServer,
    whole: boss.ops,
    join: (subdirectory) => come({ 'subdir-mount': subdirectory }),
  };
}

async function mkdir(ops: Subvolume, parent: Gfid, name: string): Promise<Gfid> {
  const gfid = newGfid(nodeRandom);
  expect(await ops.mkdir(call, { loc: locAt(parent, name), mode: 0o755, gfid })).toMatchObject({ ok: true });
  return gfid;
}

async function mkfile(ops: Subvolume, parent: Gfid, name: string, gfid = newGfid(nodeRandom)) {
  const reply = await ops.mknod(call, {
    loc: locAt(parent, name),
    mode: 0o100644,
    rdevMajor: 0,
    rdevMinor: 0,
    gfid,
  });
  return { gfid, reply };
}

/** `/inside/deep`, `/outside/far`, a file in each. */
async function fixture() {
  const volume = await startVolume();
  const { whole } = volume;
  const inside = await mkdir(whole, rootGfid, 'inside');
  const deep = await mkdir(whole, inside, 'deep');
  const outside = await mkdir(whole, rootGfid, 'outside');
  const far = await mkdir(whole, outside, 'far');
  const mine = (await mkfile(whole, deep, 'mine')).gfid;
  const theirs = (await mkfile(whole, far, 'theirs')).gfid;
  const client = await volume.join('/inside');
  await client.saw('child-up');
  return { ...volume, client, ops: client.ops, inside, deep, outside, far, mine, theirs };
}

const no = (errno: number) => expect.objectContaining({ ok: false, errno });
const yes = expect.objectContaining({ ok: true });

describe('a client that may use a directory only', () => {
  it('finds it from the root, and works in it', async () => {
    const { ops, inside, deep, mine } = await fixture();
    expect(await ops.lookup(call, { loc: locOf(rootGfid) })).toEqual(yes);
    expect(await ops.statfs(call, { loc: locOf(rootGfid) })).toEqual(yes);
    expect(await ops.lookup(call, { loc: locAt(rootGfid, 'inside') })).toMatchObject({ iatt: { gfid: inside } });
    expect(await ops.lookup(call, { loc: locAt(deep, 'mine') })).toMatchObject({ iatt: { gfid: mine } });
    expect(await ops.setattr(call, { loc: locAt(rootGfid, 'inside', inside), attr: { mode: 0o711 } })).toEqual(yes);
    const fd = new Fd(mine, 2);
    expect(await ops.open(call, { loc: locOf(mine), flags: 2, fd })).toEqual(yes);
    expect(await ops.writev(call, { fd, offset: 0, data: Buffer.from('x') })).toMatchObject({ written: 1 });
    expect((await mkfile(ops, inside, 'new')).reply).toEqual(yes);
    expect(await ops.rename(call, { from: locAt(deep, 'mine', mine), to: locAt(inside, 'moved'), flags: 0 })).toEqual(
      yes,
    );
    fd.release();
  });

  it('makes several things at a time', async () => {
    const { ops, inside } = await fixture();
    const gfid = newGfid(nodeRandom);
    const fd = new Fd(gfid, 2);
    const create = { loc: locAt(inside, 'made'), flags: 2, mode: 0o600, gfid, fd };
    const steps = [
      compoundStep('create', create),
      compoundStep('writev', { fd, offset: 0, data: Buffer.from('abc') }),
      compoundStep('setattr', { loc: locOf(gfid), attr: { mode: 0o644 } }),
    ];
    const reply = await ops.compound(internal, { steps });
    expect(reply).toMatchObject({ ok: true, replies: [{ ok: true }, { ok: true }, { ok: true }] });
    fd.release();
  });

  it('sees nothing beside it', async () => {
    const { ops, outside, far, theirs } = await fixture();
    expect(await ops.lookup(call, { loc: locAt(rootGfid, 'outside') })).toEqual(no(Errno.EACCES));
    expect(await ops.opendir(call, { loc: locOf(rootGfid), fd: new Fd(rootGfid) })).toEqual(no(Errno.EACCES));
    expect(await ops.getxattr(call, { loc: locOf(rootGfid), name: 'user.x' })).toEqual(no(Errno.EACCES));
    for (const gfid of [outside, far, theirs]) {
      expect(await ops.lookup(call, { loc: locOf(gfid) })).toEqual(no(Errno.EACCES));
      expect(await ops.stat(call, { loc: locOf(gfid) })).toEqual(no(Errno.EACCES));
      expect(await ops.setattr(call, { loc: locOf(gfid), attr: { mode: 0o777 } })).toEqual(no(Errno.EACCES));
    }
    expect(await ops.readdirp(call, { fd: new Fd(far), size: 4096, offset: 0 })).toEqual(no(Errno.EACCES));
    expect(await ops.readv(call, { fd: new Fd(theirs), size: 1, offset: 0 })).toEqual(no(Errno.EACCES));
    expect((await mkfile(ops, far, 'new')).reply).toEqual(no(Errno.EACCES));
  });

  it('gets no way out by names, links and gfids of its choice', async () => {
    const { ops, whole, inside, deep, mine, far, theirs } = await fixture();
    expect(await ops.lookup(call, { loc: { gfid: null, parent: inside, name: '..' } })).toEqual(no(Errno.EINVAL));
    expect(await ops.link(call, { from: locOf(theirs), to: locAt(inside, 'stolen') })).toEqual(no(Errno.EACCES));
    const from = locAt(far, 'theirs', theirs);
    expect(await ops.rename(call, { from, to: locAt(inside, 'stolen'), flags: 0 })).toEqual(no(Errno.EACCES));
    expect(await ops.rename(call, { from: locAt(deep, 'mine'), to: locAt(far, 'planted'), flags: 0 })).toEqual(no(13));
    expect(await ops.unlink(call, { loc: locAt(far, 'theirs') })).toEqual(no(Errno.EACCES));
    // An object made with a gfid that is in use is one more name of that.
    expect((await mkfile(ops, inside, 'stolen', theirs)).reply).toEqual(no(Errno.EACCES));
    expect(await ops.lookup(call, { loc: locAt(deep, 'mine'), gfid: theirs })).toEqual(no(Errno.EACCES));
    // An fd of one file, opened as another.
    expect(await ops.open(call, { loc: locOf(mine), flags: 2, fd: new Fd(theirs, 2) })).toEqual(no(Errno.EACCES));
    // A name of its own beside the gfid of another file.
    expect(await ops.setattr(call, { loc: locAt(deep, 'mine', theirs), attr: { mode: 0 } })).toEqual(no(Errno.EACCES));
    expect(await ops.lookup(call, { loc: locAt(deep, 'mine', theirs) })).toEqual(no(Errno.EACCES));
    const steps = [compoundStep('stat', { loc: locOf(mine) }), compoundStep('stat', { loc: locOf(theirs) })];
    expect(await ops.compound(internal, { steps })).toEqual(no(Errno.EACCES));
    expect(await whole.stat(call, { loc: locOf(theirs) })).toMatchObject({ iatt: { nlink: 1, mode: 0o644 } });
  });

  it('asks the brick for nothing that has no file', async () => {
    const { ops } = await fixture();
    for (const operation of ['index.purge', 'locks.list', 'barrier.close'])
      expect(await ops.ipc(internal, { operation, data: Buffer.from('{}') })).toEqual(no(Errno.EPERM));
    expect(await ops.icreate(call, { gfid: newGfid(nodeRandom), mode: 0o100600 })).toEqual(no(Errno.EPERM));
  });

  it('loses what is moved out, and gets what is moved in', async () => {
    const { ops, whole, deep, inside, outside, far, mine, theirs } = await fixture();
    await whole.rename(call, { from: locAt(inside, 'deep', deep), to: locAt(outside, 'deep'), flags: 0 });
    await whole.rename(call, { from: locAt(outside, 'far', far), to: locAt(inside, 'far'), flags: 0 });
    expect(await ops.stat(call, { loc: locOf(mine) })).toEqual(no(Errno.EACCES));
    expect(await ops.lookup(call, { loc: locAt(deep, 'mine') })).toEqual(no(Errno.EACCES));
    expect(await ops.stat(call, { loc: locOf(theirs) })).toEqual(yes);
  });

  it('has a file that has a name in it, whatever other names that has', async () => {
    const { ops, whole, inside, far, theirs } = await fixture();
    expect(await whole.link(call, { from: locOf(theirs), to: locAt(inside, 'shared') })).toEqual(yes);
    expect(await ops.stat(call, { loc: locOf(theirs) })).toEqual(yes);
    await whole.unlink(call, { loc: locAt(inside, 'shared') });
    expect(await ops.stat(call, { loc: locOf(theirs) })).toEqual(no(Errno.EACCES));
    expect(await whole.lookup(call, { loc: locAt(far, 'theirs') })).toEqual(yes);
  });

  it('keeps what it has open though it has no name any more', async () => {
    const { ops, whole, deep, far, mine, theirs } = await fixture();
    const fd = new Fd(mine, 2);
    await ops.open(call, { loc: locOf(mine), flags: 2, fd });
    const other = new Fd(theirs, 2);
    await whole.open(call, { loc: locOf(theirs), flags: 2, fd: other });
    await whole.unlink(call, { loc: locAt(deep, 'mine') });
    await whole.unlink(call, { loc: locAt(far, 'theirs') });
    expect(await ops.fstat(call, { fd })).toEqual(yes);
    expect(await ops.stat(call, { loc: locOf(mine) })).toEqual(yes);
    expect(await ops.stat(call, { loc: locOf(theirs) })).toEqual(no(Errno.ESTALE));
    fd.release();
    other.release();
  });

  it('finds a name that means another file now than it remembers', async () => {
    const { ops, deep, mine } = await fixture();
    const gone = newGfid(nodeRandom);
    expect(await ops.lookup(call, { loc: locAt(deep, 'mine', gone) })).toMatchObject({ iatt: { gfid: mine } });
    expect(await ops.stat(call, { loc: locOf(gone) })).toEqual(no(Errno.ESTALE));
  });

  it('reads of directories above only what translators keep there', async () => {
    const { ops, whole } = await fixture();
    const xattrs = { 'user.secret': Buffer.from('s'), 'trusted.mark': Buffer.from('m') };
    await whole.setxattr(internal, { loc: locOf(rootGfid), xattrs, flags: 0 });
    const reply = await ops.lookup(call, { loc: locOf(rootGfid), want: ['user.*', 'user.secret', 'trusted.mark'] });
    expect(Object.keys(reply.ok ? reply.xattrs : {})).toEqual(['trusted.mark']);
  });

  it('can use no operation outside, whatever else the request names', async () => {
    const { ops, whole, folder, deep, far, mine, theirs } = await fixture();
    const here = {
      loc: (isEntry: boolean) => (isEntry ? locAt(deep, 'mine') : locOf(mine)),
      fd: () => new Fd(mine, 2),
    };
    const there = (gfid: Gfid) => ({
      loc: (isEntry: boolean) => (isEntry ? locAt(gfid === theirs ? far : gfid, 'theirs') : locOf(gfid)),
      fd: () => new Fd(gfid, 2),
    });
    const aLock = { type: 'read', start: 0, length: 0, pid: 1, owner: internal.lockOwner } as const;
    for (const name of fopNames) {
      const keys = Object.entries(fops[name].args as Fields).filter(([, { kind }]) => kind === 'loc' || kind === 'fd');
      for (const [outer] of keys) {
        const request = fc.tuple(argsOf(name), fc.constantFrom(far, theirs, rootGfid));
        await fc.assert(
          fc.asyncProperty(request, async ([args, gfid]) => {
            if (gfid === rootGfid && ['lookup', 'stat', 'statfs'].includes(name)) return;
            const pointed: Record<string, unknown> = { ...args, xdata: undefined };
            for (const [key, { kind }] of keys) {
              const side = key === outer ? there(gfid) : here;
              pointed[key] = kind === 'fd' ? side.fd() : side.loc(fops[name].class === 'entry');
            }
            // Goes to the brick only from who may have locks there.
            if (name === 'flush') await ops.lk(internal, { fd: pointed.fd as Fd, command: 'set', flock: aLock });
            const reply = await (ops[name] as Fop<FopName>)(internal, pointed as unknown as Args<FopName>);
            expect([name, outer, reply.ok]).toEqual([name, outer, false]);
          }),
          { numRuns: 6 },
        );
      }
    }
    expect(readdirSync(join(folder, 'outside/far'))).toEqual(['theirs']);
    expect(await whole.stat(call, { loc: locOf(theirs) })).toMatchObject({ iatt: { mode: 0o644, nlink: 1, size: 0 } });
  });
});

describe('coming in', () => {
  it('asks for a directory that is allowed, or one below', async () => {
    const { join: come, server: brick } = await fixture();
    const below = await come('/inside//deep/');
    await below.saw('child-up');
    expect(Object.values(brick.dump())).toContain('/inside/deep');
    for (const other of ['', '/', '/outside', '/insider', '/inside/../outside'])
      await (await come(other)).saw('refused');
  });

  it('and one that there is', async () => {
    const { join: come, whole, inside } = await fixture();
    const client = await come('/inside/later');
    await client.saw('child-down');
    expect(client.events.map(({ type }) => type)).not.toContain('refused');
    await mkdir(whole, inside, 'later');
    await client.saw('child-up');
  });

  it('a symlink is no directory', async () => {
    const { join: come, whole, inside } = await fixture();
    const link = { loc: locAt(inside, 'way'), target: '../outside', gfid: newGfid(nodeRandom) };
    expect(await whole.symlink(call, link)).toMatchObject({ iatt: { type: FileType.symlink } });
    const client = await come('/inside/way');
    await client.saw('child-down');
  });

  it('who may use the whole volume is not kept in a directory of it', async () => {
    const { whole, join: come } = await startVolume({ allow: '/(127.0.0.1),/inside(127.0.0.1)' });
    await mkdir(whole, rootGfid, 'inside');
    const outside = await mkdir(whole, rootGfid, 'outside');
    const client = await come('/inside');
    await client.saw('child-up');
    expect(await client.ops.stat(call, { loc: locOf(outside) })).toEqual(yes);
  });

  it('is not let in where the storage records no names', async () => {
    const {
      whole,
      join: come,
      server: brick,
    } = await startVolume({
      allow: '/inside(127.0.0.1)',
      posixOptions: 'option gfid2path off',
    });
    await mkdir(whole, rootGfid, 'inside');
    const client = await come('/inside');
    await client.saw('child-down');
    expect(Object.values(brick.dump())).not.toContain('/inside');
  });
});

it('the question is answered for what lies in a directory, elsewhere, and nowhere', async () => {
  const { whole, inside, theirs } = await fixture();
  const ask = (gfid: Gfid, directory: Gfid) =>
    whole.getxattr(call, { loc: locOf(gfid), name: `glusterfs.lies-below:${directory}` });
  expect(await ask(inside, inside)).toEqual(yes);
  expect(await ask(theirs, rootGfid)).toEqual(yes);
  expect(await ask(nullGfid, inside)).toEqual(no(Errno.EINVAL));
  expect(await ask(newGfid(nodeRandom), inside)).toEqual(no(Errno.ESTALE));
});
