/** `rssrvcfg`: what a server serves, to whom, and where (docs/block.md). */
import type { TlsFiles } from '../nbd/tls.ts';
import { type DeviceConfig, devicesOf, type PoolConfig, poolOf } from './device-config.ts';
import { checkedName, checkKinds, given, readEntries, type Values } from './schema.ts';
import { Problems, parseSections, type Section } from './sections.ts';
import * as v from './values.ts';

const namespaceTable = {
  namespaceid: v.whole(0, 65535),
  protocol: v.oneOf('tcp'),
  port: v.whole(1, 65535),
};
const tlsTable = {
  tls: v.oneOf('off', 'allowed', 'required'),
  'tls-certificate': v.path,
  'tls-key': v.path,
  'tls-authority': v.path,
  'tls-keys': v.path,
};
const serverTable = { serverid: v.whole(0, 255), administrators: v.names, ...tlsTable };
const interfaceTable = {
  address: v.host,
  port: v.whole(0, 65535),
  protocol: v.oneOf('tcp'),
  discovery: v.oneOf('off', 'unicast', 'broadcast'),
  tls: v.oneOf('off', 'allowed', 'required'),
};
const nbdTable = {
  listen: v.yesNo,
  address: v.host,
  port: v.whole(0, 65535),
  socket: v.path,
  connections: v.whole(1, 100_000),
  ...tlsTable,
};
export interface InterfaceConfig {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Whether who asks by UDP is answered, and whether questions to the whole network are heard. */
  readonly discovery: 'off' | 'unicast' | 'broadcast';
  readonly tls: TlsMode;
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

export interface ServerConfig {
  readonly namespace: { readonly name: string; readonly id: number };
  readonly server: { readonly name: string; readonly id: number };
  readonly interfaces: readonly InterfaceConfig[];
  /** Key by name. */
  readonly clients: ReadonlyMap<string, string>;
  /** Of interfaces that speak TLS. */
  readonly tlsFiles: TlsFiles;
  readonly nbd: NbdConfig;
  readonly devices: readonly DeviceConfig[];
  readonly pools: readonly PoolConfig[];
  /** Clients that may make, remove, rename, limit and pause devices. */
  readonly administrators: readonly string[];
}

export type TlsMode = 'off' | 'allowed' | 'required';

const defaultPort = 5000;
/** IANA's number of NBD. */
const defaultNbdPort = 10809;
const interfacesMax = 8;

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
    pool: 'named',
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
  const own = server ? readEntries(server, serverTable, problems) : {};
  const config: ServerConfig = {
    namespace: { name: checkedName(namespace, problems), id: space.namespaceid ?? 0 },
    server: { name: checkedName(server, problems), id: own.serverid ?? 0 },
    interfaces: interfacesOf(of('interface'), { port: space.port ?? defaultPort, tls: own.tls ?? 'off' }, problems),
    tlsFiles: filesOf(own),
    clients: clientsOf(of('clients'), problems),
    nbd: nbdOf(of('nbd')[0], problems),
    devices: devicesOf(of('device'), problems),
    pools: of('pool').map((section) => poolOf(section, problems)),
    administrators: own.administrators ?? [],
  };
  const secure = config.interfaces.find(({ tls }) => tls !== 'off');
  if (server && secure) checkFiles(config.tlsFiles, `tls = ${secure.tls}`, server, problems);
  for (const [name, key] of config.clients)
    if (key === '-' && (!secure || (!config.tlsFiles.authority && !config.tlsFiles.keys)))
      problems.add(
        of('clients')[0]!.line,
        `client '${name}' has no key: tls and tls-authority (or tls-keys) in [server] would prove who it is`,
      );
  for (const name of config.administrators)
    if (!config.clients.has(name))
      problems.add(server!.line, `administrator '${name}' has no key in [clients]: nobody could prove to be that one`);
  problems.check();
  return config;
}

function interfacesOf(
  sections: readonly Section[],
  usual: { port: number; tls: TlsMode },
  problems: Problems,
): InterfaceConfig[] {
  const [, ...tooMany] = sections.slice(interfacesMax - 1);
  for (const { line } of tooMany) problems.add(line, `a machine has at most ${interfacesMax} interfaces`);
  return sections.map((section) => {
    const values = readEntries(section, interfaceTable, problems);
    if (values.address === undefined) problems.add(section.line, `[interface ${section.name}] has no address`);
    const { address = '', discovery = 'off', port = usual.port, tls = usual.tls } = values;
    return { name: section.name, address, port, discovery, tls };
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
  if (section && tls !== 'off') checkFiles(filesOf(values), `tls = ${tls}`, section, problems);
  return {
    listen: values.listen ?? true,
    address: values.address ?? '127.0.0.1',
    port: values.port ?? defaultNbdPort,
    socket: values.socket,
    connectionsMax: values.connections ?? 1024,
    tls,
    tlsFiles: filesOf(values),
  };
}

function filesOf(values: Values<typeof tlsTable>): TlsFiles {
  return given({
    certificate: values['tls-certificate'],
    key: values['tls-key'],
    authority: values['tls-authority'],
    keys: values['tls-keys'],
  });
}

function checkFiles({ certificate, key, keys }: TlsFiles, what: string, { line }: Section, problems: Problems): void {
  if (keys === undefined && (certificate === undefined || key === undefined))
    problems.add(line, `${what}: tls-certificate and tls-key, or tls-keys are expected with it`);
}
