/** `rscltcfg`: which interfaces a client uses, who it is in which namespaces, and where their servers are (docs/block.md). */
import { type AttachWord, attachWords } from '../attach/back-end.ts';
import type { ClientTls } from '../rsio/tls/client.ts';
import { checkKinds, given, readEntries, type Values } from './schema.ts';
import { Problems, parseSections, type Section } from './sections.ts';
import * as v from './values.ts';

const port = v.whole(1, 65535);
const protocol = v.oneOf('tcp');
const tlsTable = {
  tls: v.oneOf('off', 'allowed', 'required'),
  'tls-certificate': v.path,
  'tls-key': v.path,
  'tls-authority': v.path,
  'tls-keys': v.path,
};
const defaultsTable = {
  ...tlsTable,
  protocol,
  port,
  discovery: v.oneOf('off', 'unicast', 'broadcast'),
  attach: v.oneOf(...attachWords),
  directory: v.path,
  'keep-time': v.whole(1, 86_400),
};
const interfaceTable = { address: v.host, protocol, port };
const namespaceTable = {
  namespaceid: v.whole(0, 65535),
  nodename: v.name,
  nodekey: v.text,
  protocol,
  port,
  checksum: v.yesNo,
  'on-loss': v.oneOf('queue', 'error'),
  'loss-time': v.whole(1, 86_400),
  'take-over-time': v.whole(1, 3600),
  'answer-time': v.whole(1, 86_400),
  directory: v.path,
  ...tlsTable,
};
const serverTable = { address: v.host, protocol, port };

export interface ServerPlace {
  /** Of the section: one for each interface of a server. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface ClientNamespace {
  readonly name: string;
  readonly nodeName: string;
  readonly nodeKey: string;
  readonly checked: boolean;
  /** How long requests wait for a server; 0: not at all. */
  readonly lossMs: number;
  readonly takeOverMs: number;
  /** How long a server that is there may take for a request. */
  readonly answerMs: number;
  /** Where its devices are found on this machine. */
  readonly directory: string;
  readonly servers: readonly ServerPlace[];
  /** Null: in the clear. */
  readonly tls: ClientTls | null;
}

export interface ClientConfig {
  /** By which means attached volumes become devices of this machine. */
  readonly attach: AttachWord;
  /** How long devices in use wait for the next run of the daemon. */
  readonly keepSeconds: number;
  readonly interfaces: readonly { readonly name: string; readonly address: string }[];
  readonly namespaces: readonly ClientNamespace[];
  /** Whether servers are asked by UDP, too, and whether all of the interfaces' networks are. */
  readonly discovery: 'off' | 'unicast' | 'broadcast';
  /** Where servers listen that say nothing else. */
  readonly port: number;
}

const defaultPort = 5000;
const defaultLossSeconds = 30;
const defaultTakeOverSeconds = 2;
const defaultAnswerSeconds = 120;
const defaultDirectory = '/dev/av0';
const defaultKeepSeconds = 120;
const interfacesMax = 8;
const serversMax = 256 * interfacesMax;

/** Throws ConfigError with all that is wrong. A `[server]` belongs to the `[namespace]` before it. */
export function parseClientConfig(text: string, file: string): ClientConfig {
  const problems = new Problems(file);
  const sections = parseSections(text, problems);
  const plain = sections.filter(({ kind }) => kind !== 'server');
  checkKinds(plain, { defaults: 'plain', interface: 'named', namespace: 'named' }, problems);
  const defaultsSection = sections.find(({ kind }) => kind === 'defaults');
  const defaults: Values<typeof defaultsTable> = defaultsSection
    ? readEntries(defaultsSection, defaultsTable, problems)
    : {};
  const usualPort = defaults.port ?? defaultPort;
  const interfaces: { name: string; address: string }[] = [];
  const namespaces: (ClientNamespace & { servers: ServerPlace[]; port: number })[] = [];
  for (const section of sections) {
    if (section.kind === 'interface') {
      const { address } = readEntries(section, interfaceTable, problems);
      if (address === undefined) problems.add(section.line, `[interface ${section.name}] has no address`);
      else interfaces.push({ name: section.name, address });
      if (interfaces.length > interfacesMax)
        problems.add(section.line, `a machine has at most ${interfacesMax} interfaces`);
    } else if (section.kind === 'namespace') namespaces.push(namespaceOf(section, usualPort, defaults, problems));
    else if (section.kind === 'server') addServer(section, namespaces.at(-1), problems);
  }
  if (namespaces.length === 0) problems.add(1, '[namespace NAME] is missing');
  problems.check();
  const { attach = 'auto', 'keep-time': keepSeconds = defaultKeepSeconds, discovery = 'off' } = defaults;
  return { attach, keepSeconds, interfaces, namespaces, discovery, port: usualPort };
}

function namespaceOf(section: Section, usualPort: number, defaults: Values<typeof defaultsTable>, problems: Problems) {
  const values = readEntries(section, namespaceTable, problems);
  if (values.nodename === undefined) problems.add(section.line, `[namespace ${section.name}] has no nodename`);
  return {
    name: section.name,
    nodeName: values.nodename ?? '',
    nodeKey: values.nodekey ?? '',
    checked: values.checksum ?? false,
    lossMs: values['on-loss'] === 'error' ? 0 : (values['loss-time'] ?? defaultLossSeconds) * 1000,
    answerMs: (values['answer-time'] ?? defaultAnswerSeconds) * 1000,
    takeOverMs: (values['take-over-time'] ?? defaultTakeOverSeconds) * 1000,
    servers: [] as ServerPlace[],
    directory: values.directory ?? defaults.directory ?? defaultDirectory,
    port: values.port ?? usualPort,
    tls: tlsOf({ ...defaults, ...values }, values.nodename ?? '', section, problems),
  };
}

function tlsOf(
  values: Values<typeof tlsTable>,
  client: string,
  { line }: Section,
  problems: Problems,
): ClientTls | null {
  const { tls: mode = 'off' } = values;
  if (mode === 'off') return null;
  const [certificate, key, authority, keys] = [
    values['tls-certificate'],
    values['tls-key'],
    values['tls-authority'],
    values['tls-keys'],
  ];
  if (authority === undefined && keys === undefined)
    problems.add(
      line,
      `tls = ${mode}: tls-authority, or tls-keys, is expected with it: else any server would be believed`,
    );
  if ((certificate === undefined) !== (key === undefined))
    problems.add(line, `tls = ${mode}: tls-certificate and tls-key go together`);
  return { mode, files: given({ certificate, key, authority, keys }), client };
}

function addServer(
  section: Section,
  namespace: { servers: ServerPlace[]; port: number } | undefined,
  problems: Problems,
): void {
  const values = readEntries(section, serverTable, problems);
  if (!namespace) problems.add(section.line, `[server ${section.name}] stands before the first [namespace NAME]`);
  if (section.name === '') problems.add(section.line, '[server NAME] is expected: its name is missing');
  if (values.address === undefined) problems.add(section.line, `[server ${section.name}] has no address`);
  if (!namespace || values.address === undefined) return;
  if (namespace.servers.some(({ name }) => name === section.name))
    problems.add(section.line, `[server ${section.name}] stands already in this namespace`);
  if (namespace.servers.length >= serversMax) problems.add(section.line, `at most ${serversMax} servers are expected`);
  namespace.servers.push({ name: section.name, address: values.address, port: values.port ?? namespace.port });
}
