/** What is asked of an entry of the configuration, in a form, and how the answers become the entry. */
import { type ClientDocument, freeName } from '../config/client-document.ts';
import * as v from '../config/values.ts';
import type { Field } from './form.ts';
import { defaultPort } from './found.ts';
import type { Row } from './rows.ts';

export interface Entry {
  readonly title: string;
  readonly fields: readonly Field[];
  /** Changes the document by what was answered; otherwise says why not. */
  put(values: Record<string, string>): string | null;
  /** Whether a row is the entry, as it is called in the answers. */
  isRow(row: Row, values: Record<string, string>): boolean;
}

const port = v.whole(1, 65535);

/** `name` null: a new one, of this address. */
export function interfaceEntry(document: ClientDocument, name: string | null, address = ''): Entry {
  const { interfaces } = document;
  const own = interfaces.find((one) => one.name === name);
  const names = interfaces.map((one) => one.name);
  return {
    title: name === null ? 'Add Interface' : `Interface ${name}`,
    fields: [
      { key: 'name', label: 'Name', value: name ?? freeName('if', 0, names), read: v.name, required: true },
      { key: 'address', label: 'Address', value: own?.values.get('address') ?? address, read: v.host, required: true },
    ],
    put: ({ name: to = '', ...values }) => {
      if (to !== name && names.includes(to)) return `there is an interface ${to} already`;
      if (name === null) document.addInterface(to, values);
      else document.changeInterface(name, to, values);
      return null;
    },
    isRow: (row, { name: to }) => row.kind === 'interface' && row.name === to,
  };
}

/** `name` null: a new one, as far as it was found. */
export function namespaceEntry(
  document: ClientDocument,
  name: string | null,
  hostName: string,
  found: { name?: string; id?: string } = {},
): Entry {
  const { namespaces } = document;
  const own = namespaces.find((one) => one.name === name);
  const value = (key: string, usual = '') => own?.values.get(key) ?? usual;
  return {
    title: name === null ? 'Add NEW Namespace' : `Namespace ${name}`,
    fields: [
      { key: 'name', label: 'Namespace', value: name ?? found.name ?? '', read: v.name, required: true },
      { key: 'namespaceid', label: 'Id', value: value('namespaceid', found.id), read: v.whole(0, 65535) },
      {
        key: 'nodename',
        label: 'Name of this client',
        value: value('nodename', own ? '' : hostName),
        read: v.name,
        required: true,
      },
      { key: 'nodekey', label: 'Key of this client', value: value('nodekey'), read: v.text },
      { key: 'port', label: `Port (${defaultPort})`, value: value('port'), read: port },
    ],
    put: ({ name: to = '', ...values }) => {
      if (to !== name && namespaces.some((one) => one.name === to)) return `there is a namespace ${to} already`;
      if (name === null) document.addNamespace(to, values);
      else document.changeNamespace(name, to, values);
      return null;
    },
    isRow: (row, { name: to }) => row.kind === 'namespace' && row.name === to,
  };
}

/** `name` null: a new one. */
export function serverEntry(document: ClientDocument, namespace: string, name: string | null): Entry {
  const { servers } = document.namespaces.find((one) => one.name === namespace)!;
  const own = servers.find((one) => one.name === name);
  return {
    title: name === null ? `Add Server to ${namespace}` : `Server ${name} of ${namespace}`,
    fields: [
      { key: 'name', label: 'Name', value: name ?? '', read: v.name, required: true },
      { key: 'address', label: 'Address', value: own?.values.get('address') ?? '', read: v.host, required: true },
      { key: 'port', label: 'Port', value: own?.values.get('port') ?? '', read: port },
    ],
    put: ({ name: to = '', ...values }) => {
      if (to !== name && servers.some((one) => one.name === to)) return `there is a server ${to} already`;
      if (name === null) document.addServer(namespace, to, values);
      else document.changeServer(namespace, name, to, values);
      return null;
    },
    isRow: (row, { name: to }) => row.kind === 'server' && row.namespace === namespace && row.name === to,
  };
}
