/** What cannot be done is refused in GlusterFS's words with its exit code, and nothing has changed afterwards. */

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { eventually, startCluster } from '../support/cluster.ts';
import { canMount, isAlive, isMounted } from '../support/sandbox.ts';

const createUsage = /^\nUsage:\nvolume create <NEW-VOLNAME> /;
const errorCode = (error: NodeJS.ErrnoException) => error.code ?? String(error);

describe('refused', () => {
  const cluster = startCluster();
  beforeAll(async () => {
    await cluster.create('taken', [], 1);
  });

  /** All that a command could have changed. */
  async function state(): Promise<string> {
    const tree = await cluster.sh(
      `ls -lR --time-style=full-iso bricks; getfattr -Rhd -m. -e hex bricks; cat lib/vols/*/info`,
    );
    return tree + (await cluster.must('volume', 'info'));
  }
  const brick = (name: string) => cluster.brick(name).name;

  it.each<[string, () => string[], string | RegExp, (string | RegExp)?]>([
    ['an unknown volume: start', () => ['start', 'none'], 'volume start: none: failed: Volume none does not exist\n'],
    ['an unknown volume: stop', () => ['stop', 'none'], 'volume stop: none: failed: Volume none does not exist\n'],
    [
      'an unknown volume: delete',
      () => ['delete', 'none'],
      'volume delete: none: failed: Volume none does not exist\n',
    ],
    ['an unknown volume: info', () => ['info', 'none'], 'Volume none does not exist\n'],
    ['an unknown volume: status', () => ['status', 'none'], 'Volume none does not exist\n'],
    ['an unknown volume: set', () => ['set', 'none', 'a', 'b'], 'volume set: failed: Volume none does not exist\n'],
    [
      'an existing name',
      () => ['create', 'taken', brick('new'), 'force'],
      'volume create: taken: failed: Volume taken already exists\n',
    ],
    [
      'a brick of another volume',
      () => ['create', 'v', brick('taken-0'), 'force'],
      /^volume create: v: failed: Brick: \S+taken-0 not available\. Brick may be containing or be contained by an existing brick\.\n$/,
    ],
    [
      'a brick inside of another volume’s',
      () => ['create', 'v', `${brick('taken-0')}/in`, 'force'],
      /Brick may be containing or be contained by an existing brick\.\n$/,
    ],
    [
      'a brick without its directory’s parent',
      () => ['create', 'v', brick('no/such'), 'force'],
      /^volume create: v: failed: Failed to create brick directory for brick \S+no\/such\. Reason : No such file or directory \n$/,
    ],
    [
      'a relative path',
      () => ['create', 'v', `${cluster.address}:a/b`, 'force'],
      /^Wrong brick type: \S+:a\/b, use <HOSTNAME>:<export-dir-abs-path>\n\nUsage/,
    ],
    [
      'a path without a host',
      () => ['create', 'v', '/a/b', 'force'],
      /^Wrong brick type: \/a\/b, use <HOSTNAME>:<export-dir-abs-path>\n\nUsage/,
    ],
    [
      'a host that is no peer',
      () => ['create', 'v', 'host.invalid:/b', 'force'],
      "volume create: v: failed: Host host.invalid is not in 'Peer in Cluster' state\n",
    ],
    [
      'replica 1',
      () => ['create', 'v', 'replica', '1', brick('x'), 'force'],
      /^replica count should be greater than 1\n\nUsage/,
    ],
    [
      'a number of bricks that replica does not divide',
      () => ['create', 'v', 'replica', '3', brick('x'), brick('y'), 'force'],
      'volume create: v: failed: Failed to create volume files\n',
    ],
    [
      'a brick named twice',
      () => ['create', 'v', brick('x'), brick('x'), 'force'],
      /^Found duplicate exports \S+x\n\nUsage/,
    ],
    ['a name with a slash', () => ['create', 'a/b', brick('x'), 'force'], createUsage],
    [
      'a name that is too long',
      () => ['create', 'v'.repeat(300), brick('x'), 'force'],
      /^Volume name exceeds 256 characters\.\n\nUsage/,
    ],
    [
      'a path that is too long',
      () => ['create', 'v', brick('b'.repeat(256)), 'force'],
      /^volume create: v: failed: Volume file path for volume v and brick path \S+ is too long\.\n$/,
    ],
    [
      'a number out of range',
      () => ['set', 'taken', 'network.ping-timeout', '99999'],
      "volume set: failed: '99999' in 'option ping-timeout 99999' is out of range [0 - 1013]\n",
    ],
    [
      'a word for a time',
      () => ['set', 'taken', 'network.ping-timeout', 'abc'],
      'volume set: failed: invalid time format "abc" in "option ping-timeout"\n',
    ],
    [
      'an unknown option',
      () => ['set', 'taken', 'network.ping-timeot', '1'],
      'volume set: failed: option : network.ping-timeot does not exist\nDid you mean network.ping-timeout?\n',
    ],
    [
      'a stop before the start',
      () => ['stop', 'taken'],
      'volume stop: taken: failed: Volume taken is not in the started state\n',
    ],
  ])('%s', async (_, words, message) => {
    const before = await state();
    const { exitCode, stdout, stderr } = await cluster.gluster('volume', ...words());
    if (typeof message === 'string') expect(stdout + stderr).toBe(message);
    else expect(stdout + stderr).toMatch(message);
    expect(exitCode).toBe(1);
    expect(await state()).toBe(before);
  });

  it('a brick of a deleted volume, without force; with force it is taken', async () => {
    await cluster.create('old', [], 1);
    await cluster.must('volume', 'delete', 'old');
    const words = ['volume', 'create', 'new', brick('old-0')];
    const before = await state();
    const { exitCode, stderr } = await cluster.gluster(...words);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/already part of a volume|root partition/)]);
    expect(await state()).toBe(before);
    await cluster.must(...words, 'force');
    await cluster.must('volume', 'delete', 'new');
  });

  it('a start with another directory in the place of the brick’s', async () => {
    const [{ path }] = (await cluster.create('moved', [], 1)) as unknown as [{ path: string }];
    const start = async () => {
      const before = await state();
      const { exitCode, stderr } = await cluster.gluster('volume', 'start', 'moved');
      expect([exitCode, await state()]).toEqual([1, before]);
      return stderr;
    };
    await fs.rename(path, `${path}.away`);
    expect(await start()).toBe(
      `volume start: moved: failed: Failed to find brick directory ${path} for volume moved. Reason : No such file or directory\n`,
    );
    mkdirSync(path);
    expect(await start()).toBe(
      `volume start: moved: failed: Failed to get extended attribute trusted.glusterfs.volume-id for brick dir ${path}. Reason : No data available\n`,
    );
    await cluster.sh(`setfattr -n trusted.glusterfs.volume-id -v 0x00112233445566778899aabbccddeeff ${path}`);
    expect(await start()).toMatch(
      /^volume start: moved: failed: Volume id mismatch for brick \S+\. Expected volume id \S+, volume id 00112233-4455-6677-8899-aabbccddeeff found\n$/,
    );
    rmdirSync(path);
    await fs.rename(`${path}.away`, path);
    await cluster.must('volume', 'start', 'moved');
    await cluster.destroy('moved');
  });

  it('a start of a started volume, a delete of it, and a second time of stop', async () => {
    await cluster.createAndStart('twice', [], 1);
    const failure = async (...words: string[]) => (await cluster.gluster('volume', ...words)).stderr;
    expect(await failure('start', 'twice')).toBe('volume start: twice: failed: Volume twice already started\n');
    expect(await failure('delete', 'twice')).toBe(
      'volume delete: twice: failed: Volume twice has been started.Volume needs to be stopped before deletion.\n',
    );
    await cluster.destroy('twice');
  });

  it('a brick’s port that another program has taken: another one is found', async () => {
    const [first] = await cluster.createAndStart('port', [], 1);
    const status = await cluster.must('volume', 'status', 'port', '--xml');
    const port = Number(/<port>(\d+)<\/port>/.exec(status)![1]);
    await cluster.killBrick('port', first!);
    const server = createServer();
    // A process that was killed may be a zombie while its threads still hold the port.
    const listen = () =>
      new Promise<boolean>((resolve) => {
        server.once('error', () => resolve(false));
        server.listen(port, '0.0.0.0', () => resolve(true));
      });
    await eventually('the port', listen);
    try {
      await cluster.must('volume', 'start', 'port', 'force');
      const again = await cluster.must('volume', 'status', 'port', '--xml');
      expect(Number(/<port>(\d+)<\/port>/.exec(again)![1])).not.toBe(port);
      expect(isAlive(cluster.brickPid('port', first!))).toBe(true);
    } finally {
      server.close();
    }
    await cluster.destroy('port');
  });

  it('glusterd twice, and gluster without glusterd', async () => {
    await expect(cluster.startGlusterd()).rejects.toThrow(/exit code [1-9]/);
    expect((await cluster.gluster('volume', 'info')).exitCode).toBe(0);
    const { exitCode, stdout, stderr } = await cluster.command(
      'gluster',
      `--glusterd-sock=${cluster.at('none')}`,
      `--log-file=${cluster.at('log/cli.log')}`,
      'volume',
      'info',
    );
    expect([exitCode, stdout + stderr]).toEqual([
      1,
      'Connection failed. Please check if gluster daemon is operational.\n',
    ]);
  });

  describe.skipIf(!canMount)('mounting', () => {
    const mount = (...words: string[]) => cluster.command('mount.glusterfs', ...words);

    it('an unknown volume', async () => {
      const mnt = cluster.mountPoint();
      const { exitCode, stderr } = await mount(`${cluster.address}:/none`, mnt);
      expect([exitCode, isMounted(mnt)]).toEqual([1, false]);
      expect(stderr).toContain(`Mounting glusterfs on ${mnt} failed. Check the log file`);
    });

    it('at a place that is not there, or no directory', async () => {
      const source = `${cluster.address}:/taken`;
      expect(await mount(source, cluster.at('nowhere'))).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('ERROR: Mount point does not exist'),
      });
      writeFileSync(cluster.at('file'), '');
      expect(await mount(source, cluster.at('file'))).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('is not a directory'),
      });
    });

    it('a volume that is not started', async () => {
      const mnt = cluster.mountPoint();
      const { exitCode } = await mount(`${cluster.address}:/taken`, mnt);
      expect([exitCode, isMounted(mnt)]).toEqual([1, false]);
    });

    it('twice at one place', async () => {
      await cluster.createAndStart('busy', [], 1);
      const mounted = await cluster.mount('busy');
      const { exitCode, stderr } = await mount(`${cluster.address}:/busy`, mounted.path);
      expect([exitCode, stderr]).toEqual([
        32,
        expect.stringContaining(`GlusterFS is already mounted on ${mounted.path}`),
      ]);
      const open = await fs.open(join(mounted.path, 'f'), 'w');
      expect((await cluster.run('umount', [mounted.path])).stderr).toContain('busy');
      await open.write('still works');
      await open.close();
      expect(readFileSync(join(mounted.path, 'f'), 'utf8')).toBe('still works');
      await cluster.destroy('busy', mounted);
    });
  });

  /** Bricks on small file systems of their own. */
  describe.skipIf(!canMount)('by the disk', () => {
    async function onTmpfs(volume: string, shape: string[], count: number, size: string) {
      const disks = Array.from({ length: count }, (_, i) => cluster.at(`disk-${volume}-${i}`));
      for (const disk of disks) await cluster.sh(`mkdir ${disk} && mount -t tmpfs -o size=${size} tmpfs ${disk}`);
      const bricks = disks.map((disk) => `${cluster.address}:${disk}/b`);
      await cluster.must('volume', 'create', volume, ...shape, ...bricks, 'force');
      await cluster.must('volume', 'start', volume);
      return disks;
    }

    async function gone(volume: string, disks: readonly string[]): Promise<void> {
      await cluster.must('volume', 'stop', volume, 'force');
      await cluster.must('volume', 'delete', volume);
      for (const disk of disks)
        await eventually('umount', async () => (await cluster.run('umount', [disk])).exitCode === 0);
    }

    it.each([
      ['one brick', [], 1],
      ['replica 3', ['replica', '3'], 3],
    ] as const)(
      'a full disk is ENOSPC, what was written stays, and there is life after a deletion: %s',
      async (_, shape, count) => {
        const volume = `full${count}`;
        const disks = await onTmpfs(volume, [...shape], count, '6m');
        const mounted = await cluster.mount(volume);
        const at = (name: string) => join(mounted.path, name);
        const block = Buffer.alloc(500_000, 'x');
        let files = 0;
        let code = '';
        for (; files < 30 && code === ''; files++) code = await writeAll(at(`f${files}`), block);
        expect(code).toBe('ENOSPC');
        expect(files).toBeGreaterThan(5);
        for (let i = 0; i < files - 1; i++) expect(readFileSync(at(`f${i}`)).equals(block)).toBe(true);
        for (const name of readdirSync(mounted.path)) await fs.unlink(at(name));
        await eventually('room', async () => (await writeAll(at('after'), block)) === '');
        expect(readFileSync(at('after')).equals(block)).toBe(true);
        await cluster.unmount(mounted);
        await gone(volume, disks);
      },
    );

    async function writeAll(path: string, data: Buffer): Promise<string> {
      try {
        const file = await fs.open(path, 'w');
        try {
          await file.writeFile(data);
          await file.sync();
        } finally {
          await file.close();
        }
        return '';
      } catch (error) {
        return errorCode(error as NodeJS.ErrnoException);
      }
    }

    it('a disk that became read-only is an error for writers, not for readers', async () => {
      const [disk] = (await onTmpfs('ro', [], 1, '6m')) as [string];
      const mounted = await cluster.mount('ro');
      const file = join(mounted.path, 'f');
      writeFileSync(file, 'text');
      const remounted = await cluster.run('mount', ['-o', 'remount,ro', disk]);
      if (remounted.exitCode === 0) {
        expect(await writeAll(join(mounted.path, 'g'), Buffer.from('x'))).toMatch(/EROFS|EIO|ENOTCONN/);
        expect(await fs.readFile(file, 'utf8').catch(errorCode)).toMatch(/text|ENOTCONN/);
        await cluster.sh(`mount -o remount,rw ${disk}`);
      }
      await cluster.unmount(mounted);
      await gone('ro', [disk]);
    });
  });
});
