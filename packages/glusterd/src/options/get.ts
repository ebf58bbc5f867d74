/** `volume get` and `volume set help`. */
import { wordsOf } from '../volgen/effects.ts';
import { entriesOf, optionKeys, type VolumeOption, volumeOptions } from '../volgen/table.ts';
import type { VolumeInfo } from '../volume.ts';
import type { ClusterState } from './cluster.ts';
import { clusterOptions, findKey, isUserKey } from './keys.ts';

export interface ShownOption {
  key: string;
  /** As `volume get` prints it: the value, or a default with `(DEFAULT)` after it. */
  value: string;
}

const noCluster: ClusterState = { opVersion: 100_000, maxOpVersion: 100_000 };

/** The key as typed by a person, or the error that goes after `volume get option: failed: `. */
export function keyForGet(typed: string): { key: string } | { error: string } {
  if (isUserKey(typed)) return { key: typed };
  const found = findKey(typed);
  return 'key' in found ? found : { error: `Did you mean ${found.suggestion}?` };
}

/** The default of an option for this volume, without a mark; `(null)` if there is none. */
export function optionDefault(key: string, volume: VolumeInfo): string {
  return defaultOf(key, volume)?.text ?? '(null)';
}

/** `given`: management gives it to the translator, so it is shown like one that was set. */
function defaultOf(key: string, volume: VolumeInfo): { text: string; given: boolean } | undefined {
  if (volume.type === 'replicate' && key === 'performance.client-io-threads') return { text: 'off', given: true };
  if (volume.type === 'replicate' && key === 'cluster.quorum-type' && volume.replicaCount % 2 === 1)
    return { text: 'auto', given: true };
  const entries = entriesOf(key);
  const given = entries.find((entry) => entry.value !== undefined)?.value;
  if (given !== undefined) return { text: given, given: true };
  const fallback = entries.map(translatorDefault).find((text) => text !== undefined);
  return fallback === undefined ? undefined : { text: fallback, given: false };
}

function translatorDefault(entry: VolumeOption): string | undefined {
  if (entry.default !== undefined) return entry.default;
  return entry.help === '(null)' ? undefined : entry.help;
}

/** One option as `volume get` shows it. The pool's options go before the volume's. */
export function shownOption(volume: VolumeInfo, key: string, cluster: ClusterState = noCluster): ShownOption {
  if (Object.hasOwn(clusterOptions, key)) {
    const ofPool = clusterOption(key, cluster);
    if (!ofPool.value.endsWith(' (DEFAULT)')) return ofPool;
  }
  const set = cluster.options?.[key] ?? (Object.hasOwn(volume.options, key) ? volume.options[key] : undefined);
  if (set !== undefined) return { key, value: set };
  const fallback = defaultOf(key, volume);
  if (fallback?.given) return { key, value: fallback.text };
  return { key, value: `${fallback?.text ?? '(null)'} (DEFAULT)` };
}

/** All options in GlusterFS's order, as `volume get V all` lists them. Those of the NFS server only when it can run. */
export function listForGetAll(volume: VolumeInfo, cluster: ClusterState = noCluster): ShownOption[] {
  return [...optionKeys()]
    .filter(
      (key) => !entriesOf(key).every((entry) => entry.xlator === 'nfs/server') || Object.hasOwn(volume.options, key),
    )
    .map((key) => shownOption(volume, key, cluster));
}

/** One of the pool's options, as `volume get all` shows it. */
export function clusterOption(key: string, cluster: ClusterState): ShownOption {
  if (key === 'cluster.max-op-version') return { key, value: `${cluster.maxOpVersion}` };
  const set = cluster.options?.[key];
  if (set !== undefined) return { key, value: set };
  if (key === 'cluster.op-version') return { key, value: `${cluster.opVersion}` };
  return { key, value: `${clusterOptions[key] ?? '(null)'} (DEFAULT)` };
}

/** The pool's options, as `volume get all all` lists them. */
export function listForGetAllVolumes(cluster: ClusterState): ShownOption[] {
  return Object.keys(clusterOptions).map((key) => clusterOption(key, cluster));
}

/** What a value may be, in a few words: `a size, 4096 to 131072`. */
export function describeValue(entry: VolumeOption): string {
  if (entry.allowed) return `one of ${entry.allowed.join(', ')}`;
  const kinds: Record<string, string> = {
    BOOL: 'on or off',
    INT: 'a number',
    SIZET: 'a size in bytes, or with KB, MB, GB, TB, PB',
    TIME: 'a time in seconds, or with s, min, hr, days, wk',
    PERCENT: 'a percentage',
    PERCENT_OR_SIZET: 'a percentage or a size',
    PATH: 'an absolute path',
    XLATOR: 'the name of a translator',
    PRIORITY_LIST: 'patterns with priorities, pattern:priority,...',
    INTERNET_ADDRESS_LIST: 'addresses with commas between them',
  };
  const kind = kinds[entry.type ?? ''] ?? 'text';
  const { min, max } = entry;
  if (min !== undefined && max !== undefined) return `${kind}; ${min} to ${max}`;
  if (min !== undefined) return `${kind}; at least ${min}`;
  return max === undefined ? kind : `${kind}; at most ${max}`;
}

/** The text of `volume set help`. */
export function volumeSetHelp(): string {
  return volumeOptions
    .filter((entry) => entry.doc === 'DOC' || entry.doc === 'GLOBAL_DOC')
    .map((entry) => {
      const fallback = entry.help ?? entry.value ?? entry.default ?? '(null)';
      return `Option: ${entry.key}\nDefault Value: ${fallback}\nDescription: ${describe(entry)}\n\n`;
    })
    .join('');
}

function describe(entry: VolumeOption): string {
  const words = wordsOf(entry);
  if (!words) return `Option ${entry.option.replace(/^!/, '')} of ${entry.xlator}: ${describeValue(entry)}`;
  return `${words.withoutEffect ? 'Has no effect. ' : ''}${words.description} (${describeValue(entry)})`;
}
