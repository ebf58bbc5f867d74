/** As whom servers that speak TLS are looked for: as each namespace says, and, for those not known yet, as [defaults] does. */
import type { ClientDocument } from '../config/client-document.ts';
import type { TlsFiles } from '../nbd/tls.ts';
import type { Identity } from '../rsio/explorer/measure.ts';
import type { ClientTls } from '../rsio/tls/client.ts';

type Values = ReadonlyMap<string, string>;

/** The text may be half made yet: what is wrong is said when servers are looked for, or when it is saved. */
export function identitiesOf({ defaults, namespaces }: ClientDocument, hostName: string): Identity[] {
  const known = namespaces.map(({ name, values }) => ({ name, values: new Map([...defaults, ...values]) as Values }));
  return [...known, { name: '', values: defaults }].flatMap(({ name, values }) => {
    const client = values.get('nodename') ?? hostName;
    const tls = tlsOf(values, client);
    return tls ? [{ namespace: name, client, key: '', tls }] : [];
  });
}

function tlsOf(values: Values, client: string): ClientTls | null {
  const mode = values.get('tls');
  if (mode !== 'allowed' && mode !== 'required') return null;
  const files: TlsFiles = Object.fromEntries(
    ['certificate', 'key', 'authority', 'keys'].flatMap((name) => {
      const path = values.get(`tls-${name}`);
      return path ? [[name, path]] : [];
    }),
  );
  // Without either any server would be believed.
  return files.authority === undefined && files.keys === undefined ? null : { mode, files, client };
}
