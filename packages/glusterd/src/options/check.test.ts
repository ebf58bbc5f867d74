import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type VolumeInfo, volumeInfoSchema } from '../volume.ts';
import { type CheckContext, checkVolumeOption } from './index.ts';

const id = '6a058689-c7fa-4626-8617-cf4e6a7caeb2';

function volume(count: number, changes: Partial<VolumeInfo> = {}): VolumeInfo {
  const name = count > 1 ? 'rep3' : 'dist';
  return volumeInfoSchema.parse({
    name,
    id,
    type: count > 1 ? 'replicate' : 'distribute',
    status: 'started',
    replicaCount: count,
    bricks: Array.from({ length: 3 }, (_, i) => ({
      host: `10.78.0.1${i + 1}`,
      hostUuid: id,
      path: `/srv/b1/${name}`,
      brickId: `${name}-client-${i}`,
    })),
    ...changes,
  });
}

const rep3 = volume(3);
const dist = volume(1);
const cluster = { opVersion: 100_000, maxOpVersion: 100_000 };
const granular =
  " 'gluster volume set <VOLNAME> cluster.granular-entry-heal {enable, disable}' is not supported. Use 'gluster volume heal <VOLNAME> granular-entry-heal {enable, disable}' instead.";

/** `true`: accepted as it is. A string that is a key: accepted as that. */
const transcript: [VolumeInfo | 'all', string, string, true | { key: string } | string][] = [
  [rep3, 'performance.cache-size', '64MB', true],
  [rep3, 'performance.cache-size', 'abc', 'invalid number format "abc" in option "cache-size"'],
  [rep3, 'performance.cache-size', '1KB', true],
  [rep3, 'cluster.self-heal-daemon', 'maybe', "option self-heal-daemon maybe: 'maybe' is not a valid boolean value"],
  [rep3, 'network.ping-timeout', '10', true],
  [rep3, 'network.ping-timeout', '99999', "'99999' in 'option ping-timeout 99999' is out of range [0 - 1013]"],
  [rep3, 'network.ping-timeout', '-1', 'invalid time format "-1" in "option ping-timeout"'],
  [rep3, 'nosuch.option', '1', 'option : nosuch.option does not exist\nDid you mean auth.allow?'],
  [rep3, 'nosuch.opt', '20', 'option : nosuch.opt does not exist\nDid you mean auth.allow or ...reject?'],
  ['all', 'nosuch', '1', 'option : nosuch does not exist\nDid you mean anonuid or nfs?'],
  [
    rep3,
    'performance.cachesize',
    '1',
    'option : performance.cachesize does not exist\nDid you mean performance.cache-size?',
  ],
  [rep3, 'cache-size', '32MB', { key: 'performance.cache-size' }],
  [
    rep3,
    'diagnostics.client-log-level',
    'LOUD',
    "option log-level LOUD: 'LOUD' is not valid (possible options are DEBUG, WARNING, ERROR, INFO, CRITICAL, NONE, TRACE.)",
  ],
  [rep3, 'cluster.quorum-type', 'auto', true],
  [
    rep3,
    'cluster.quorum-type',
    'bogus',
    "option quorum-type bogus: 'bogus' is not valid (possible options are none, auto, fixed.)",
  ],
  [
    rep3,
    'cluster.favorite-child-policy',
    'bogus',
    "option favorite-child-policy bogus: 'bogus' is not valid (possible options are none, size, ctime, mtime, majority.)",
  ],
  [rep3, 'cluster.quorum-count', '4', '4 in cluster.quorum-count 4 is out of range [1 - 3]'],
  [rep3, 'auth.allow', '10.78.0.*', true],
  [
    rep3,
    'auth.allow',
    '300.1.1.1,@@',
    "option auth.addr./srv/b1/rep3.allow 300.1.1.1,@@: '300.1.1.1,@@' is not a valid internet-address-list",
  ],
  [rep3, 'features.read-only', 'on', true],
  [rep3, 'user.comment', 'hello', true],
  [dist, 'cluster.quorum-type', 'auto', true],
  [dist, 'cluster.min-free-disk', '10%', true],
  [dist, 'cluster.min-free-disk', '200%', "'200.000000' in 'option min-free-disk 200%' is out of range [0 - 100]"],
  ['all', 'cluster.server-quorum-ratio', '51%', true],
  [
    'all',
    'cluster.op-version',
    '100000',
    'Required op-version (100000) should not be equal or lower than current cluster op-version (100000).',
  ],
  [
    'all',
    'cluster.op-version',
    '999999',
    'Required op_version (999999) is not supported. Max supported op version is 100000',
  ],
  [rep3, 'cluster.granular-entry-heal', 'off', granular],
  [rep3, 'cluster.granular-entry-heal', 'on', granular],
  [rep3, 'cluster.server-quorum-type', 'server', true],
];

describe('the answers of glusterd', () => {
  for (const [subject, key, value, answer] of transcript) {
    it(`${subject === 'all' ? 'all' : subject.name}: ${key} ${value}`, () => {
      const expected =
        answer === true ? { key, value } : typeof answer === 'string' ? { error: answer } : { ...answer, value };
      expect(checkVolumeOption(subject, key, value, { cluster })).toEqual(expected);
    });
  }
});

function errorOf(subject: VolumeInfo | 'all', key: string, value: string, context: CheckContext = { cluster }): string {
  const result = checkVolumeOption(subject, key, value, context);
  return 'error' in result ? result.error : '';
}

describe('what is refused besides', () => {
  it('a translator that this build does not have, by its name, but not to switch it off or to tune it', () => {
    expect(errorOf(rep3, 'features.worm', 'on')).toMatch(/this build has no features\/worm translator, which keeps/);
    // It would only make the volume faster.
    expect(errorOf(rep3, 'performance.write-behind', 'enable')).toBe('');
    expect(errorOf(rep3, 'features.worm', 'off')).toBe('');
    expect(errorOf(rep3, 'performance.write-behind', 'off')).toBe('');
    expect(errorOf(rep3, 'performance.write-behind-window-size', '4MB')).toBe('');
    expect(errorOf(rep3, 'nfs.disable', 'on')).toBe('');
    expect(errorOf(rep3, 'nfs.disable', 'off')).toContain('nfs/server');
  });
  it('a translator that a list of translators lacks', () => {
    expect(errorOf(rep3, 'features.barrier', 'on', { translators: new Set() })).toContain('features/barrier');
    expect(errorOf(rep3, 'features.worm', 'on', { translators: new Set(['features/worm']) })).toBe('');
  });
  it('a negative number that is 0, parts of bytes, addresses that are none', () => {
    expect(errorOf(rep3, 'diagnostics.brick-log-buf-size', '-0')).toContain('invalid number format "-0"');
    expect(errorOf(rep3, 'diagnostics.brick-log-buf-size', '0')).toBe('');
    expect(errorOf(rep3, 'cluster.min-free-disk', '199.051')).not.toBe('');
    expect(errorOf(rep3, 'cluster.min-free-disk', '56.7%')).toBe('');
    for (const address of ['example..org', 'a.a.', '192.{}.1.2', ',', ''])
      expect(errorOf(rep3, 'auth.allow', address), address).not.toBe('');
    for (const address of ['127.0.0.1,10.1.2.3,', '192.*..*', '*.example.org', '192.168.10.[1-5]', '192.168.10.5/16'])
      expect(errorOf(rep3, 'nfs.rpc-auth-allow', address), address).toBe('');
  });
  it('directories with those who may mount them', () => {
    for (const list of ['/a(1.2.3.4),/(10.0.0.1|node7),/b(::1)', '/a/b/c/(10.0.*)', '192.168.1.1,10.10.*.*,::1'])
      expect(errorOf(rep3, 'auth.allow', list), list).toBe('');
    for (const list of ['a(1.2.3.4)', '/a', '/a()', '/a(300.1.1.1)', '/a(1.2.3.4),1.2.3.4', '/../a(1.2.3.4)'])
      expect(errorOf(rep3, 'auth.allow', list), list).toContain('is not a valid internet-address-list');
    expect(errorOf(rep3, 'auth.reject', '/a(1.2.3.4)')).toContain('name directories in auth.allow');
    expect(errorOf(rep3, 'auth.reject', '1.2.3.4')).toBe('');
  });
  it('options of the pool on a volume, and the other way round', () => {
    expect(errorOf(rep3, 'cluster.brick-multiplex', 'on')).toBe('Not a valid option for single volume');
    expect(errorOf('all', 'network.ping-timeout', '10')).toBe('Not a valid option for all volumes');
    expect(errorOf(rep3, 'cluster.op-version', '1')).toBe(
      'Option "cluster.op-version" is not valid for a single volume',
    );
  });
  it('options that belong to other commands, except from these', () => {
    expect(errorOf(rep3, 'features.bitrot', 'on')).toContain("Use 'gluster volume bitrot <VOLNAME> {enable|disable}'");
    expect(errorOf(rep3, 'quota', 'on')).toBe(
      " 'gluster volume set <VOLNAME> quota on' is deprecated. Use 'gluster volume quota <VOLNAME> enable' instead.",
    );
    expect(errorOf(rep3, 'cluster.granular-entry-heal', 'off', { cluster, byOtherCommand: true })).toBe('');
    expect(errorOf(volume(3, { status: 'created' }), 'cluster.granular-entry-heal', 'off')).toBe('');
  });
  it('options that the type of the volume has no use for', () => {
    expect(errorOf(dist, 'cluster.data-self-heal', 'on')).toBe(
      'Cannot set cluster.data-self-heal for a non-replicate volume.',
    );
    expect(errorOf(dist, 'cluster.self-heal-daemon', 'on')).toBe('Volume dist is not of replicate type');
    expect(errorOf(rep3, 'cluster.lock-migration', 'on')).toContain('pure distribute volume only');
  });
  it('options beyond the op-version of the pool', () => {
    const old = { cluster: { opVersion: 80_000, maxOpVersion: 80_000 } };
    expect(errorOf(rep3, 'cluster.use-anonymous-inode', 'off', old)).toBe(
      'Required op_version (90000) is not supported. Max supported op version is 80000',
    );
    expect(errorOf(rep3, 'client.strict-locks', 'on', old)).toBe('');
  });
  it('what cannot change while the volume runs', () => {
    expect(errorOf(rep3, 'storage.linux-aio', 'on')).toContain('Please stop the volume first.');
    expect(errorOf(volume(3, { status: 'stopped' }), 'storage.linux-aio', 'on')).toBe('');
  });
  it('a minimum of io-cache only once io-cache is loaded', () => {
    const cached = volume(3, { options: { 'performance.io-cache': 'on' } });
    expect(errorOf(cached, 'performance.cache-size', '1KB')).toBe(
      "'1024' in 'option cache-size 1KB' is out of range [4194304 - inf]",
    );
  });
  it('read-only together with worm', () => {
    const worm = volume(3, { options: { 'features.worm': 'on' } });
    expect(errorOf(worm, 'features.read-only', 'on')).toBe('read-only and worm cannot be set together');
  });
  it('values of wrong types, in the words of each type', () => {
    expect(errorOf(rep3, 'storage.owner-uid', '-2')).toBe(
      "'-2' in 'option brick-uid -2' is smaller than minimum value '-1'",
    );
    expect(errorOf(rep3, 'cluster.read-hash-mode', '9')).toBe(
      "'9' in 'option read-hash-mode 9' is out of range [0 - 5]",
    );
    expect(errorOf(rep3, 'storage.create-mask', '01000')).toBe(
      "'512' in 'option create-mask 01000' is out of range [0 - 511]",
    );
    expect(errorOf(rep3, 'cluster.min-free-inodes', 'x')).toBe(
      'invalid percent format "x" in "option min-free-inodes"',
    );
    expect(errorOf(rep3, 'performance.io-cache', 'sometimes')).toContain('is not a valid boolean value');
    expect(errorOf(rep3, 'server.statedump-path', 'here')).toContain('is not an absolute path name');
  });
});

describe('any input', () => {
  it('gets an answer of one or two lines, and an accepted value fits on a line of a store', () => {
    const keys = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('network.ping-timeout', 'auth.allow', 'user.x', 'cache-size', 'storage.reserve'),
    );
    fc.assert(
      fc.property(fc.constantFrom(rep3, dist, 'all' as const), keys, fc.string(), (subject, key, value) => {
        const result = checkVolumeOption(subject, key, value, { cluster });
        if ('error' in result) expect(result.error).not.toBe('');
        else expect(/\n/.test(`${result.key}=${result.value}`)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
