import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { volumeFromStore } from '../volgen/golden.ts';
import { allTranslators, volumeOptions } from '../volgen/index.ts';
import {
  checkVolumeOption,
  creationOptions,
  isGroupName,
  keyForGet,
  listForGetAll,
  listForGetAllVolumes,
  optionDefault,
  parseGroup,
  resetOptions,
  shownOption,
  volumeOpVersions,
  volumeSetHelp,
} from './index.ts';

const file = new URL('../../../../test/fixtures/vectors/glusterd-store.json', import.meta.url);
const stores = JSON.parse(readFileSync(file, 'utf8')).stores as Record<string, Record<string, string>>;
const replica3 = volumeFromStore('replica3', stores.replica3);
const distribute3 = volumeFromStore('distribute3', stores.distribute3);

describe('op-versions of a volume', () => {
  for (const [name, store] of Object.entries(stores)) {
    it(`${name}: as glusterd stored them`, () => {
      const volume = volumeFromStore(name, store);
      const { opVersion, clientOpVersion } = volume;
      expect(volumeOpVersions(volume)).toEqual({ opVersion, clientOpVersion });
    });
  }
});

describe('volume get', () => {
  it('shows what is set, else what management gives, else the default of the translator', () => {
    expect(shownOption(replica3, 'cluster.granular-entry-heal').value).toBe('on');
    expect(shownOption(replica3, 'performance.write-behind').value).toBe('on');
    expect(shownOption(replica3, 'cluster.heal-timeout').value).toBe('600 (DEFAULT)');
    expect(shownOption(replica3, 'cluster.rsync-hash-regex').value).toBe('(null) (DEFAULT)');
  });
  it('knows the defaults that depend on the volume', () => {
    expect(optionDefault('performance.client-io-threads', replica3)).toBe('off');
    expect(optionDefault('performance.client-io-threads', distribute3)).toBe('on');
    expect(shownOption(replica3, 'cluster.quorum-type').value).toBe('auto');
    expect(shownOption(distribute3, 'cluster.quorum-type').value).toBe('none (DEFAULT)');
  });
  it('lists all options of a volume once, in the order of the table', () => {
    const keys = listForGetAll(replica3).map(({ key }) => key);
    expect(keys.slice(0, 3)).toEqual(['cluster.lookup-unhashed', 'cluster.lookup-optimize', 'cluster.min-free-disk']);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys).not.toContain('nfs.acl');
    expect(keys).toContain('nfs.disable');
  });
  it('lists the options of the pool', () => {
    const cluster = {
      opVersion: 100_000,
      maxOpVersion: 100_000,
      options: { 'cluster.server-quorum-ratio': '51%' },
    };
    expect(listForGetAllVolumes(cluster).map(({ key, value }) => `${key} ${value}`)).toEqual([
      'cluster.server-quorum-ratio 51%',
      'cluster.enable-shared-storage disable (DEFAULT)',
      'cluster.op-version 100000',
      'cluster.max-op-version 100000',
      'cluster.brick-multiplex disable (DEFAULT)',
      'cluster.max-bricks-per-process 250 (DEFAULT)',
      'glusterd.vol_count_per_thread 100 (DEFAULT)',
      'cluster.localtime-logging disable (DEFAULT)',
      'cluster.daemon-log-level INFO (DEFAULT)',
      'cluster.brick-graceful-cleanup disable (DEFAULT)',
    ]);
  });
  it('completes and suggests keys', () => {
    expect(keyForGet('cache-size')).toEqual({ key: 'performance.cache-size' });
    expect(keyForGet('user.comment')).toEqual({ key: 'user.comment' });
    expect(keyForGet('nosuch')).toEqual({ error: 'Did you mean anonuid or nfs?' });
    // Three options end in this; a person has to say which.
    expect(keyForGet('eager-lock')).toHaveProperty('error');
  });
});

describe('volume set help', () => {
  it('has an entry for every documented option', () => {
    const documented = volumeOptions.filter((entry) => !entry.doc.endsWith('NO_DOC'));
    expect(volumeSetHelp().split('\n\n').length - 1).toBe(documented.length);
    expect(volumeSetHelp()).toMatch(/^Option: cluster\.lookup-unhashed\nDefault Value: on\nDescription: \S.*\n\n/);
  });
});

describe('volume reset', () => {
  it('of everything leaves the options that are always there', () => {
    const result = resetOptions(replica3, undefined, false);
    expect(result).toEqual({
      options: {
        'storage.fips-mode-rchecksum': 'on',
        'transport.address-family': 'inet',
        'nfs.disable': 'on',
      },
      protected: false,
    });
  });
  it('keeps protected options, some of them even when forced', () => {
    const volume = {
      ...replica3,
      options: { 'features.quota': 'on', 'features.bitrot': 'on', 'network.ping-timeout': '3' },
    };
    expect(resetOptions(volume, undefined, false)).toMatchObject({
      options: { 'features.quota': 'on', 'features.bitrot': 'on' },
      protected: true,
    });
    const forced = resetOptions(volume, undefined, true);
    expect(forced).toHaveProperty(['options', 'features.quota']);
    expect(forced).not.toHaveProperty(['options', 'features.bitrot']);
  });
  it('of an unknown option suggests one', () => {
    expect(resetOptions(replica3, 'nosuch.opt', false)).toEqual({
      error: 'Option nosuch.opt does not exist\nDid you mean auth.allow or ...reject?',
    });
  });
  it('creates volumes with the options of GlusterFS', () => {
    expect(creationOptions(replica3)).toEqual(replica3.options);
    expect(creationOptions(distribute3)).toEqual(distribute3.options);
  });
});

describe('groups', () => {
  const groups = JSON.parse(readFileSync(new URL('../volfiles/option-groups.json', file), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  for (const [name, pairs] of Object.entries(groups)) {
    it(`${name} is installed and has options that can be set, or that need what this build lacks`, () => {
      const installed = new URL(`../../../../share/glusterd/groups/${name}`, import.meta.url);
      expect(parseGroup(readFileSync(installed, 'utf8'))).toEqual(pairs);
      for (const [key, value] of pairs) {
        const result = checkVolumeOption(replica3, key, value);
        if ('error' in result) expect(result.error).toMatch(/this build has no/);
        expect(checkVolumeOption(replica3, key, value, { translators: allTranslators })).toEqual({ key, value });
      }
    });
  }
  it('are files of key=value lines', () => {
    expect(parseGroup('# a\nx.y=on\n\nz.w = 1 2 \n')).toEqual([
      ['x.y', 'on'],
      ['z.w', '1 2'],
    ]);
    expect(() => parseGroup('x.y=on\nnonsense\n')).toThrow(/line 2/);
  });
  it('have names that stay in their directory', () => {
    expect(isGroupName('metadata-cache')).toBe(true);
    for (const name of ['', '..', '../x', 'a/b', '.hidden', 'a\0']) expect(isGroupName(name)).toBe(false);
  });
});
