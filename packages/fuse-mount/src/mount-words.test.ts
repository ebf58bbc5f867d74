import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import { processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { afterAll, describe, expect, it } from 'vitest';
import { mountedTypes } from './mount-point.ts';
import { glusterfsArguments } from './mount-words.ts';

const folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
afterAll(() => rmSync(folder, { recursive: true }));

const args = (source: string, ...options: string[]) => glusterfsArguments({ source, mountPoint: '/mnt', options });

describe('glusterfsArguments', () => {
  it.each([
    ['h:/vol', ['--volfile-server=h', '--volfile-id=/vol']],
    ['h:vol', ['--volfile-server=h', '--volfile-id=vol']],
    ['glusterfs#h:/vol', ['--volfile-server=h', '--volfile-id=/vol']],
    ['h1,h2:/vol', ['--volfile-server=h1', '--volfile-server=h2', '--volfile-id=/vol']],
    ['h:/vol/a/b', ['--volfile-server=h', '--volfile-id=/vol', '--subdir-mount=/a/b']],
    ['[::1]:/vol', ['--volfile-server=::1', '--volfile-id=/vol']],
    ['fe80::1:/vol', ['--volfile-server=fe80::1', '--volfile-id=/vol']],
    ['h:/snaps/s/vol', ['--volfile-server=h', '--volfile-id=/snaps/s/vol', '--read-only']],
  ])('takes the source %s', (source, expected) => {
    expect(args(source)).toEqual(['--process-name', 'fuse', ...expected, '/mnt']);
  });

  it('takes the path of a volfile as the source', () => {
    const path = join(folder, 'a.vol');
    writeFileSync(path, '');
    expect(args(path)).toEqual(['--process-name', 'fuse', `--volfile=${path}`, '/mnt']);
  });

  it('hands on options under their own names', () => {
    const given = args('h:v', 'ro,acl,log-level=DEBUG,attribute-timeout=0,entry-timeout=0', 'direct-io-mode=enable');
    expect(given).toEqual(
      expect.arrayContaining([
        '--read-only',
        '--acl',
        '--log-level=DEBUG',
        '--attribute-timeout=0',
        '--entry-timeout=0',
        '--direct-io-mode=enable',
      ]),
    );
  });

  it.each([
    ['backup-volfile-servers=h2:h3', ['--volfile-server=h', '--volfile-server=h2', '--volfile-server=h3']],
    ['backup-volfile-servers=[::2]:h3', ['--volfile-server=::2', '--volfile-server=h3']],
    ['backupvolfile-server=h2', ['--volfile-server=h2']],
    ['fetch-attempts=5', ['--volfile-max-fetch-attempts=5']],
    ['server-port=24009', ['--volfile-server-port=24009']],
    ['root-squash=no', ['--no-root-squash']],
    ['process-name=x', ['fuse.x']],
    ['xlator-option=*dht.a=b', ['--xlator-option=*dht.a=b']],
    ['noatime,nodev', ['--fuse-mountopts=noatime,nodev']],
    ['context=system_u:object_r:x:s0:c1', ['--fuse-mountopts=context="system_u:object_r:x:s0:c1"']],
    ['context="a:b,c1"', ['--fuse-mountopts=context="a:b,c1"']],
    ['rw,_netdev,x-systemd.automount,nofail,defaults', ['--volfile-id=v']],
  ])('maps %s', (options, expected) => {
    expect(args('h:v', options)).toEqual(expect.arrayContaining(expected));
  });

  it('makes nothing that glusterfs does not read', () => {
    const every = 'ro,acl,selinux,worm,aux-gfid-mount,thin-client,resolve-gids,fopen-keep-cache,background-qlen=1';
    expect(() => processArguments(args('h:/v/s', every), '/')).not.toThrow();
  });

  it.each([
    ['h:v', 'bogus', 'Invalid option bogus'],
    ['h:v', 'bogus=1', 'Invalid option: bogus'],
    ['h:v', 'attribute-timeuot=1', 'did you mean attribute-timeout?'],
    ['v', '', 'Server name/volume name unspecified'],
    ['h:/', '', 'Server name/volume name unspecified'],
    ['/no/such.vol', '', 'volume file /no/such.vol does not exist'],
  ])('refuses %s with %s', (source, options, message) => {
    expect(() => args(source, options)).toThrow(UsageError);
    expect(() => args(source, options)).toThrow(message);
  });
});

it('finds mounts by path, also with blanks in it', () => {
  const table = 'h:/v /mnt/a\\040b fuse.glusterfs rw 0 0\nproc /proc proc rw 0 0\nx /mnt/a\\040b ext4 rw 0 0\n';
  expect(mountedTypes('/mnt/a b', table)).toEqual(['fuse.glusterfs', 'ext4']);
  expect(mountedTypes('/mnt/a', table)).toEqual([]);
});
