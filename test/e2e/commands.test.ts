/** The forms in which people start things: mount.glusterfs, mount(8) with its helpers, links from elsewhere, volfiles by hand. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { eventually, startCluster } from '../support/cluster.ts';
import { canMount, isMounted, root } from '../support/sandbox.ts';

const programs = ['glusterd', 'gluster', 'glusterfs', 'glusterfsd', 'mount.glusterfs', 'gf_attach'];

describe.skipIf(!canMount)('started', () => {
  const cluster = startCluster();
  beforeAll(async () => {
    await cluster.createAndStart('vol', [], 2);
    const mount = await cluster.mount('vol');
    writeFileSync(join(mount.path, 'f'), 'text');
    mkdirSync(join(mount.path, 'sub'));
    writeFileSync(join(mount.path, 'sub/g'), 'below');
    await cluster.unmount(mount);
    mkdirSync(cluster.at('links'));
    for (const name of programs) symlinkSync(join(root, 'bin', name), cluster.at(`links/${name}`));
  });

  async function unmounted(mnt: string): Promise<void> {
    await cluster.sh(`umount ${mnt}`);
    await eventually('the end of the mount', () => !cluster.processes().some((pid) => hasWord(pid, mnt)));
  }

  function hasWord(pid: number, word: string): boolean {
    return existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
  }

  it.each([
    ['HOST:/VOL', () => [`${cluster.address}:/vol`], 'f'],
    ['HOST:VOL with options', () => [`${cluster.address}:vol`, '-o', 'rw,noatime,log-level=WARNING,_netdev'], 'f'],
    ['several hosts, of which the first is no one', () => [`127.255.255.1,${cluster.address}:/vol`], 'f'],
    ['a backup server', () => ['127.255.255.1:/vol', '-o', `backup-volfile-servers=${cluster.address}`], 'f'],
    ['a directory of the volume', () => [`${cluster.address}:/vol/sub`], 'g'],
    ['read-only', () => [`${cluster.address}:/vol`, '-o', 'ro'], 'f'],
  ] as const)('mount.glusterfs %s', async (_, words, file) => {
    const mnt = cluster.mountPoint();
    const [source, ...options] = words();
    const { exitCode, stderr } = await cluster.command('mount.glusterfs', source!, mnt, ...options);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(readdirSync(mnt)).toContain(file);
    await unmounted(mnt);
  });

  it.each(programs)('%s through a link and from another directory', async (name) => {
    const direct = await cluster.command(name, '--version');
    const linked = await cluster.run(cluster.at(`links/${name}`), ['--version']);
    expect(linked).toEqual(direct);
    expect(await cluster.run('bash', ['-c', `./${name} --version`], cluster.at('links'))).toEqual(direct);
    if (name !== 'gf_attach') expect([linked.exitCode, linked.stdout]).toEqual([0, expect.stringMatching(/\d/)]);
  });

  it('a link mounts', async () => {
    const mnt = cluster.mountPoint();
    const words = [`--volfile-server=${cluster.address}`, '--volfile-id=vol', mnt];
    expect(await cluster.run(cluster.at('links/glusterfs'), words)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(mnt, 'f'), 'utf8')).toBe('text');
    await unmounted(mnt);
  });

  /** In a mount namespace of its own /sbin holds mount.glusterfs, which nobody else sees. */
  describe.skipIf(existsSync('/sbin/mount.glusterfs') || !existsSync('/sbin/mount.fuse3'))('by mount(8)', () => {
    it.each([
      ['mount -t glusterfs HOST:/VOL', (source: string, mnt: string) => `mount -t glusterfs ${source} ${mnt}`],
      ['mount -t glusterfs -o', (source: string, mnt: string) => `mount -t glusterfs -o ro,noatime ${source} ${mnt}`],
      [
        'mount -t fuse glusterfs#HOST:/VOL',
        (source: string, mnt: string) => `mount -t fuse glusterfs#${source} ${mnt}`,
      ],
      [
        'mount -t fuse.glusterfs HOST:/VOL',
        (source: string, mnt: string) => `mount -t fuse.glusterfs ${source} ${mnt}`,
      ],
    ])('%s', async (_, line) => {
      const mnt = cluster.mountPoint();
      const sbin = cluster.at('sbin');
      const script = `
        mkdir -p ${sbin} && cp -a /sbin/mount.fuse* ${sbin} && ln -sf ${join(root, 'bin/mount.glusterfs')} ${sbin}/mount.glusterfs
        mount --bind ${sbin} $(readlink -f /sbin)
        mount --bind ${cluster.at('links')} /usr/local/sbin
        ${line(`${cluster.address}:/vol`, mnt)}
        cat ${mnt}/f
        grep -c ' ${mnt} fuse.glusterfs' /proc/self/mounts
        /bin/umount ${mnt}`;
      const { exitCode, stdout, stderr } = await cluster.run('unshare', ['-m', 'bash', '-euc', script]);
      expect([exitCode, stdout, stderr]).toEqual([0, 'text1\n', '']);
      expect(isMounted(mnt)).toBe(false);
      await eventually('the end of the mount', () => !cluster.processes().some((pid) => hasWord(pid, mnt)));
    });
  });

  it('a volfile by hand whose bricks are those of the volume’s servers', async () => {
    const mnt = cluster.mountPoint();
    const port = /<port>(\d+)<\/port>/g;
    const status = await cluster.must('volume', 'status', 'vol', '--xml');
    const clients = [...status.matchAll(port)].slice(0, 2).map(
      ([, number], index) => `volume c${index}
    type protocol/client
    option transport-type tcp
    option remote-host ${cluster.address}
    option remote-port ${number}
    option remote-subvolume ${cluster.at(`bricks/vol-${index}`)}
end-volume
`,
    );
    const volfile = cluster.at('hand.vol');
    writeFileSync(
      volfile,
      `${clients.join('')}volume all\n    type cluster/distribute\n    subvolumes c0 c1\nend-volume\n`,
    );
    const { exitCode, stderr } = await cluster.command('glusterfs', '-f', volfile, mnt);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(readdirSync(mnt).sort()).toEqual(['f', 'sub']);
    expect(readFileSync(join(mnt, 'f'), 'utf8')).toBe('text');
    await unmounted(mnt);
  });

  it('a volfile with a mistake: file, line and what was expected; nothing is mounted', async () => {
    const mnt = cluster.mountPoint();
    const volfile = cluster.at('bad.vol');
    writeFileSync(volfile, 'volume a\n    type storage/posx\n    option directory /x\nend-volume\n');
    const { exitCode, stderr } = await cluster.command('glusterfs', '-f', volfile, mnt);
    expect([exitCode === 0, isMounted(mnt)]).toEqual([false, false]);
    expect(stderr).toMatch(/bad\.vol:\d+:\d+: .*storage\/posx/);
  });
});
