/** What a command line of glusterfs means for the mount. */
import { processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { describe, expect, it } from 'vitest';
import { mountSettings, optionsWithoutEffect } from './mount-settings.ts';

const parse = (...words: string[]) => processArguments([...words, '/mnt'], '/');
const session = (...words: string[]) => mountSettings(parse(...words)).session;

describe('settings of a mount', () => {
  it('are as `glusterfs --help` of GlusterFS says when nothing is given', () => {
    expect(session()).toMatchObject({
      attributeTimeout: 1,
      entryTimeout: 1,
      negativeTimeout: 0,
      directIo: 'auto',
      readdirplus: true,
      autoInvalidation: true,
      writebackCache: false,
      keepCache: false,
      maxBackground: 64,
      congestionThreshold: 48,
      acl: false,
      selinux: false,
    });
  });

  it('differ in two defaults: the kernel decides what it forgets, and groups are not believed for long', () => {
    expect(session()).toMatchObject({ lruLimit: 0 });
    expect(mountSettings(parse()).gidTimeoutMs).toBeUndefined();
    expect(mountSettings(parse('--gid-timeout=300')).gidTimeoutMs).toBe(300_000);
  });

  it.each<[string, object]>([
    ['--attribute-timeout=2.5', { attributeTimeout: 2.5 }],
    ['--entry-timeout=0', { entryTimeout: 0 }],
    ['--negative-timeout=3', { negativeTimeout: 3 }],
    ['--direct-io-mode', { directIo: 'enable' }],
    ['--direct-io-mode=disable', { directIo: 'disable' }],
    ['--use-readdirp=no', { readdirplus: false }],
    ['--auto-invalidation=off', { autoInvalidation: false }],
    ['--kernel-writeback-cache', { writebackCache: true }],
    ['--fopen-keep-cache', { keepCache: true }],
    ['--lru-limit=7', { lruLimit: 7 }],
    ['--lru-limit=0', { lruLimit: 0 }],
    ['--background-qlen=9', { maxBackground: 9 }],
  ])('%s', (word, expected) => {
    expect(session(word)).toMatchObject(expected);
  });

  it.each([
    '--attribute-timeout=soon',
    '--entry-timeout=-1',
    '--direct-io-mode=perhaps',
    '--use-readdirp=perhaps',
    '--kernel-writeback-cache=2',
    '--background-qlen=many',
  ])('refuse %s, and name it', (word) => {
    const name = /^--([^=]+)/.exec(word)![1]!;
    expect(() => session(word)).toThrow(name);
  });
});

it('names what is taken and does nothing here', () => {
  const words = [
    '--inode-table-size=10',
    '--invalidate-limit=5',
    '--volfile-check',
    '--mem-accounting',
    '--global-threading',
    '--global-timer-wheel',
    '--fuse-flush-handle-interrupt=yes',
    '--fuse-setlk-handle-interrupt=no',
    '--fuse-dev-eperm-ratelimit-ns=1',
    '--logger=syslog',
    '--log-format=no-msg-id',
    '--log-buf-size=0',
    '--log-flush-timeout=30',
    '--reader-thread-count=4',
    '--dump-fuse=/tmp/d',
  ];
  const named = words.map((word) => /^--([^=]+)/.exec(word)![1]);
  expect([...optionsWithoutEffect(parse(...words, '--entry-timeout=2'))].sort()).toEqual(named.sort());
});
