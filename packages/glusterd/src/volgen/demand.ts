/** Which translators the options and the shape of a volume ask for by name. */
import { parseBool } from '@mortar/core';
import type { VolumeInfo } from '../volume.ts';
import { debugIsOn } from './debug.ts';
import { whyWithoutEffect } from './effects.ts';
import { volumeOptions } from './table.ts';
import { existingTranslators, missingSentence, missingTranslators } from './translators.ts';

export interface Demand {
  readonly type: string;
  /** `features.shard on`, or `a dispersed volume`. */
  readonly because: string;
}

const byBoolean: Readonly<Record<string, readonly string[]>> = {
  'features.worm': ['features/worm'],
  'features.worm-file-level': ['features/worm'],
  'features.read-only': ['features/read-only'],
  'features.shard': ['features/shard'],
  'features.ctime': ['features/utime'],
  'features.acl': ['features/access-control'],
  'features.uss': ['features/snapview-client', 'features/snapview-server'],
  'features.trash': ['features/trash'],
  'features.bitrot': ['features/bitrot-stub', 'features/bit-rot'],
  'features.leases': ['features/leases'],
  'features.selinux': ['features/selinux'],
  'features.quota': ['features/quota', 'features/marker'],
  'features.inode-quota': ['features/quota', 'features/marker'],
  'features.tag-namespaces': ['features/namespace'],
  'features.sdfs': ['features/sdfs'],
  'features.cloudsync': ['features/cloudsync'],
  'features.cache-invalidation': ['features/upcall'],
  'features.barrier': ['features/barrier'],
  'features.block': ['features/block'],
  'changelog.changelog': ['features/changelog'],
  'geo-replication.indexing': ['features/marker'],
  'network.compression': ['features/cdc'],
  'cluster.nufa': ['cluster/nufa'],
  'cluster.switch': ['cluster/switch'],
  'performance.parallel-readdir': ['performance/readdir-ahead'],
  'config.gfproxyd': ['features/quiesce'],
  'ganesha.enable': ['mgmt/ganesha'],
};

const performance = new Map(
  volumeOptions.filter((entry) => entry.option === '!perf').map((entry) => [entry.key, [entry.xlator]]),
);

/** Types of translators that an option with this value switches on; empty for one that tunes or switches off. */
export function typesAskedFor(key: string, value: string): readonly string[] {
  if (key === 'nfs.disable') return parseBool(value) === false ? ['nfs/server'] : [];
  if (key === 'debug.trace' || key === 'debug.error-gen' || key === 'debug.delay-gen')
    return debugIsOn(value) ? [key.replace('.', '/')] : [];
  if (parseBool(value) !== true) return [];
  return Object.hasOwn(byBoolean, key) ? byBoolean[key]! : (performance.get(key) ?? []);
}

/** Why a translator that does not exist is asked for by this option, or undefined if none is. */
export function missingForOption(
  key: string,
  value: string,
  translators: ReadonlySet<string> = existingTranslators,
): string | undefined {
  const type = missingTypes(key, value, translators).find((asked) => missingTranslators[asked]?.without !== 'slower');
  return type === undefined ? undefined : `${key} cannot be set to ${value}: ${missingSentence(type)}`;
}

/** What is said when an option is set that stays without effect, since its translator would only make things faster. */
export function noteForOption(
  key: string,
  value: string,
  translators: ReadonlySet<string> = existingTranslators,
): string | undefined {
  const [type] = missingTypes(key, value, translators);
  return type === undefined ? undefined : `${key} has no effect: ${missingSentence(type)}`;
}

/** What is said to who sets an option that does nothing here, whatever its value. */
export function noteWithoutEffect(key: string): string | undefined {
  const why = whyWithoutEffect(key);
  return why && `${key} has no effect: ${why.charAt(0).toLowerCase()}${why.slice(1).replace(/\.$/, '')}`;
}

function missingTypes(key: string, value: string, translators: ReadonlySet<string>): string[] {
  return typesAskedFor(key, value).filter((asked) => !translators.has(asked));
}

/** Why a volume of this shape cannot be made by this build, or undefined if it can. */
export function missingForShape(
  shape: Pick<VolumeInfo, 'type' | 'arbiterCount' | 'thinArbiterCount'>,
  translators: ReadonlySet<string> = existingTranslators,
): string | undefined {
  const missing = shapeDemands(shape).find(({ type }) => !translators.has(type));
  return missing && `${missing.because} is not possible: ${missingSentence(missing.type)}`;
}

function shapeDemands(shape: Pick<VolumeInfo, 'type' | 'arbiterCount' | 'thinArbiterCount'>): Demand[] {
  const demands: Demand[] = [];
  if (shape.type === 'disperse') demands.push({ type: 'cluster/disperse', because: 'a dispersed volume' });
  if (shape.type === 'replicate') demands.push({ type: 'cluster/replicate', because: 'a replicated volume' });
  if (shape.arbiterCount > 0) demands.push({ type: 'features/arbiter', because: 'an arbiter volume' });
  if (shape.thinArbiterCount > 0) demands.push({ type: 'features/thin-arbiter', because: 'a thin-arbiter volume' });
  return demands;
}

/** The first missing translator without which the volume's graphs would be wrong, as a sentence; or undefined. */
export function missingForVolume(volume: VolumeInfo, translators: ReadonlySet<string>): string | undefined {
  const shape = missingForShape(volume, translators);
  if (shape) return shape;
  for (const [key, value] of Object.entries(volume.options)) {
    const type = typesAskedFor(key, value).find(
      (asked) => !translators.has(asked) && missingTranslators[asked]?.without !== 'slower',
    );
    if (type !== undefined) return `${key} is ${value}, but ${missingSentence(type)}`;
  }
  return undefined;
}
