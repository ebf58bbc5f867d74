/** The mount as programs see it: a memory volume, mounted for real. Needs root and /dev/fuse. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InodeTable, type Services, type Subvolume } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import type { Memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type FuseMount, mountFuse } from './index.ts';
import { canMount } from './mount-rig.ts';
import { memory } from './session/session-rig.ts';

const logged: string[] = [];

function onSystem(): { services: Services; storage: Memory } {
  const services: Services = {
    clock: new SystemClock(),
    random: new SystemRandom(),
    log: { level: 'INFO', setLevel: () => {}, write: (level, _origin, text) => logged.push(`${level} ${text}`) },
    metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
    inodes: new InodeTable(),
    port: (name) => {
      throw new Error(`no port ${name}`);
    },
  };
  return { services, storage: memory(services) };
}

/**
 * Never the synchronous kind, and the working directory is changed only by the shell: this process serves the mount,
 * and spawning waits until the child has done its chdir and exec. Every program has a time limit.
 */
function sh(script: string, cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', LC_ALL: 'C' };
    execFile('bash', ['-ec', `cd ${cwd}\n${script}`], { cwd: '/', timeout: 50_000, env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stderr}`));
      else resolve(stdout.trim());
    });
  });
}

const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8');

describe.skipIf(!canMount())('a mounted memory volume', () => {
  let folder: string;
  let mount: FuseMount;
  let top: Subvolume;
  const run = (script: string) => sh(script, folder);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    const { services, storage } = onSystem();
    top = storage.ops;
    mount = await mountFuse({
      mountPoint: folder,
      source: 'localhost:/memory',
      services,
      clientId: 'test',
      top: storage.ops,
      session: { attributeTimeout: 0.1, entryTimeout: 0.1 },
      options: { session: {}, kernelFlags: ['nosuid', 'noatime'], kernelOptions: [] },
    });
  });

  afterAll(async () => {
    await mount.unmount();
    await mount.closed;
    expect(mounts()).not.toContain(folder);
    expect(mount.stats).toMatchObject({ exceptions: 0, malformed: 0, inFlight: 0 });
    expect(logged).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('stands in the mount table as GlusterFS would', () => {
    const line = mounts()
      .split('\n')
      .find((entry) => entry.includes(folder))!;
    expect(line).toContain(' - fuse.glusterfs localhost:/memory rw,');
    expect(line).toContain('nosuid,noatime');
  });

  it('has the read-ahead that was asked for', () => {
    const device = mounts()
      .split('\n')
      .find((entry) => entry.includes(folder))!
      .split(' ')[2];
    expect(readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8').trim()).toBe('1024');
  });

  it('shows 1 as the inode number of its root', async () => {
    expect(await run('stat -c %i .')).toBe('1');
  });

  it('keeps a tree that cp, tar, find and diff agree on', async () => {
    const source = join(import.meta.dirname, '..');
    await run(`cp -a ${source} copy; diff -r ${source} copy; tar cf copy.tar copy; mkdir out; tar xf copy.tar -C out`);
    await run('diff -r copy out/copy');
    expect(await run('find out/copy | wc -l')).toBe(await run(`find ${source} | wc -l`));
    await run('rm -rf copy out copy.tar');
    expect(await run('ls -A | wc -l')).toBe('0');
  });

  it('moves, links and stats', async () => {
    await run('mkdir d; echo text > d/a; mv d/a d/b; ln d/b hard; ln -s d/b soft; mkfifo pipe; mknod null c 1 3');
    expect(await run('stat -c "%h %s %F" hard')).toBe('2 5 regular file');
    expect(await run('cat soft; readlink soft')).toBe('text\nd/b');
    expect(await run('stat -c "%F %t %T" null pipe')).toBe('character special file 1 3\nfifo 0 0');
    expect(await run('mv --no-clobber d/b hard 2>&1; cat d/b')).toBe('text');
    await run('rm -rf d hard soft pipe null');
  });

  it('keeps times to the nanosecond, also before 1970', async () => {
    await run('touch -d "1960-01-01 00:00:00.123456789 UTC" old');
    expect(await run('TZ=UTC stat -c %y old; rm old')).toBe('1960-01-01 00:00:00.123456789 +0000');
  });

  it('writes and reads large files, buffered and direct', async () => {
    await run('head -c 20000000 /dev/urandom > big; dd if=big of=direct bs=1M oflag=direct 2>/dev/null || true');
    await run('cp big again; cmp big again');
    await run('dd if=big of=odd bs=12345 2>/dev/null; cmp big odd; echo 3 > /proc/sys/vm/drop_caches; cmp big odd');
    await run('rm -f big again odd direct');
  });

  it('truncates, appends, punches and finds holes', async () => {
    await run('truncate -s 10M sparse; echo end >> sparse; fallocate -l 1M full; fallocate -p -o 0 -l 512K full');
    expect(await run('stat -c %s sparse; tail -c 4 sparse')).toBe('10485764\nend');
    await run('cp --sparse=always sparse sparse2; cmp sparse sparse2; rm sparse sparse2 full');
  });

  it('locks for other processes', async () => {
    expect(await run('flock lock -c "flock -n lock true || echo held"; flock -n lock echo free')).toBe('held\nfree');
    await run('flock lock sleep 0.3 & sleep 0.1; flock lock true; wait; rm lock');
  });

  it('ends a wait for a lock when the waiter is interrupted', async () => {
    await run('flock lock sleep 1 & sleep 0.1; timeout 0.2 flock lock true && exit 1; wait; rm lock');
  });

  it('keeps extended attributes', async () => {
    await run('touch x; setfattr -n user.a -v b x; setfattr -n trusted.t -v 1 x');
    expect(await run('getfattr --only-values -n user.a x')).toBe('b');
    expect(await run('getfattr -d -m- x | grep -c =')).toBe('2');
    expect(await run('setpriv --reuid 1000 --clear-groups getfattr -d -m- x | grep -c =')).toBe('1');
    await run('setfattr -x user.a x; rm x');
  });

  it('checks permissions of ordinary users', async () => {
    await run('mkdir -m 700 private; mkdir -m 1777 sticky; touch sticky/mine');
    await expect(run('setpriv --reuid 1000 --clear-groups ls private')).rejects.toThrow(/denied/);
    await expect(run('setpriv --reuid 1000 --clear-groups rm -f sticky/mine')).rejects.toThrow(/not permitted/);
    expect(
      await run('setpriv --reuid 1000 --regid 1000 --clear-groups touch sticky/his; stat -c %u:%g sticky/his'),
    ).toBe('1000:1000');
    await run('rm -r private sticky');
  });

  it('takes setuid off when another user writes', async () => {
    await run('touch prog; chmod 6777 prog; setpriv --reuid 1000 --clear-groups bash -c "echo x >> prog"');
    expect(await run('stat -c %a prog; rm prog')).toBe('777');
  });

  it('works on files whose name is gone', async () => {
    const python = `import os
fd = os.open('gone', os.O_RDWR | os.O_CREAT)
os.write(fd, b'before ')
os.unlink('gone')
os.write(fd, b'after')
os.fchmod(fd, 0o600)
os.setxattr(fd, 'user.a', b'x')
os.ftruncate(fd, 9)
print(os.pread(fd, 100, 0).decode(), os.fstat(fd).st_nlink, os.fstat(fd).st_size)`;
    expect(await run(`python3 -c "${python}"`)).toBe('before af 0 9');
  });

  it('carries names that are not UTF-8', async () => {
    await run("touch $'\\xff\\xfe'");
    expect(await run('ls | od -An -tx1 | tr -d " "')).toBe('fffe0a');
    await run('rm -f *');
  });

  it('holds a git repository', async () => {
    const git = 'git -c user.name=t -c user.email=t@t';
    await run(`git init -q r; cd r; for i in $(seq 60); do echo $i > f$i; done; git add .; ${git} commit -qm one`);
    await run(
      `cd r; echo x >> f1; ${git} commit -qam two; git gc -q; git fsck --strict; test -z "$(git status --short)"`,
    );
    await run('rm -rf r');
  });

  it('holds a database', async () => {
    const python = `import sqlite3
db = sqlite3.connect('t.db')
db.execute('create table t(a)')
for i in range(50):
    db.execute('insert into t values(?)', (i,))
    db.commit()
print(db.execute('select count(*) from t').fetchone()[0], db.execute('pragma integrity_check').fetchone()[0])`;
    expect(await run(`python3 -c "${python.replaceAll('"', '\\"')}"; rm t.db`)).toBe('50 ok');
  });

  it('goes on in a new graph, with the files that are open', async () => {
    const writer = run('exec 3>open; for i in $(seq 20); do echo $i >&3; sleep 0.02; done; exec 3>&-; wc -l < open');
    await new Promise((resolve) => setTimeout(resolve, 150));
    await mount.setGraph({ ...top });
    expect(await writer).toBe('20');
    await run('rm open');
  });
});

describe.skipIf(!canMount())('mounting', () => {
  it('ends when somebody else unmounts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    const { services, storage } = onSystem();
    const mount = await mountFuse({ mountPoint: folder, source: 'm', services, clientId: 't', top: storage.ops });
    await sh(`ls ${folder}; umount ${folder}`, '/');
    expect(await mount.closed).toBeUndefined();
    expect(mount.stats).toMatchObject({ nodes: 0, handles: 0 });
    rmSync(folder, { recursive: true });
  });

  it('refuses to unmount what is in use, unless lazily', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    const { services, storage } = onSystem();
    const mount = await mountFuse({ mountPoint: folder, source: 'm', services, clientId: 't', top: storage.ops });
    const user = sh('sleep 1; echo done', folder);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await expect(mount.unmount({ lazy: false })).rejects.toMatchObject({ code: 'EBUSY' });
    await mount.unmount();
    expect(mounts()).not.toContain(folder);
    expect(await user).toBe('done');
    expect(await mount.closed).toBeUndefined();
    rmSync(folder, { recursive: true });
  });

  it.skipIf(!existsSync('/usr/bin/fusermount3'))('goes through fusermount3 for those who are not root', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    const { services, storage } = onSystem();
    // As root, so that the test does not depend on who may open /dev/fuse here.
    const getuid = vi.spyOn(process, 'getuid').mockReturnValue(1000);
    try {
      const given = { mountPoint: folder, source: 'host:/v,1', services, clientId: 't', top: storage.ops };
      const mount = await mountFuse(given);
      expect(mounts()).toContain(' - fuse.glusterfs host:/v,1 ');
      expect(await sh('echo text > a; cat a', folder)).toBe('text');
      await mount.unmount({ lazy: false });
      expect(await mount.closed).toBeUndefined();
    } finally {
      getuid.mockRestore();
    }
    expect(mounts()).not.toContain(folder);
    rmSync(folder, { recursive: true });
  });

  it('says what is wrong with a mount point or an option', async () => {
    const { services, storage } = onSystem();
    const given = { source: 'm', services, clientId: 't', top: storage.ops };
    await expect(mountFuse({ ...given, mountPoint: '/nonexistent' })).rejects.toMatchObject({ code: 'ENOENT' });
    const options = { session: {}, kernelFlags: ['nosiud'], kernelOptions: [] };
    await expect(mountFuse({ ...given, mountPoint: '/tmp', options })).rejects.toThrow("did you mean 'nosuid'?");
  });
});
