/** Mounts by hand from volfiles, as a user starts them: `glusterfs -f`, `mount.glusterfs`, mount(8)'s other forms. */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasProgram } from '../support/cluster.ts';
import { canMount, commandLine, ensureBuilt, isAlive, isMounted, root, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

/** Whether the optional package is installed and what it needs besides. */
function hasFuseNative(): boolean {
  const libraries = spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '';
  return (
    libraries.includes('libfuse.so.2 ') &&
    existsSync(join(root, 'node_modules/fuse-native')) &&
    hasProgram('fusermount')
  );
}

const nobody = 65_534;
const memory = 'volume m\n type storage/memory\n option unused 1\nend-volume\n';
let box: Sandbox;
let volfile: string;
let mnt: string;
beforeEach(() => {
  box = new Sandbox();
  volfile = box.file('m.vol', memory);
  mnt = box.mountPoint();
});
afterEach(() => box.end());

const mounted = () =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .find((line) => line.includes(` ${mnt} `));
/** Of the process behind the mount, when it was not started with a pid file. */
const mountPids = () =>
  readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isAlive(+name) && commandLine(+name).at(-1) === mnt);

async function gone(pids: readonly (number | string)[]): Promise<boolean> {
  return until(() => pids.every((pid) => !isAlive(Number(pid))));
}

describe.skipIf(!canMount)('glusterfs -f VOLFILE MOUNTPOINT', () => {
  const start = (...more: string[]) => box.daemon('glusterfs', 'm.pid', '-f', volfile, ...more, mnt);

  it('serves files when the command returns', () => {
    start();
    expect(mounted()).toMatch(/ fuse\.glusterfs rw,/);
    writeFileSync(join(mnt, 'a'), 'text');
    expect(readFileSync(join(mnt, 'a'), 'utf8')).toBe('text');
    expect(readdirSync(mnt)).toEqual(['a']);
  });

  it('takes modes as they are, whatever the umask of its starter', () => {
    start();
    spawnSync('bash', ['-c', `umask 0; touch ${mnt}/a; mkdir -m 777 ${mnt}/d`]);
    expect(statSync(join(mnt, 'a')).mode & 0o777).toBe(0o666);
    expect(statSync(join(mnt, 'd')).mode & 0o777).toBe(0o777);
  });

  it('logs under the name of its mount point', () => {
    start();
    expect(readdirSync(box.logs)).toEqual([`${mnt.slice(1).replaceAll('/', '-')}.log`]);
  });

  it('ends when it is unmounted', async () => {
    const pid = start();
    expect(spawnSync('umount', [mnt]).status).toBe(0);
    expect(await gone([pid])).toBe(true);
    expect(existsSync(join(box.run, 'm.pid'))).toBe(false);
  });

  it('ends on a lazy and on a forced unmount too', async () => {
    for (const flag of ['-l', '-f']) {
      const pid = start();
      expect(spawnSync('umount', [flag, mnt]).status).toBe(0);
      expect(await gone([pid])).toBe(true);
    }
  });

  it('unmounts itself on SIGTERM', async () => {
    const pid = start();
    process.kill(pid, 'SIGTERM');
    expect(await gone([pid])).toBe(true);
    expect(isMounted(mnt)).toBe(false);
  });

  it('replaces a mount whose process was killed', async () => {
    const pid = start();
    process.kill(pid, 'SIGKILL');
    await gone([pid]);
    expect(() => statSync(mnt)).toThrow(/ENOTCONN|ECONNABORTED/);
    start();
    expect(readdirSync(mnt)).toEqual([]);
  });

  it('reads its volfile again on SIGHUP and switches graphs under open files', async () => {
    start();
    writeFileSync(join(mnt, 'a'), 'text');
    box.file('m.vol', `${memory}volume top\n type debug/io-stats\n subvolumes m\nend-volume\n`);
    process.kill(Number(readFileSync(join(box.run, 'm.pid'), 'utf8')), 'SIGHUP');
    const log = `${mnt.slice(1).replaceAll('/', '-')}.log`;
    expect(await until(() => box.log(log).includes('switched to graph 1'))).toBe(true);
    // A volume in memory is a new one in a new graph; the mount serves it.
    await until(() => readdirSync(mnt).length === 0);
    writeFileSync(join(mnt, 'b'), 'more');
    expect(readFileSync(join(mnt, 'b'), 'utf8')).toBe('more');
  });

  it('is read-only when told so', () => {
    start('--read-only');
    expect(mounted()).toMatch(/ ro,/);
    expect(() => writeFileSync(join(mnt, 'a'), '')).toThrow('EROFS');
  });

  it.runIf(['fusermount3', 'setpriv', 'unshare'].every(hasProgram))(
    'is for ordinary users, through fusermount3',
    () => {
      for (const path of [box.path, box.logs, box.run, mnt]) {
        chmodSync(path, 0o755);
        if (path !== box.path) chownSync(path, nobody, nobody);
      }
      // In a mount table of its own, where everybody may open /dev/fuse, as on most systems.
      const asNobody = `setpriv --reuid ${nobody} --regid ${nobody} --clear-groups`;
      const fuse = join(box.path, 'fuse');
      const script = `mknod -m 666 ${fuse} c 10 229 && mount --bind ${fuse} /dev/fuse
      ${asNobody} ${join(root, 'bin/glusterfs')} -f ${volfile} ${mnt} && grep ' ${mnt} ' /proc/self/mounts
      ls ${mnt} 2>/dev/null && echo root was let in
      ${asNobody} stat -c %U ${mnt}
      ${asNobody} fusermount3 -u ${mnt} && ! grep ' ${mnt} ' /proc/self/mounts`;
      const { stdout, stderr, status } = spawnSync('unshare', ['-m', 'bash', '-c', script], {
        env: { ...box.env, HOME: box.path },
        encoding: 'utf8',
      });
      expect([status, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/ fuse\.glusterfs rw,nosuid,nodev,\S*user_id=65534/);
      expect(stdout.trim().split('\n')).toHaveLength(2);
    },
  );

  it.runIf(hasFuseNative())('can be by fuse-native, which refuses what it would spoil', async () => {
    const pid = start('--fuse-backend=fuse-native');
    expect(mounted()).toMatch(/ fuse\.glusterfs rw,/);
    mkdirSync(join(mnt, 'd'));
    writeFileSync(join(mnt, 'd/a'), 'x'.repeat(100_000));
    appendFileSync(join(mnt, 'd/a'), 'end');
    renameSync(join(mnt, 'd/a'), join(mnt, 'b'));
    linkSync(join(mnt, 'b'), join(mnt, 'c'));
    chmodSync(join(mnt, 'c'), 0o604);
    expect(readFileSync(join(mnt, 'c'), 'utf8')).toBe(`${'x'.repeat(100_000)}end`);
    const { nlink, mode, size } = statSync(join(mnt, 'b'));
    expect([nlink, mode & 0o777, size, readdirSync(mnt)]).toEqual([2, 0o604, 100_003, ['b', 'c', 'd']]);
    expect(() => utimesSync(join(mnt, 'b'), 1, 2)).toThrow(/EOPNOTSUPP|ENOTSUP/);
    expect(() => writeFileSync(Buffer.concat([Buffer.from(`${mnt}/`), Buffer.from([0xff])]), 'x')).toThrow(/EILSEQ/);
    expect(spawnSync('umount', [mnt]).status).toBe(0);
    expect(await gone([pid])).toBe(true);
  });

  it('refuses a backend that it does not have', () => {
    const { status, stderr } = box.command('glusterfs', '-f', volfile, '--fuse-backend=other', mnt);
    expect([status, stderr]).toEqual([1, expect.stringContaining("fuse-backend 'other'")]);
  });

  it('shows a directory of the volume as its root', () => {
    const brick = box.folder('brick');
    const posix = box.file('p.vol', `volume p\n type storage/posix\n option directory ${brick}\nend-volume\n`);
    const whole = box.mountPoint('whole');
    const first = box.daemon('glusterfs', 'w.pid', '-f', posix, whole);
    spawnSync('bash', ['-c', `mkdir -p ${whole}/a/b && echo one >${whole}/a/b/f && echo two >${whole}/outside`]);
    process.kill(first, 'SIGTERM');
    const missing = box.command('glusterfs', '-f', posix, '--subdir-mount=/a/c', mnt);
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain('directory /a/c cannot be mounted: /a/c: ENOENT');
    box.daemon('glusterfs', 'm.pid', '-f', posix, '--subdir-mount=/a/b', mnt);
    expect(readdirSync(mnt)).toEqual(['f']);
    spawnSync('bash', ['-c', `cd ${mnt} && mkdir d && mv f d/g && ln d/g h && rm d/g && ls -a . >/dev/null`]);
    expect(readdirSync(mnt).sort()).toEqual(['d', 'h']);
    expect(readFileSync(join(brick, 'a/b/h'), 'utf8')).toBe('one\n');
    expect(statSync(mnt).ino).toBe(1);
  });

  it('dumps its inode table and requests', async () => {
    const pid = start();
    writeFileSync(join(mnt, 'a'), 'text');
    process.kill(pid, 'SIGUSR1');
    const dump = () => readdirSync(box.run).find((name) => name.includes(`.${pid}.dump.`));
    expect(await until(() => dump() !== undefined)).toBe(true);
    const text = readFileSync(join(box.run, dump()!), 'utf8');
    expect(text).toContain('[xlator.mount.fuse.priv]');
    for (const key of ['active_size', 'lru_size', 'use_readdirp', 'requests.create'])
      expect(text).toMatch(new RegExp(`^${key.replace('.', '\\.')}=\\d+$`, 'm'));
  });

  it('refuses a mount point that is not there', () => {
    const { status, stderr } = box.command('glusterfs', '-f', volfile, join(box.path, 'nowhere'));
    expect(status).toBe(1);
    expect(stderr).toContain(`Mount point ${join(box.path, 'nowhere')} does not exist`);
  });

  it('fails, and leaves no mount, when the volume cannot serve', () => {
    const bad = box.file('bad.vol', 'volume p\n type storage/posix\n option directory /no/such/brick\nend-volume\n');
    const { status, stderr } = box.command('glusterfs', '-f', bad, mnt);
    expect(status).not.toBe(0);
    expect(stderr).toContain('/no/such/brick');
    expect(isMounted(mnt)).toBe(false);
  });
});

describe.skipIf(!canMount)('mount.glusterfs', () => {
  it('mounts a volfile and returns when it is served', async () => {
    const { status, stderr } = box.command(
      'mount.glusterfs',
      volfile,
      mnt,
      '-o',
      'rw,attribute-timeout=0,x-systemd.foo',
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(mounted()).toContain('fuse.glusterfs');
    const pids = mountPids();
    expect(pids).toHaveLength(1);
    expect(commandLine(Number(pids[0]))).toEqual(
      expect.arrayContaining(['--process-name', 'fuse', '--attribute-timeout=0', `--volfile=${volfile}`]),
    );
    spawnSync('umount', [mnt]);
    expect(await gone(pids)).toBe(true);
  });

  it('refuses to mount twice with exit code 32', async () => {
    box.command('mount.glusterfs', volfile, mnt);
    const pids = mountPids();
    const { status, stderr } = box.command('mount.glusterfs', volfile, mnt);
    expect(status).toBe(32);
    expect(stderr).toContain(`GlusterFS is already mounted on ${mnt}`);
    spawnSync('umount', [mnt]);
    expect(await gone(pids)).toBe(true);
  });

  it.each([
    [['h:/v', '/no/such/dir'], 1, 'ERROR: Mount point does not exist'],
    [['h:/v', '/'], 2, 'Cannot mount over root'],
    [['h:/v', '/tmp'], 2, 'Cannot mount over /tmp'],
    [['h:/v', 'mnt', '-o', 'worm'], 1, '--worm: this build has no features/worm translator'],
    [['h:/v', 'mnt', '-o', 'transport=rdma'], 1, "volfile-server-transport 'rdma'"],
    [['h:/v', 'mnt', '-o', 'bogus'], 1, 'Invalid option bogus'],
    [['h:/v', 'mnt', '-o', 'atribute-timeout=1'], 1, 'did you mean attribute-timeout?'],
    [['v', 'mnt'], 1, 'Server name/volume name unspecified'],
    [['h:/v'], 1, 'Usage:'],
  ])('answers %j with exit code %i', (args, code, message) => {
    const { status, stderr } = box.command('mount.glusterfs', ...args);
    expect(stderr).toContain(message);
    expect(status).toBe(code);
  });

  it('says that no server could be reached', () => {
    const { status, stderr } = box.command('mount.glusterfs', '127.0.0.1:/v', mnt, '-o', 'server-port=1');
    expect(status).toBe(1);
    expect(stderr).toContain('failed to fetch the volume file');
    expect(stderr).toContain(`Mounting glusterfs on ${mnt} failed.`);
  });
});

/** mount.fuse3 runs `glusterfs SOURCE MOUNTPOINT -o OPTIONS` for `mount -t fuse.glusterfs` and for `glusterfs#SOURCE`. */
describe.skipIf(!canMount || !existsSync('/sbin/mount.fuse3'))('mount.fuse3', () => {
  it.each([
    ['-t fuse.glusterfs SOURCE', (source: string) => [source, '-t', 'fuse.glusterfs']],
    ['glusterfs#SOURCE', (source: string) => [`glusterfs#${source}`]],
  ])('mounts by %s', async (_, words) => {
    const [source, ...more] = words(volfile);
    const { status, stderr } = spawnSync('/sbin/mount.fuse3', [source!, mnt, ...more, '-o', 'rw,nosuid'], {
      env: { ...box.env, PATH: `${join(root, 'bin')}:${process.env.PATH}` },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(mounted()).toMatch(/fuse\.glusterfs .*nosuid/);
    const pids = mountPids();
    spawnSync('umount', [mnt]);
    expect(await gone(pids)).toBe(true);
  });
});
