/** `volume set`: whether a key and a value are acceptable, in GlusterFS's words. */
import { parseBool } from '@mortar/core';
import { EffectiveOptions } from '../volgen/builder.ts';
import { missingForOption } from '../volgen/demand.ts';
import { entriesOf, type VolumeOption } from '../volgen/table.ts';
import { existingTranslators } from '../volgen/translators.ts';
import type { VolumeInfo } from '../volume.ts';
import { type ClusterState, checkClusterValue } from './cluster.ts';
import { clusterOptions, findKey, isUserKey } from './keys.ts';
import { otherCommand, specialChecks } from './special.ts';
import { checkAddressList, checkAllowList, checkRejectList, checkValue, optionName } from './values.ts';

export interface CheckContext {
  /** Without it every op-version will do. */
  readonly cluster?: ClusterState;
  /** Set by another command than `volume set`, which may set what that one refuses. */
  readonly byOtherCommand?: boolean;
  readonly translators?: ReadonlySet<string>;
}

export type CheckedOption = { key: string; value: string } | { error: string };

/** The longest value: it goes into volfiles, stores and lines of tools. */
const maxValueLength = 4096;
const maxKeyLength = 255;
const noCluster: ClusterState = { opVersion: 100_000, maxOpVersion: 100_000 };

/**
 * Checks one option of a volume, or of the whole pool (`all`). The key of the answer is the full one. The text of an
 * error may have two lines; it goes after `volume set: failed: `.
 */
export function checkVolumeOption(
  subject: VolumeInfo | 'all',
  typed: string,
  value: string,
  context: CheckContext = {},
): CheckedOption {
  const unusable = checkText(typed, value);
  if (unusable !== undefined) return { error: unusable };
  if (subject !== 'all' && !context.byOtherCommand) {
    const other = otherCommand(typed, value);
    if (other !== undefined) return { error: other };
  }
  if (isUserKey(typed))
    return subject === 'all' ? { error: 'Not a valid option for all volumes' } : { key: typed, value };
  const found = findKey(typed);
  if (!('key' in found)) return { error: `option : ${typed} does not exist\nDid you mean ${found.suggestion}?` };
  const error =
    subject === 'all' ? checkAll(found.key, value, context) : checkOne(subject, typed, found.key, value, context);
  return error === undefined ? { key: found.key, value } : { error };
}

function checkText(typed: string, value: string): string | undefined {
  if (typed === '' || typed.length > maxKeyLength || /[\s=\0]/.test(typed))
    return `option : ${typed.slice(0, maxKeyLength)} does not exist`;
  if (value === '') return `option ${typed} needs a value; to go back to the default, reset it`;
  if (/[\n\0]/.test(value))
    return `the value of ${typed} has a newline or a NUL, which volfiles and stores cannot hold`;
  if (value.length > maxValueLength) return `the value of ${typed} is longer than ${maxValueLength} characters`;
  return undefined;
}

function checkAll(key: string, value: string, { cluster = noCluster }: CheckContext): string | undefined {
  if (!Object.hasOwn(clusterOptions, key)) return 'Not a valid option for all volumes';
  return checkClusterValue(key, value, cluster);
}

function checkOne(
  volume: VolumeInfo,
  typed: string,
  key: string,
  value: string,
  context: CheckContext,
): string | undefined {
  for (const special of specialChecks[key] ?? []) {
    const error = special(volume, typed, value);
    if (error !== undefined) return error;
  }
  if (key === 'cluster.granular-entry-heal' && !context.byOtherCommand && volume.status !== 'created')
    return ` 'gluster volume set <VOLNAME> ${key} {enable, disable}' is not supported. Use 'gluster volume heal <VOLNAME> granular-entry-heal {enable, disable}' instead.`;
  if (key === 'cluster.op-version') return `Option "${key}" is not valid for a single volume`;
  if (Object.hasOwn(clusterOptions, key)) return 'Not a valid option for single volume';
  const entries = entriesOf(key);
  const needed = Math.max(...entries.map((entry) => entry.opVersion));
  const { opVersion } = context.cluster ?? noCluster;
  if (needed > opVersion)
    return `Required op_version (${needed}) is not supported. Max supported op version is ${opVersion}`;
  return (
    checkEntries(volume, entries, value) ?? missingForOption(key, value, context.translators ?? existingTranslators)
  );
}

/**
 * Of several translators that a key is for, those in the graph decide; if none is, the value must suit one of them.
 * So a small `performance.cache-size` is possible as long as io-cache, which has a minimum, is not loaded.
 */
function checkEntries(volume: VolumeInfo, entries: readonly VolumeOption[], value: string): string | undefined {
  const errors = entries.map((entry) => ({ entry, error: checkEntry(volume, entry, value) }));
  const loaded = errors.filter(({ entry }) => isLoaded(volume, entry.xlator));
  if (loaded.length > 0) return loaded.find(({ error }) => error !== undefined)?.error;
  return errors.every(({ error }) => error !== undefined) ? errors[0]?.error : undefined;
}

function isLoaded(volume: VolumeInfo, xlator: string): boolean {
  if (xlator === 'cluster/replicate') return volume.type === 'replicate';
  if (xlator === 'cluster/disperse') return volume.type === 'disperse';
  const options = new EffectiveOptions(volume.options);
  const name = xlator === 'performance/md-cache' ? 'stat-prefetch' : xlator.replace('performance/', '');
  if (xlator.startsWith('performance/') && xlator !== 'performance/io-threads')
    return parseBool(options.value(`performance.${name}`) ?? 'off') === true;
  return true;
}

function checkEntry(volume: VolumeInfo, entry: VolumeOption, value: string): string | undefined {
  if (entry.option.startsWith('!rpc-auth.addr.')) return checkAddressList(value, optionName(entry), entry);
  if (entry.option !== '!server-auth') return checkValue(entry, value);
  const name = `auth.addr.${volume.bricks[0]?.path ?? ''}.${entry.key.slice('auth.'.length)}`;
  return (entry.key === 'auth.allow' ? checkAllowList : checkRejectList)(value, name, entry);
}
