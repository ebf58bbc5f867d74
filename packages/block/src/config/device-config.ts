/** Sections of `rssrvcfg` that say what is served: devices, and pools where clients may make some (docs/block.md). */
import type { Server } from '@mortar/gfapi';
import type { Limits } from '../device/limits.ts';
import { defaultShardBytes, shardMaxBytes, shardMinBytes } from '../volume/description.ts';
import { checkedName, given, readEntries, type Values } from './schema.ts';
import type { Problems, Section } from './sections.ts';
import * as v from './values.ts';

const poolTable = {
  type: v.oneOf('file', 'volume'),
  path: v.path,
  volume: v.name,
  servers: v.servers,
  shard: v.size(shardMinBytes, shardMaxBytes),
  lease: v.whole(2, 3600),
  capacity: v.size(),
};
const deviceTable = {
  type: v.oneOf('memory', 'file', 'volume', 'concat', 'stripe'),
  path: v.path,
  size: v.size(),
  create: v.yesNo,
  readonly: v.yesNo,
  members: v.names,
  unit: v.size(512, 2 ** 30),
  volume: v.name,
  servers: v.servers,
  'volume-device': v.name,
  shard: v.size(shardMinBytes, shardMaxBytes),
  lease: v.whole(2, 3600),
  force: v.yesNo,
  description: v.text,
  clients: v.names,
  resize: v.yesNo,
  'bytes-per-second': v.size(),
  'operations-per-second': v.whole(1, 1e9),
  'burst-bytes': v.size(),
  'burst-operations': v.whole(1, 1e9),
  'client-bytes-per-second': v.size(),
  'client-operations-per-second': v.whole(1, 1e9),
};

/** How a device is made; what differs here makes it another device. */
export type DeviceSource =
  | { readonly type: 'memory'; readonly sizeBytes: number; readonly readOnly: boolean }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly readOnly: boolean;
      /** Make the file with this size if there is none. */
      readonly createBytes: number | undefined;
    }
  | {
      readonly type: 'volume';
      readonly volume: string;
      readonly servers: readonly Server[];
      /** Its name there. */
      readonly device: string;
      readonly readOnly: boolean;
      /** Make it with this size if there is none. */
      readonly createBytes: number | undefined;
      readonly shardBytes: number;
      readonly leaseMs: number;
      /** Take it from a holder that shows life. */
      readonly force: boolean;
    }
  | { readonly type: 'concat'; readonly members: readonly string[] }
  | { readonly type: 'stripe'; readonly members: readonly string[]; readonly unitBytes: number };

export interface DeviceConfig {
  readonly name: string;
  readonly source: DeviceSource;
  readonly description: string;
  /** Who may use it; undefined: everybody. */
  readonly clients: readonly string[] | undefined;
  readonly mayResize: boolean;
  readonly limits: Limits;
  /** Of each connection. */
  readonly clientLimits: Limits;
  /** A member of another device is not offered itself. */
  readonly isMember: boolean;
  /** Its requests wait. */
  readonly isPaused: boolean;
}

/** Where clients that may do so make devices. */
export interface PoolConfig {
  readonly name: string;
  readonly place:
    | { readonly type: 'file'; readonly path: string }
    | {
        readonly type: 'volume';
        readonly volume: string;
        readonly servers: readonly Server[];
        readonly shardBytes: number;
        readonly leaseMs: number;
      };
  /** Of all its devices together. */
  readonly capacityBytes: number | undefined;
}

const defaultUnitBytes = 64 * 1024;
const defaultLeaseSeconds = 20;

export function devicesOf(sections: readonly Section[], problems: Problems): DeviceConfig[] {
  const devices = sections.map((section) => {
    checkedName(section, problems);
    const values = readEntries(section, deviceTable, problems);
    return { section, device: deviceOf(section, values, problems) };
  });
  const memberOf = new Map<string, string>();
  const names = new Set(devices.map(({ section }) => section.name));
  for (const { section, device } of devices) {
    if (!('members' in device.source)) continue;
    for (const member of device.source.members) {
      const other = memberOf.get(member);
      if (!names.has(member)) problems.add(section.line, `[device ${section.name}]: there is no device '${member}'`);
      else if (other !== undefined) problems.add(section.line, `device '${member}' is already a member of '${other}'`);
      memberOf.set(member, section.name);
    }
  }
  for (const { section } of devices)
    if (isOwnMember(section.name, memberOf))
      problems.add(section.line, `[device ${section.name}] would be a member of itself`);
  return devices.map(({ device }) => ({ ...device, isMember: memberOf.has(device.name) }));
}

function isOwnMember(name: string, memberOf: ReadonlyMap<string, string>): boolean {
  const seen = new Set<string>();
  for (let up = memberOf.get(name); up !== undefined && !seen.has(up); up = memberOf.get(up)) {
    if (up === name) return true;
    seen.add(up);
  }
  return false;
}

function deviceOf(section: Section, values: Values<typeof deviceTable>, problems: Problems): DeviceConfig {
  return {
    name: section.name,
    source: sourceOf(section, values, problems),
    description: values.description ?? '',
    clients: values.clients,
    mayResize: values.resize ?? false,
    limits: given<Limits>({
      bytesPerSecond: values['bytes-per-second'],
      operationsPerSecond: values['operations-per-second'],
      burstBytes: values['burst-bytes'],
      burstOperations: values['burst-operations'],
    }),
    clientLimits: given<Limits>({
      bytesPerSecond: values['client-bytes-per-second'],
      operationsPerSecond: values['client-operations-per-second'],
    }),
    isMember: false,
    isPaused: false,
  };
}

/** Which keys go with which type, beside those of all. */
const keysOf = {
  memory: ['size', 'readonly'],
  file: ['path', 'size', 'create', 'readonly'],
  volume: ['volume', 'servers', 'volume-device', 'size', 'create', 'shard', 'lease', 'force', 'readonly'],
  concat: ['members'],
  stripe: ['members', 'unit'],
} as const;
const ownKeys = new Set(Object.values(keysOf).flat() as string[]);

const poolKeysOf = {
  file: ['type', 'path', 'capacity'],
  volume: ['type', 'volume', 'servers', 'shard', 'lease', 'capacity'],
} as const;

export function poolOf(section: Section, problems: Problems): PoolConfig {
  const name = checkedName(section, problems);
  const values = readEntries(section, poolTable, problems);
  const what = `[pool ${name}]`;
  const type = values.type ?? (values.volume === undefined ? 'file' : 'volume');
  for (const { key, line } of section.entries)
    if (Object.hasOwn(poolTable, key) && !(poolKeysOf[type] as readonly string[]).includes(key))
      problems.add(line, `'${key}' does not go with type = ${type}`);
  const wanted = type === 'file' ? 'path' : 'volume';
  if (values[wanted] === undefined && !section.entries.some(({ key }) => key === wanted))
    problems.add(section.line, `${what} needs '${wanted}'`);
  const capacityBytes = values.capacity;
  if (type === 'file') return { name, place: { type, path: values.path ?? '' }, capacityBytes };
  return { name, place: { type, ...onVolume(values, what, section, problems) }, capacityBytes };
}

/** What devices and pools on a volume have in common. */
function onVolume(
  values: Pick<Values<typeof deviceTable>, 'volume' | 'servers' | 'shard' | 'lease'>,
  what: string,
  section: Section,
  problems: Problems,
) {
  const shardBytes = values.shard ?? defaultShardBytes;
  if (!Number.isInteger(Math.log2(shardBytes))) problems.add(section.line, `${what}: 'shard' is a power of 2`);
  return {
    volume: values.volume ?? '',
    servers: values.servers ?? [{ host: 'localhost' }],
    shardBytes,
    leaseMs: (values.lease ?? defaultLeaseSeconds) * 1000,
  };
}

function sourceOf(section: Section, values: Values<typeof deviceTable>, problems: Problems): DeviceSource {
  const what = `[device ${section.name}]`;
  const type = values.type ?? (values.path === undefined ? 'memory' : 'file');
  if (values.type === undefined && values.path === undefined && !section.entries.some(({ key }) => key === 'type'))
    problems.add(section.line, `${what} needs a type: memory, file, volume, concat or stripe`);
  for (const { key, line } of section.entries)
    if (ownKeys.has(key) && !(keysOf[type] as readonly string[]).includes(key))
      problems.add(line, `'${key}' does not go with type = ${type}`);
  const readOnly = values.readonly ?? false;
  const need = (key: 'path' | 'size' | 'members' | 'volume') => {
    if (values[key] === undefined && !section.entries.some((entry) => entry.key === key))
      problems.add(section.line, `${what} needs '${key}'`);
  };
  if (type === 'memory') {
    need('size');
    return { type, sizeBytes: values.size ?? 0, readOnly };
  }
  if (type === 'file') {
    need('path');
    if (values.create) need('size');
    return { type, path: values.path ?? '', readOnly, createBytes: values.create ? values.size : undefined };
  }
  if (type === 'volume') {
    need('volume');
    if (values.create) need('size');
    return {
      type,
      ...onVolume(values, what, section, problems),
      device: values['volume-device'] ?? section.name,
      readOnly,
      createBytes: values.create ? values.size : undefined,
      force: values.force ?? false,
    };
  }
  need('members');
  const members = values.members ?? [];
  return type === 'concat' ? { type, members } : { type, members, unitBytes: values.unit ?? defaultUnitBytes };
}
