/** `volume reset`. */
import { entriesOf } from '../volgen/table.ts';
import type { VolumeInfo } from '../volume.ts';
import { findKey, isUserKey } from './keys.ts';

export type ResetResult = { options: Record<string, string>; protected: boolean } | { error: string };

/** Options that a volume has from its creation on, and gets again when all are reset. */
export function creationOptions(volume: Pick<VolumeInfo, 'type'>): Record<string, string> {
  return {
    ...(volume.type === 'replicate' ? { 'cluster.granular-entry-heal': 'on' } : {}),
    'storage.fips-mode-rchecksum': 'on',
    'transport.address-family': 'inet',
    'nfs.disable': 'on',
    ...(volume.type === 'replicate' ? { 'performance.client-io-threads': 'off' } : {}),
  };
}

/** What a reset brings back: GlusterFS has these three again, not those of replication. */
const afterReset = ['storage.fips-mode-rchecksum', 'transport.address-family', 'nfs.disable'];

/**
 * The options after a reset of one key, or of all (`undefined`). Protected ones stay, unless forced; `protected` says
 * that some did. An error goes after `volume reset: failed: `.
 */
export function resetOptions(volume: VolumeInfo, typed: string | undefined, force: boolean): ResetResult {
  if (typed === 'features.quota' || typed === 'quota')
    return {
      error: `'gluster volume reset <VOLNAME> ${typed}' is deprecated. Use 'gluster volume quota <VOLNAME> disable' instead.`,
    };
  let only: string | undefined;
  if (typed !== undefined && typed !== 'all') {
    const found = isUserKey(typed) ? { key: typed } : findKey(typed);
    if (!('key' in found)) return { error: `Option ${typed} does not exist\nDid you mean ${found.suggestion}?` };
    only = found.key;
  }
  const options: Record<string, string> = {};
  let kept = false;
  for (const [key, value] of Object.entries(volume.options)) {
    const goes = only === undefined || key === only;
    const stays = goes && isProtected(key, force);
    kept ||= stays;
    if (!goes || stays) options[key] = value;
  }
  const created = creationOptions(volume);
  for (const key of afterReset)
    if (!Object.hasOwn(options, key) && (only === undefined || only === key)) options[key] = created[key]!;
  return { options, protected: kept };
}

function isProtected(key: string, force: boolean): boolean {
  const flags = entriesOf(key)[0]?.flags ?? [];
  return flags.includes('NEVER_RESET') || (!force && flags.includes('FORCE'));
}
