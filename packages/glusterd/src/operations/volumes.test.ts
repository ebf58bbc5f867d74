import { existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemInspector } from '../brick-inspector.ts';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
});
afterEach(() => rig.remove());

const volume = (name: string) => rig.daemon.context.store.state.volumes.get(name)!;

describe('volume create', () => {
  it('makes the directory of each brick and marks it with the volume', async () => {
    const { id } = await rig.createReplica('v');
    for (const i of [1, 2, 3]) {
      const path = join(rig.root, `v-${i}`);
      expect(systemInspector.volumeId(path)).toBe(id);
      expect(existsSync(join(path, '.glusterfs/indices'))).toBe(true);
    }
    expect(await rig.file('vols/v/info')).toMatch(/^type=2\ncount=3\nstatus=0\nsub_count=3\nreplica_count=3\n/);
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).toContain('type cluster/replicate');
    expect(volume('v')).toMatchObject({ opVersion: 40000, clientOpVersion: 30800, version: 1 });
  });

  it('knows its own node by name, address and alias', async () => {
    await rig.create('v', [rig.brick('a'), rig.brick('b', '10.0.0.1'), rig.brick('c', 'alias1')]);
    const { uuid } = rig.daemon.context.store.state.node;
    expect(volume('v').bricks.map((brick) => brick.hostUuid)).toEqual([uuid, uuid, uuid]);
  });

  const cases: [string, () => Parameters<Rig['createRequest']>, string | RegExp][] = [
    ['a name that is taken', () => ['taken', [rig.brick('x')]], 'Volume taken already exists'],
    ['a host outside the pool', () => ['v', ['other:/b']], "Host other is not in 'Peer in Cluster' state"],
    [
      'a brick of another volume',
      () => ['v', [rig.brick('taken')]],
      /^Brick: .*\/taken not available. Brick may be containing or be contained by an existing brick\.$/,
    ],
    ['a brick inside another', () => ['v', [rig.brick('taken/sub')]], /containing or be contained/],
    ['a brick around another', () => ['v', [`node1:${rig.root}`]], /containing or be contained/],
    [
      'two bricks inside one another',
      () => ['v', [rig.brick('a'), rig.brick('a/b')]],
      /containing or be contained|Reason/,
    ],
    [
      'a missing parent',
      () => ['v', [rig.brick('no/such')]],
      /^Failed to create brick directory for brick .*\/no\/such\. Reason : No such file or directory $/,
    ],
    [
      'a file',
      () => ['v', [rig.brick('file')]],
      /^The provided path .*\/file which is already present, is not a directory$/,
    ],
    ['a symbolic link', () => ['v', [rig.brick('link')]], /is not a directory$/],
    [
      'a set on one server',
      () => ['v', [rig.brick('a'), rig.brick('b')], { type: 'replicate', replica: 2, force: false }],
      /^Multiple bricks of a replicate volume are present on the same server\. .* behavior\. $/,
    ],
    [
      'bricks that are no whole sets',
      () => ['v', [rig.brick('a'), rig.brick('b')], { type: 'replicate', replica: 3 }],
      'Failed to create volume files',
    ],
    [
      'a dispersed volume, which this build has not',
      () => ['v', [1, 2, 3].map((i) => rig.brick(`d${i}`)), { type: 'disperse', disperse: 3, redundancy: 1 }],
      /dispersed volume is not possible/,
    ],
    ['RDMA', () => ['v', [rig.brick('a')], { transport: 'rdma' }], /transport rdma is not possible/],
    ['a path that is too long', () => ['v', [rig.brick('x'.repeat(5000))]], /^brick path .* is too long\.$/],
    ['a brick in the working directory', () => ['v', [`node1:${rig.directories.work}/b`]], /working directory/],
  ];

  it.each(cases)('refuses %s and leaves nothing', async (_what, args, message) => {
    await rig.create('taken', [rig.brick('taken')]);
    writeFileSync(join(rig.root, 'file'), '');
    symlinkSync(join(rig.root, 'nowhere'), join(rig.root, 'link'));
    const text = await rig.refusal(rig.createRequest(...args()));
    if (typeof message === 'string') expect(text).toBe(message);
    else expect(text).toMatch(message);
    expect(rig.daemon.context.store.state.volumes.has('v')).toBe(false);
    for (const name of ['a', 'b', 'd1', 'no']) expect(existsSync(join(rig.root, name)), name).toBe(false);
  });

  it.each([
    ['isOnRootPartition', 'is being created in the root partition.'],
    ['isMountPoint', 'is a mount point.'],
  ] as const)('warns of what %s says, unless forced', async (question, message) => {
    rig.inspector = { isOnRootPartition: () => false, isMountPoint: () => false, [question]: () => true };
    await rig.start();
    mkdirSync(join(rig.root, 'b'));
    const request = rig.createRequest('v', [rig.brick('b')], { force: false });
    const text = await rig.refusal(request);
    expect(text).toContain(`The brick ${rig.brick('b')} ${message}`);
    expect(text).toMatch(/Or use 'force' at the end of the command if you want to override this behavior\.$/);
    await rig.done({ ...request, force: true });
  });

  it('refuses a directory that carries the mark of a volume, unless forced', async () => {
    await rig.create('old', [rig.brick('b')]);
    await rig.done({ verb: 'volume.delete', volume: 'old' });
    const request = rig.createRequest('v', [rig.brick('b')], { force: false, ignorePartition: true });
    expect(await rig.refusal(request)).toBe(`${rig.root}/b is already part of a volume`);
    const below = rig.createRequest('v', [rig.brick('b/sub')], { force: false, ignorePartition: true });
    expect(await rig.refusal(below)).toBe(`parent directory ${rig.root}/b is already part of a volume`);
    await rig.done({ ...request, force: true });
  });

  it('sees through symbolic links', async () => {
    await rig.create('one', [rig.brick('real')]);
    symlinkSync(rig.root, `${rig.root}/link`);
    const path = `${rig.root}/link/real/inner`;
    mkdirSync(path);
    expect(await rig.refusal(rig.createRequest('two', [`node1:${path}`]))).toMatch(/containing or be contained/);
  });
});

describe('volume start', () => {
  beforeEach(() => rig.createReplica('v'));

  it('starts each brick with the command line that tools know', async () => {
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    const { program, args } = rig.processes.ran.find((one) => one.args.includes(`${rig.root}/v-1`))!;
    const { uuid } = rig.daemon.context.store.state.node;
    const dashed = rig.root.replaceAll('/', '-');
    const port = args[args.indexOf('--brick-port') + 1]!;
    expect(program).toBe('/programs/glusterfsd');
    expect(args.join(' ').replace(/[0-9a-f]{16}\.socket/, 'HASH.socket')).toBe(
      `-s node1 --volfile-id v.node1.${dashed.slice(1)}-v-1 -p ${rig.directories.run}/vols/v/node1${dashed}-v-1.pid ` +
        `-S ${rig.directories.run}/HASH.socket --brick-name ${rig.root}/v-1 -l ${rig.directories.log}/bricks/${dashed.slice(1)}-v-1.log ` +
        `--xlator-option *-posix.glusterd-uuid=${uuid} --process-name brick --brick-port ${port} ` +
        `--xlator-option v-server.listen-port=${port}`,
    );
    expect(rig.processes.ran).toHaveLength(4);
    expect(rig.processes.ran[3]!.args).toEqual(expect.arrayContaining(['gluster/glustershd', '--client-pid=-6']));
    expect(volume('v')).toMatchObject({ status: 'started', version: 2 });
    expect(await rig.file(`vols/v/bricks/node1:${dashed}-v-1`)).toContain(`listen-port=${port}\n`);
  });

  it('gives each brick a port of its own that nobody uses', async () => {
    for (let port = 49152; port < 60900; port++) rig.processes.busyPorts.add(port);
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    const ports = volume('v').bricks.map((brick) => brick.port!);
    expect(new Set(ports).size).toBe(3);
    for (const port of ports) expect(port).toBeGreaterThanOrEqual(60900);
  });

  it('gives a brick another port when somebody was faster, and gives up after some of them', async () => {
    rig.processes.portsTaken = 2;
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    expect(rig.processes.pidsOf('--brick-name')).toHaveLength(3);
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    rig.processes.portsTaken = 5;
    await rig.refusal({ verb: 'volume.start', volume: 'v', force: false });
  });

  it('is refused for a volume that runs, and restarts what died if forced', async () => {
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    expect(await rig.refusal({ verb: 'volume.start', volume: 'v', force: false })).toBe('Volume v already started');
    const [pid] = rig.processes.pidsOf(`${rig.root}/v-2`);
    rig.processes.alive.delete(pid!);
    const before = await rig.done({ verb: 'volume.status', volume: 'v' });
    expect(before.volumes[0]!.processes.map((process) => process.online)).toEqual([true, false, true, true]);
    await rig.done({ verb: 'volume.start', volume: 'v', force: true });
    const after = await rig.done({ verb: 'volume.status', volume: 'v' });
    expect(after.volumes[0]!.processes.every((process) => process.online)).toBe(true);
    expect(rig.processes.ran).toHaveLength(5);
  });

  it('stops the other bricks if one does not start', async () => {
    rig.processes.broken.add(`${rig.root}/v-3`);
    const text = await rig.refusal({ verb: 'volume.start', volume: 'v', force: false });
    expect(text).toBe('Commit failed on localhost. Please check log file for details.');
    expect(rig.processes.alive.size).toBe(0);
    expect(volume('v').status).toBe('created');
  });

  it('is refused if a brick is not this volume any more', async () => {
    systemInspector.setVolumeId(join(rig.root, 'v-1'), '11111111-2222-4333-8444-555555555555');
    const text = await rig.refusal({ verb: 'volume.start', volume: 'v', force: false });
    expect(text).toMatch(/^Volume id mismatch for brick node1:.*\/v-1\. Expected volume id /);
    expect(await rig.refusal({ verb: 'volume.start', volume: 'v', force: true })).toBe(text);
    expect([rig.processes.alive.size, volume('v').status]).toEqual([0, 'created']);
  });

  it('is refused if a brick is gone', async () => {
    systemInspector.removeTree(join(rig.root, 'v-1'));
    const text = await rig.refusal({ verb: 'volume.start', volume: 'v', force: false });
    expect(text).toMatch(/^Failed to find brick directory .*\/v-1 for volume v\. Reason : No such file or directory$/);
  });
});

describe('volume stop and delete', () => {
  beforeEach(async () => {
    await rig.createReplica('v');
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
  });

  it('ends bricks and heal daemon', async () => {
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    expect(rig.processes.alive.size).toBe(0);
    expect(volume('v').status).toBe('stopped');
    expect(await rig.refusal({ verb: 'volume.stop', volume: 'v', force: false })).toBe(
      'Volume v is not in the started state',
    );
  });

  it('kills a brick that does not end', async () => {
    const [pid] = rig.processes.pidsOf(`${rig.root}/v-1`);
    rig.processes.stubborn.add(pid!);
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    expect(rig.processes.signals.filter((one) => one.pid === pid)).toEqual([
      { pid, signal: 'SIGTERM' },
      { pid, signal: 'SIGKILL' },
    ]);
  });

  it('never signals a process that took over the pid', async () => {
    const [pid] = rig.processes.pidsOf(`${rig.root}/v-1`);
    rig.processes.alive.set(pid!, ['postgres']);
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    expect(rig.processes.signals.some((one) => one.pid === pid)).toBe(false);
    expect(rig.processes.alive.has(pid!)).toBe(true);
  });

  it('does not delete a volume that runs', async () => {
    expect(await rig.refusal({ verb: 'volume.delete', volume: 'v' })).toBe(
      'Volume v has been started.Volume needs to be stopped before deletion.',
    );
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    await rig.done({ verb: 'volume.delete', volume: 'v' });
    expect(await rig.done({ verb: 'volume.list' })).toEqual({ names: [] });
    expect(await rig.file('vols/v/info')).toBeNull();
    expect(existsSync(join(rig.root, 'v-1'))).toBe(true);
  });
});

describe('a restart of management', () => {
  it('finds its bricks again and starts none', async () => {
    await rig.createReplica('v');
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    const count = rig.processes.ran.length;
    await rig.start();
    await rig.daemon.resume();
    expect(rig.processes.ran).toHaveLength(count);
    const { volumes } = await rig.done({ verb: 'volume.status', volume: 'v' });
    expect(volumes[0]!.processes.map(({ online, port }) => [online, port > 0])).toEqual([
      [true, true],
      [true, true],
      [true, true],
      [true, false],
    ]);
  });

  it('starts what died meanwhile and ends what should not run', async () => {
    await rig.createReplica('v');
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    const [dead] = rig.processes.pidsOf(`${rig.root}/v-1`);
    rig.processes.alive.delete(dead!);
    await rig.create('w', [rig.brick('w')]);
    await rig.done({ verb: 'volume.start', volume: 'w', force: false });
    const state = rig.daemon.context.store.state;
    await rig.daemon.context.store.commit({
      volumes: new Map([['w', { ...state.volumes.get('w')!, status: 'stopped' as const }]]),
    });
    await rig.start();
    await rig.daemon.resume();
    expect(rig.processes.pidsOf(`${rig.root}/v-1`)).toHaveLength(1);
    expect(rig.processes.pidsOf(`${rig.root}/w`)).toHaveLength(0);
  });
});

it('starts no brick of a volume that is stopped while management comes up', async () => {
  await rig.createReplica('v');
  await rig.done({ verb: 'volume.start', volume: 'v', force: false });
  for (const pid of [1, 2, 3].flatMap((n) => rig.processes.pidsOf(`${rig.root}/v-${n}`)))
    rig.processes.alive.delete(pid);
  await rig.start();
  const run = rig.processes.run.bind(rig.processes);
  rig.processes.run = async (...args) => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    return run(...args);
  };
  const coming = rig.daemon.resume();
  await rig.done({ verb: 'volume.stop', volume: 'v', force: true });
  await coming;
  expect([1, 2, 3].flatMap((n) => rig.processes.pidsOf(`${rig.root}/v-${n}`))).toEqual([]);
});

it.each<[string, () => Promise<unknown>, object]>([
  ['is not there', async () => undefined, { text: 'Volume v does not exist', errno: 2, exit: 254 }],
  [
    'is not started',
    () => rig.createReplica('v'),
    { text: 'v: Not able to fetch volfile from glusterd', errno: 5, exit: 251 },
  ],
  [
    'has no replicas',
    async () => {
      await rig.create('v', [rig.brick('b')]);
      await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    },
    { text: expect.stringMatching(/^This command is supported for only volumes of /), errno: 22, exit: 234 },
  ],
])("has the error number of GlusterFS's helper where a volume to be healed %s", async (_, make, error) => {
  await make();
  for (const operation of [
    { kind: 'info', what: 'all' },
    { kind: 'split-brain', policy: 'bigger-file', file: '/f' },
  ] as const)
    expect(await rig.run({ verb: 'volume.heal', volume: 'v', operation })).toEqual({ ok: false, error });
});

it('does not run two changes of a volume at a time', async () => {
  await rig.createReplica('v');
  const first = rig.run({ verb: 'volume.start', volume: 'v', force: false });
  const text = await rig.refusal({ verb: 'volume.stop', volume: 'v', force: false });
  expect(text).toMatch(
    /^Another transaction is in progress for v\. Please try again after some time\. \(volume start by node [0-9a-f-]{36}, for 0 s\)$/,
  );
  expect((await first).ok).toBe(true);
});

it('writes down what was asked and how it went', async () => {
  await rig.refusal({ verb: 'volume.start', volume: 'none', force: false });
  const text = await rig.daemon.context.files.read(join(rig.directories.log, 'cmd_history.log'));
  expect(text).toMatch(
    /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \+0000\] {2}: volume\.start : FAILED : Volume none does not exist\n$/,
  );
});

it('has a line in its log for what was changed, and none for what was looked at', async () => {
  await rig.create('v', [rig.brick('b')]);
  await rig.done({ verb: 'volume.info' });
  expect(rig.lines.filter((line) => line.startsWith('INFO done: '))).toEqual(['INFO done: volume.create']);
});

it('runs the scripts of the administrator', async () => {
  const folder = join(rig.directories.work, 'hooks/1/create/post');
  for (const name of ['S20second', 'S10first', 'K30not']) writeFileSync(join(folder, name), '');
  await rig.create('v', [rig.brick('b')]);
  expect(rig.processes.ran).toEqual([
    { program: join(folder, 'S10first'), args: ['--volname=v'] },
    { program: join(folder, 'S20second'), args: ['--volname=v'] },
  ]);
});

it('brings scripts of its own to a new working directory, and does not bring them back', async () => {
  const fresh = new Rig();
  fresh.seeds = new URL('../../../../share/glusterd', import.meta.url).pathname;
  try {
    await fresh.start();
    const script = join(fresh.directories.work, 'hooks/1/add-brick/post/S13create-subdir-mounts.sh');
    expect(statSync(script).mode & 0o777).toBe(0o755);
    rmSync(script);
    await fresh.daemon.close();
    await fresh.start();
    expect(existsSync(script)).toBe(false);
  } finally {
    await fresh.remove();
  }
});
