/** TLS as data: which files and limits a connection goes by (docs/tls.md). The work is in transports/tls.ts. */

export interface TlsSettings {
  /** PEM files. */
  readonly ownCertificate: string;
  readonly privateKey: string;
  /** Certificates of those who may sign; every one of them is trusted. */
  readonly authorities: string;
  /** Lists of revoked certificates: a PEM file, or a directory of them under OpenSSL's hashed names (`HASH.rN`). */
  readonly revoked?: string;
  readonly ciphers?: string;
  /** Certificates between one's own and the authority's, at most. */
  readonly depth: number;
}

const prefix = 'transport.socket.ssl-';
const defaultDepth = 1;
const mostDepth = 16;

/** GlusterFS's options of a volfile: undefined without `transport.socket.ssl-enabled`. */
export function tlsOfOptions(texts: ReadonlyMap<string, string>): TlsSettings | undefined {
  return isOn(texts.get(`${prefix}enabled`)) ? tlsSettings(texts) : undefined;
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && /^(on|yes|true|enable|1)$/i.test(text);
}

function tlsSettings(texts: ReadonlyMap<string, string>): TlsSettings {
  const of = (name: string) => texts.get(prefix + name);
  const revoked = of('crl-path');
  const ciphers = of('cipher-list');
  const depth = Number(of('cert-depth') ?? defaultDepth);
  return {
    ownCertificate: of('own-cert') ?? '/etc/ssl/glusterfs.pem',
    privateKey: of('private-key') ?? '/etc/ssl/glusterfs.key',
    authorities: of('ca-list') ?? '/etc/ssl/glusterfs.ca',
    // GlusterFS's word for none.
    ...(revoked !== undefined && revoked !== 'NULL' && { revoked }),
    ...(ciphers !== undefined && { ciphers }),
    depth: Number.isInteger(depth) && depth >= 0 ? Math.min(depth, mostDepth) : defaultDepth,
  };
}

/** The text of `secure-access`: empty, or lines `option transport.socket.ssl-... VALUE`. Anything else is an error. */
export function tlsOfSecureAccess(text: string): TlsSettings {
  const texts = new Map<string, string>();
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = /^option\s+(transport\.socket\.ssl-[a-z-]+)\s+(\S+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`secure-access: '${line}' is no line of the form 'option transport.socket.ssl-NAME VALUE'`);
    texts.set(name, value);
  }
  return tlsSettings(texts);
}

/** Names of a list as `auth.ssl-allow` has it; `*` is anybody with a certificate of a trusted authority. */
export function isTlsNameAllowed(list: string, name: string | undefined): boolean {
  const names = list.split(',').map((one) => one.trim());
  return names.includes('*') || (name !== undefined && names.includes(name));
}
