import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { infoChecksum, volumeChecksum } from './checksum.ts';
import { printLines } from './lines.ts';
import { parseVolume, StoreFormatError, volumeFiles } from './volume-files.ts';

type Files = Record<string, string>;

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../../test/fixtures/store/${name}`, import.meta.url), 'utf8')) as T;
}

const { stores } = fixture<{ stores: Record<string, Files> }>('glusterd-store.json');
const pool = fixture<{ files: Files }>('glusterd-store-peers.json').files;

/** Volume folders of real stores: name, volume, its files. */
const samples = [
  ...Object.entries(stores).map(([name, files]) => [name, 'vol1', within(files, 'vols/vol1/')] as const),
  ['pool', 'pv', within(pool, 'node1/vols/pv/')] as const,
];

function within(files: Files, prefix: string): Map<string, string> {
  const own = Object.entries(files).filter(([path]) => path.startsWith(prefix));
  return new Map(own.map(([path, text]) => [path.slice(prefix.length), text]));
}

describe('the store of GlusterFS', () => {
  it.each(samples)('%s has the checksum that it says', (_name, _volume, files) => {
    expect(`info=${infoChecksum(files.get('info')!)}\n`).toBe(files.get('cksum'));
  });

  it('has the checksum that nodes exchange', () => {
    expect(volumeChecksum(stores.replica3!['vols/vol1/info']!)).toBe(3678942923);
  });

  it.each(samples)('%s is read and written back byte by byte', (_name, volume, files) => {
    const parsed = parseVolume(volume, (file) => files.get(file) ?? null);
    const written = volumeFiles(parsed);
    for (const [name, text] of files) {
      if (name.endsWith('.vol') || name.startsWith('quota') || name.startsWith('run/')) continue;
      if (name === 'marker.tstamp') continue;
      // State of other parts of management: written when missing, kept when found.
      if (name === 'node_state.info' || name === 'snapd.info') continue;
      expect(written.get(name), name).toBe(text);
    }
  });

  it('keeps lines that it does not know', () => {
    const files = new Map(samples[0]![2]);
    const extra = printLines([['new-thing', '7']]);
    files.set('info', files.get('info')!.replace('storage.fips', `${extra}storage.fips`));
    expect(volumeFiles(parseVolume('vol1', (file) => files.get(file) ?? null)).get('info')).toBe(files.get('info'));
  });

  it.each([
    ['type=0\n', 'type=1\n', /of type 1 \(stripe\) do not exist any more/],
    ['volume-id=', 'volume-id=x', /vols\/vol1\/info: id: not a UUID/],
    ['brick-0=node1', 'brick-0=node7', /vols\/vol1\/bricks\/node7:-bricks-b1 is missing/],
    ['brick-0=', 'no-brick=', /vols\/vol1\/info: bricks/],
  ])('refuses %j changed to %j', (from, to, message) => {
    const files = new Map(samples[0]![2]);
    files.set('info', files.get('info')!.replace(from, to));
    const parse = () => parseVolume('vol1', (file) => files.get(file) ?? null);
    expect(parse).toThrow(StoreFormatError);
    expect(parse).toThrow(message);
  });
});
