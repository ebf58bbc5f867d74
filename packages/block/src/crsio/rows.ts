/** The lines of the main screen, from the document. Pure. */
import type { ClientDocument } from '../config/client-document.ts';

export type Row =
  | { readonly kind: 'title' | 'note'; readonly text: string }
  | { readonly kind: 'interface'; readonly name: string; readonly text: string }
  | { readonly kind: 'add-interface'; readonly text: string }
  | { readonly kind: 'namespace'; readonly name: string; readonly text: string }
  | { readonly kind: 'server'; readonly namespace: string; readonly name: string; readonly text: string }
  | { readonly kind: 'add-namespace'; readonly text: string };

export const isChoice = ({ kind }: Row): boolean => kind !== 'title' && kind !== 'note';

export function rowsOf(document: ClientDocument): readonly Row[] {
  const { interfaces, namespaces } = document;
  return [
    { kind: 'title', text: 'Interfaces' },
    ...interfaces.map(
      ({ name, values }): Row => ({
        kind: 'interface',
        name,
        text: `  ${name.padEnd(16)} ${values.get('address') ?? '(no address)'}`,
      }),
    ),
    { kind: 'add-interface', text: '  Add Interface' },
    { kind: 'note', text: '' },
    { kind: 'title', text: 'Namespaces' },
    ...namespaces.flatMap(({ name, values, servers }): Row[] => [
      {
        kind: 'namespace',
        name,
        text: `  ${name.padEnd(16)} id ${values.get('namespaceid') ?? '-'}, this client: ${values.get('nodename') ?? '(no name)'}`,
      },
      ...servers.map(
        (server): Row => ({
          kind: 'server',
          namespace: name,
          name: server.name,
          text: `    ${server.name.padEnd(16)} ${server.values.get('address') ?? '(no address)'}${portOf(server.values)}`,
        }),
      ),
    ]),
    { kind: 'add-namespace', text: '  Add NEW Namespace' },
  ];
}

const portOf = (values: ReadonlyMap<string, string>) => (values.has('port') ? `/${values.get('port')}` : '');
