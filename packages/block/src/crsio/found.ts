/** What a search for servers has found that the configuration does not have. */
import { type ClientDocument, freeName } from '../config/client-document.ts';
import type { Explored } from '../rsio/explorer/explorer.ts';

export interface Place {
  readonly address: string;
  readonly port: number | null;
}

export interface FoundNamespace {
  readonly name: string;
  readonly id: number;
  readonly servers: readonly string[];
}

/** An address of a server. */
export interface FoundPlace {
  readonly server: string;
  readonly address: string;
  readonly port: string;
}

export const defaultPort = '5000';

/** Where the servers of the configuration are. */
export function knownPlaces({ defaults, namespaces }: ClientDocument): Place[] {
  const usual = defaults.get('port');
  return namespaces.flatMap(({ values: space, servers }) =>
    servers.flatMap(({ values }) => {
      const address = values.get('address');
      const number = Number(values.get('port') ?? space.get('port') ?? usual ?? Number.NaN);
      return address === undefined ? [] : [{ address, port: Number.isInteger(number) ? number : null }];
    }),
  );
}

export function newNamespaces(document: ClientDocument, { servers }: Explored): FoundNamespace[] {
  const known = new Set(document.namespaces.map(({ name }) => name));
  const found = new Map<string, { name: string; id: number; servers: string[] }>();
  for (const { namespace: name, namespaceId: id, server } of servers) {
    if (known.has(name)) continue;
    const one = found.get(name) ?? { name, id, servers: [] };
    one.servers.push(server);
    found.set(name, one);
  }
  return [...found.values()];
}

export function newPlaces(document: ClientDocument, namespace: string, { servers }: Explored): FoundPlace[] {
  const usual = usualPort(document, namespace);
  const have = new Set(
    serversOf(document, namespace).map(({ values }) =>
      nameOf({ address: values.get('address') ?? '', port: values.get('port') ?? usual }),
    ),
  );
  return servers
    .filter((one) => one.namespace === namespace)
    .flatMap(({ server, addresses }) => addresses.map(({ address, port }) => ({ server, address, port: String(port) })))
    .filter((one) => !have.has(nameOf(one)));
}

export function nameOf({ address, port }: { address: string; port: string }): string {
  return `${address}/${port}`;
}

/** Each as a server of its own. */
export function addPlaces(document: ClientDocument, namespace: string, places: readonly FoundPlace[]): void {
  const usual = usualPort(document, namespace);
  for (const { server, address, port } of places) {
    const taken = serversOf(document, namespace).map(({ name }) => name);
    const own = port === usual ? {} : { port };
    document.addServer(namespace, freeName(`${server}-`, 1, taken), { address, ...own });
  }
}

/** For a person, when there is nothing new of this kind. */
export function nothingNew(what: string, { servers, problems }: Explored): string {
  const why = problems.length > 0 ? `: ${problems.slice(0, 3).join('; ')}` : '';
  return servers.length > 0 ? `no other ${what} than those here was found${why}` : `no ${what} was found${why}`;
}

function usualPort({ defaults, namespaces }: ClientDocument, namespace: string): string {
  const { values } = namespaces.find(({ name }) => name === namespace)!;
  return values.get('port') ?? defaults.get('port') ?? defaultPort;
}

function serversOf({ namespaces }: ClientDocument, namespace: string) {
  return namespaces.find(({ name }) => name === namespace)!.servers;
}
