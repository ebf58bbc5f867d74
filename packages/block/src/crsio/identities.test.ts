import { expect, it } from 'vitest';
import { ClientDocument } from '../config/client-document.ts';
import { identitiesOf } from './identities.ts';

const of = (text: string) =>
  identitiesOf(new ClientDocument(text), 'here').map(({ namespace, client, tls }) => [
    namespace,
    client,
    tls?.mode,
    tls?.files.authority,
    tls?.client,
  ]);

it('are those of the namespaces, and the one of the defaults for what is not known yet', () => {
  const text =
    '[defaults]\ntls = required\ntls-authority = /ca\n[namespace osl]\nnodename = big-2\ntls-authority = /own\n' +
    '[server a]\naddress = 10.0.0.1\n[namespace two]\nnodename = venus\ntls = off\n';
  expect(of(text)).toEqual([
    ['osl', 'big-2', 'required', '/own', 'big-2'],
    ['', 'here', 'required', '/ca', 'here'],
  ]);
});

it('are none without TLS, and none that would believe any server', () => {
  expect(of('')).toEqual([]);
  expect(of('[namespace osl]\nnodename = big-2\ntls = required\n')).toEqual([]);
});
