/** `volume set all`: options of the whole pool of nodes. */
import { parseBool } from '@mortar/core';
import { checkValue, parseInteger } from './values.ts';

export interface ClusterState {
  /** The pool's op-version and the highest that all its nodes could have. */
  readonly opVersion: number;
  readonly maxOpVersion: number;
  /** Options set for the pool. */
  readonly options?: Readonly<Record<string, string>>;
}

type Check = (value: string, key: string, cluster: ClusterState) => string | undefined;

const aBoolean: Check = (value, key) =>
  parseBool(value) === undefined
    ? `${value} is not a valid boolean value. ${key} expects a valid boolean value.`
    : undefined;

const enableOrDisable: Check = (value) =>
  value === 'enable' || value === 'disable'
    ? undefined
    : `Invalid option(${value}). Valid options are 'enable' and 'disable'`;

const needsMultiplex: Check = (_value, _key, { options = {} }) =>
  parseBool(options['cluster.brick-multiplex'] ?? 'off') === true
    ? undefined
    : 'Brick-multiplexing is not enabled. Please enable brick multiplexing before trying to set this option.';

const opVersion: Check = (value, key, { opVersion: current, maxOpVersion }) => {
  const wanted = /^\d+$/.test(value) ? Number(value) : undefined;
  if (wanted === undefined) return `invalid number format "${value}" in option "${key}"`;
  if (wanted > maxOpVersion || wanted < 1)
    return `Required op_version (${wanted}) is not supported. Max supported op version is ${current}`;
  return wanted > current
    ? undefined
    : `Required op-version (${wanted}) should not be equal or lower than current cluster op-version (${current}).`;
};

const unsigned: Check = (value, key) => {
  const count = parseInteger(value);
  return count === undefined || count < 0
    ? `${value} is not a valid count. ${key} expects an unsigned integer.`
    : undefined;
};

const checks: Readonly<Record<string, readonly Check[]>> = {
  'cluster.server-quorum-ratio': [
    (value, key) =>
      checkValue(
        { key, xlator: '', option: 'server-quorum-ratio', type: 'PERCENT', doc: 'DOC', flags: [], opVersion: 2 },
        value,
      ),
  ],
  'cluster.op-version': [opVersion],
  'cluster.max-op-version': [() => 'Option cluster.max-op-version cannot be set'],
  'cluster.enable-shared-storage': [enableOrDisable],
  'cluster.localtime-logging': [aBoolean, enableOrDisable],
  'cluster.brick-multiplex': [aBoolean],
  'cluster.brick-graceful-cleanup': [aBoolean],
  'cluster.daemon-log-level': [
    (value) =>
      ['INFO', 'WARNING', 'ERROR', 'DEBUG', 'TRACE'].includes(value)
        ? undefined
        : `Invalid option(${value}). Valid options are 'INFO' or 'WARNING' or 'ERROR' or 'DEBUG' or  'TRACE'`,
  ],
  'cluster.max-bricks-per-process': [
    needsMultiplex,
    unsigned,
    (value) =>
      parseInteger(value) === 1
        ? 'Brick-multiplexing is enabled. Please set this option to a value other than 1 to make use of the brick-multiplexing feature.'
        : undefined,
  ],
  'glusterd.vol_count_per_thread': [
    needsMultiplex,
    unsigned,
    (value) => {
      const count = parseInteger(value) ?? 0;
      return count < 5 || count > 200
        ? 'Please set this option to a value between 5 and 200 tooptimize processing large numbers of volumes in parallel.'
        : undefined;
    },
  ],
};

/** What is wrong with a value for an option of the whole pool, or undefined. */
export function checkClusterValue(key: string, value: string, cluster: ClusterState): string | undefined {
  for (const check of checks[key] ?? []) {
    const error = check(value, key, cluster);
    if (error !== undefined) return error;
  }
  return undefined;
}
