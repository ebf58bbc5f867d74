/** Checks which need the volume, or have words of their own. `typed` is the key as it was typed. */
import { parseBool, parseSize } from '@mortar/core';
import { EffectiveOptions } from '../volgen/builder.ts';
import { setCount, type VolumeInfo } from '../volume.ts';
import { parseInteger } from './values.ts';

type Special = (volume: VolumeInfo, typed: string, value: string) => string | undefined;

const optionsOf = (volume: VolumeInfo) => new EffectiveOptions(volume.options);

const onlyReplicated: Special = (volume, typed) =>
  volume.type === 'replicate' ? undefined : `Cannot set ${typed} for a non-replicate volume.`;

const onlyDispersed: Special = (volume, typed) =>
  volume.type === 'disperse' ? undefined : `Cannot set ${typed} for a non-disperse volume.`;

const quorumCount: Special = (volume, typed, value) => {
  const count = parseInteger(value);
  if (count === undefined) return `${value} is not an integer. ${typed} expects a valid integer value.`;
  const most = volume.type === 'replicate' ? volume.replicaCount : 1;
  return count < 1 || count > most ? `${count} in ${typed} ${count} is out of range [1 - ${most}]` : undefined;
};

const dispersedQuorumCount: Special = (volume, typed, value) => {
  const count = parseInteger(value);
  if (count === undefined) return `${value} is not an integer. ${typed} expects a valid integer value.`;
  if (volume.type !== 'disperse') return onlyDispersed(volume, typed, value);
  const least = volume.disperseCount - volume.redundancyCount;
  return count < least || count > volume.disperseCount
    ? `${count} for ${typed} is out of range [${least} - ${volume.disperseCount}]`
    : undefined;
};

const cacheFileSize: Special = (volume, typed, value) => {
  const options = optionsOf(volume);
  const isLeast = typed.endsWith('cache-min-file-size');
  const least = isLeast ? value : options.value('performance.cache-min-file-size');
  const most = isLeast ? options.value('performance.cache-max-file-size') : value;
  if (least === undefined || most === undefined) return undefined;
  // 0 stands for no limit.
  const limit = parseSize(most) ?? 0;
  return limit > 0 && (parseSize(least) ?? 0) > limit
    ? `cache-min-file-size (${least}) is greater than cache-max-file-size (${most})`
    : undefined;
};

const readdirCache: Special = (_volume, typed, value) =>
  parseSize(value) === 0 ? `${typed} 0 is out of range: it is shared by directories that are read ahead` : undefined;

const subvolumesPerDirectory: Special = (volume, _typed, value) => {
  const count = parseInteger(value);
  const sets = setCount(volume);
  return count !== undefined && count > sets
    ? `subvols-per-directory(${count}) is greater than the number of subvolumes(${sets}).`
    : undefined;
};

/** A number of threads, or a name for one that depends on the machine. */
const rebalanceThrottle: Special = (_volume, _typed, value) => {
  if (/^(lazy|normal|aggressive)$/i.test(value)) return undefined;
  const count = parseInteger(value);
  if (count === undefined)
    return `number of rebalance threads should be {lazy|normal|aggressive} or a number in range from 1 to 40, not ${value}`;
  return count < 1 || count > 40
    ? `number of rebalance threads should be in range from 1 to 40, not ${count}`
    : undefined;
};

const lockMigration: Special = (volume, _typed, value) => {
  if (volume.type !== 'distribute')
    return 'Lock migration is a experimental feature. Currently works with pure distribute volume only';
  return parseBool(value) === undefined ? 'Invalid value for volume set command. Use on/off only.' : undefined;
};

const aBoolean: Special = (_volume, typed, value) =>
  parseBool(value) === undefined
    ? `${value} is not a valid boolean value. ${typed} expects a valid boolean value.`
    : undefined;

const backlog: Special = (_volume, typed, value) => {
  const count = parseInteger(value);
  if (count === undefined) return `${value} is not a compatible value. ${typed} expects an integer value.`;
  return count < 0 ? `${value} is not a compatible value. ${typed} expects a positiveinteger value.` : undefined;
};

const snapshotDirectory: Special = (_volume, typed, value) => {
  if (value.length > 255) return `value of ${typed} exceedes 255 characters`;
  if (value.length < 2) return `value of ${typed} too short, expects at least two characters`;
  if (!value.startsWith('.')) return `${typed} expects value starting with '.' `;
  return /^[A-Za-z0-9_-]+$/.test(value.slice(1)) ? undefined : `${typed} expects value to contain only '0-9a-z-_'`;
};

const needsQuota: Special = (volume, typed) =>
  optionsOf(volume).isOn('features.quota') ? undefined : `Cannot set ${typed}. Enable quota first.`;

const period: Special = (_volume, typed, value) => {
  const count = parseInteger(value);
  return count === undefined || count < 0
    ? `${value} is not a valid uint64_t value. ${typed} expects a valid uint64_t value.`
    : undefined;
};

const retentionMode: Special = (_volume, typed, value) =>
  value === 'relax' || value === 'enterprise'
    ? undefined
    : `The value of retention mode should be either relax or enterprise. But the value of ${typed} is ${value}`;

const mandatoryLocking: Special = (_volume, _typed, value) =>
  ['off', 'file', 'forced', 'optimal'].includes(value)
    ? undefined
    : `Invalid option value '${value}': Available options are 'off', 'file', 'forced' or 'optimal'`;

const trashDirectory: Special = (volume, _typed, value) => {
  if (!optionsOf(volume).isOn('features.trash'))
    return `Trash translator is not enabled. Use volume set ${volume.name} trash on`;
  return value.includes('/') ? 'Path is not allowed as option' : undefined;
};

const transportType: Special = (_volume, _typed, value) =>
  ['tcp', 'rdma', 'tcp,rdma', 'rdma,tcp'].includes(value.toLowerCase())
    ? undefined
    : `transport-type ${value} does not exist`;

const onlyWhileStopped: Special = (volume, typed) =>
  volume.status === 'started'
    ? `Changing '${typed}' is not supported when the volume is in started state. Please stop the volume first.`
    : undefined;

const readOnlyWithWorm: Special = (volume, typed, value) => {
  const others = typed.endsWith('read-only') ? ['features.worm', 'features.worm-file-level'] : ['features.read-only'];
  const options = optionsOf(volume);
  return parseBool(value) === true && others.some((key) => options.isOn(key))
    ? 'read-only and worm cannot be set together'
    : undefined;
};

/** By full key; all of a key's checks run. */
export const specialChecks: Readonly<Record<string, readonly Special[]>> = {
  'performance.rda-cache-limit': [readdirCache],
  'cluster.quorum-count': [quorumCount],
  'cluster.subvols-per-directory': [subvolumesPerDirectory],
  'cluster.rebal-throttle': [rebalanceThrottle],
  'cluster.lock-migration': [lockMigration],
  'cluster.metadata-self-heal': [onlyReplicated],
  'cluster.data-self-heal': [onlyReplicated],
  'cluster.entry-self-heal': [onlyReplicated],
  'cluster.self-heal-daemon': [
    (volume) => (volume.type === 'replicate' ? undefined : `Volume ${volume.name} is not of replicate type`),
  ],
  'cluster.disperse-self-heal-daemon': [
    (volume) => (volume.type === 'disperse' ? undefined : `Volume ${volume.name} is not of disperse type`),
  ],
  'cluster.shd-max-threads': [onlyReplicated],
  'disperse.shd-max-threads': [onlyDispersed],
  'disperse.quorum-count': [dispersedQuorumCount],
  'performance.cache-max-file-size': [cacheFileSize],
  'performance.cache-min-file-size': [cacheFileSize],
  'performance.parallel-readdir': [aBoolean],
  'client.strict-locks': [aBoolean],
  'transport.listen-backlog': [backlog],
  'features.uss': [aBoolean],
  'features.snapshot-directory': [snapshotDirectory],
  'features.quota-deem-statfs': [needsQuota],
  'features.read-only': [readOnlyWithWorm],
  'features.worm': [aBoolean, readOnlyWithWorm],
  'features.worm-file-level': [aBoolean, readOnlyWithWorm],
  'features.worm-files-deletable': [aBoolean],
  'features.default-retention-period': [period],
  'features.retention-mode': [retentionMode],
  'features.auto-commit-period': [period],
  'features.trash-dir': [trashDirectory],
  'locks.mandatory-locking': [mandatoryLocking],
  'features.ctime': [aBoolean],
  'ctime.noatime': [aBoolean],
  'features.enforce-mandatory-lock': [aBoolean],
  'config.transport': [transportType],
  'storage.linux-aio': [onlyWhileStopped],
  'storage.linux-io_uring': [onlyWhileStopped],
};

/** Keys that other commands set, with the sentence that says so. */
export function otherCommand(typed: string, value: string): string | undefined {
  const name = typed.replace(/^features\./, '');
  const invalid = (use: string) => ` 'gluster volume set <VOLNAME> ${typed}' is invalid command. Use ${use} instead.`;
  switch (name) {
    case 'bitrot':
      return invalid("'gluster volume bitrot <VOLNAME> {enable|disable}'");
    case 'scrub-freq':
      return invalid("'gluster volume bitrot <VOLNAME> scrub-frequency {hourly|daily|weekly|biweekly|monthly}'");
    case 'scrub':
      return invalid("'gluster volume bitrot <VOLNAME> scrub {pause|resume}'");
    case 'scrub-throttle':
      return invalid("'gluster volume bitrot <VOLNAME> scrub-throttle  {lazy|normal|aggressive}'");
    case 'quota':
    case 'inode-quota': {
      const command = parseBool(value) === true ? `${name} <VOLNAME> enable` : 'quota <VOLNAME> disable';
      return ` 'gluster volume set <VOLNAME> ${typed} ${value}' is deprecated. Use 'gluster volume ${command}' instead.`;
    }
    default:
      return undefined;
  }
}
