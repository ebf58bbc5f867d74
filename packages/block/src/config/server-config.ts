/** `rssrvcfg`: what a server serves, to whom, and where (docs/block.md). */
import type { Server } from '@mortar/gfapi';
import type { Limits } from '../device/limits.ts';
import type { TlsFiles } from '../nbd/tls.ts';
import { defaultShardBytes, shardMaxBytes, shardMinBytes } from '../volume/description.ts';
import { checkKinds, readEntries, type Values } from './schema.ts';
import { Problems, parseSections, type Section } from './sections.ts';
import * as v from './values.ts';

const namespaceTable = {
  namespaceid: v.whole(0, 65535),
  protocol: v.oneOf('tcp'),
  port: v.whole(1, 65535),
};
const serverTable = { serverid: v.whole(0, 255) };
const interfaceTable = { address: v.host, port: v.whole(0, 65535), protocol: v.oneOf('tcp') };
const nbdTable = {
  listen: v.yesNo,
  address: v.host,
  port: v.whole(0, 65535),
  socket: v.path,
  connections: v.whole(1, 100_000),
  tls: v.oneOf('off', 'allowed', 'required'),
  'tls-certificate': v.path,
  'tls-key': v.path,
  'tls-authority': v.path,
  'tls-keys': v.path,
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

export interface InterfaceConfig {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface NbdConfig {
  readonly listen: boolean;
  readonly address: string;
  readonly port: number;
  readonly socket: string | undefined;
  readonly connectionsMax: number;
  readonly tls: 'off' | 'allowed' | 'required';
  readonly tlsFiles: TlsFiles;
}

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
}

export interface ServerConfig {
  readonly namespace: { readonly name: string; readonly id: number };
  readonly server: { readonly name: string; readonly id: number };
  readonly interfaces: readonly InterfaceConfig[];
  /** Key by name. */
  readonly clients: ReadonlyMap<string, string>;
  readonly nbd: NbdConfig;
  readonly devices: readonly DeviceConfig[];
}

const defaultPort = 5000;
/** IANA's number of NBD. */
const defaultNbdPort = 10809;
const interfacesMax = 8;
const defaultUnitBytes = 64 * 1024;
const defaultLeaseSeconds = 20;

/** Throws ConfigError with all that is wrong. */
export function parseServerConfig(text: string, file: string): ServerConfig {
  const problems = new Problems(file);
  const sections = parseSections(text, problems);
  const kinds = {
    namespace: 'named',
    server: 'named',
    interface: 'named',
    clients: 'plain',
    nbd: 'plain',
    device: 'named',
  } as const;
  checkKinds(sections, kinds, problems);
  const of = (kind: keyof typeof kinds) => sections.filter((section) => section.kind === kind);
  const [namespace, ...more] = of('namespace');
  for (const { line } of more) problems.add(line, 'a server has one [namespace]');
  const [server, ...others] = of('server');
  for (const { line } of others) problems.add(line, 'there is one [server]: this one');
  if (!namespace) problems.add(1, '[namespace NAME] is missing');
  if (!server) problems.add(1, '[server NAME] is missing');
  const space = namespace ? readEntries(namespace, namespaceTable, problems) : {};
  const config: ServerConfig = {
    namespace: { name: checkedName(namespace, problems), id: space.namespaceid ?? 0 },
    server: {
      name: checkedName(server, problems),
      id: (server ? readEntries(server, serverTable, problems) : {}).serverid ?? 0,
    },
    interfaces: interfacesOf(of('interface'), space.port ?? defaultPort, problems),
    clients: clientsOf(of('clients'), problems),
    nbd: nbdOf(of('nbd')[0], problems),
    devices: devicesOf(of('device'), problems),
  };
  problems.check();
  return config;
}

function checkedName(section: Section | undefined, problems: Problems): string {
  if (!section || section.name === '') return '';
  const result = v.name(section.name);
  if ('expected' in result) problems.add(section.line, `'${section.name}': ${result.expected} is expected`);
  return section.name;
}

function interfacesOf(sections: readonly Section[], port: number, problems: Problems): InterfaceConfig[] {
  const [, ...tooMany] = sections.slice(interfacesMax - 1);
  for (const { line } of tooMany) problems.add(line, `a machine has at most ${interfacesMax} interfaces`);
  return sections.map((section) => {
    const values = readEntries(section, interfaceTable, problems);
    if (values.address === undefined) problems.add(section.line, `[interface ${section.name}] has no address`);
    return { name: section.name, address: values.address ?? '', port: values.port ?? port };
  });
}

function clientsOf(sections: readonly Section[], problems: Problems): Map<string, string> {
  const clients = new Map<string, string>();
  for (const { key, value, line } of sections.flatMap(({ entries }) => entries)) {
    const result = v.name(key);
    if ('expected' in result) problems.add(line, `'${key}': ${result.expected} is expected`);
    else if (clients.has(key)) problems.add(line, `client '${key}' stands there twice`);
    else clients.set(key, value);
  }
  return clients;
}

function nbdOf(section: Section | undefined, problems: Problems): NbdConfig {
  const values: Values<typeof nbdTable> = section ? readEntries(section, nbdTable, problems) : {};
  const tls = values.tls ?? 'off';
  const hasKeys = values['tls-keys'] !== undefined;
  const hasCertificate = values['tls-certificate'] !== undefined && values['tls-key'] !== undefined;
  if (section && tls !== 'off' && !hasKeys && !hasCertificate)
    problems.add(section.line, `tls = ${tls}: tls-certificate and tls-key, or tls-keys are expected with it`);
  return {
    listen: values.listen ?? true,
    address: values.address ?? '127.0.0.1',
    port: values.port ?? defaultNbdPort,
    socket: values.socket,
    connectionsMax: values.connections ?? 1024,
    tls,
    tlsFiles: given({
      certificate: values['tls-certificate'],
      key: values['tls-key'],
      authority: values['tls-authority'],
      keys: values['tls-keys'],
    }),
  };
}

/** Without the keys that have no value. */
function given<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function devicesOf(sections: readonly Section[], problems: Problems): DeviceConfig[] {
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
    const shardBytes = values.shard ?? defaultShardBytes;
    if (!Number.isInteger(Math.log2(shardBytes))) problems.add(section.line, `${what}: 'shard' is a power of 2`);
    return {
      type,
      volume: values.volume ?? '',
      servers: values.servers ?? [{ host: 'localhost' }],
      device: values['volume-device'] ?? section.name,
      readOnly,
      createBytes: values.create ? values.size : undefined,
      shardBytes,
      leaseMs: (values.lease ?? defaultLeaseSeconds) * 1000,
      force: values.force ?? false,
    };
  }
  need('members');
  const members = values.members ?? [];
  return type === 'concat' ? { type, members } : { type, members, unitBytes: values.unit ?? defaultUnitBytes };
}
