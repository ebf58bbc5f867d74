/** TLS of servers, after NBD's STARTTLS and of RSIO: certificates, keys shared in advance, or both. */
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';

export interface TlsFiles {
  /** PEM. */
  readonly certificate?: string;
  readonly key?: string;
  /** Certificates of clients are signed by it, and wanted then. */
  readonly authority?: string;
  /** `NAME:HEX` a line, as GnuTLS's psktool writes it. */
  readonly keys?: string;
}

export interface TlsIdentity {
  readonly name: string | null;
}

export const tlsCiphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE+AESGCM',
  'ECDHE+CHACHA20',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
  '!aNULL',
].join(':');

/** Names and keys; throws with the line's number. */
export function parseKeys(text: string, file: string): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const match = /^([^:\s]+):((?:[0-9a-fA-F]{2}){16,})\s*$/.exec(line);
    if (!match) throw new Error(`${file}:${i + 1}: NAME:KEY is expected, with a key of 16 or more bytes in hex`);
    keys.set(match[1]!, Buffer.from(match[2]!, 'hex'));
  });
  return keys;
}

export class TlsServer {
  readonly #context: SecureContext;
  readonly #wantsCertificate: boolean;
  readonly #keys: ReadonlyMap<string, Buffer>;

  /** Reads the files; throws when one cannot be used. */
  constructor({ certificate, key, authority, keys }: TlsFiles) {
    this.#wantsCertificate = authority !== undefined;
    this.#keys = keys === undefined ? new Map() : parseKeys(readFileSync(keys, 'utf8'), keys);
    this.#context = createSecureContext({
      minVersion: 'TLSv1.2',
      ciphers: tlsCiphers,
      ...(certificate === undefined ? {} : { cert: readFileSync(certificate) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
      ...(authority === undefined ? {} : { ca: readFileSync(authority) }),
    });
  }

  /** Speaks TLS over a connected socket. `ready` once, with who it is; `failed` once instead, with the reason. */
  accept(socket: Duplex, ready: (tls: TLSSocket, who: TlsIdentity) => void, failed: (why: string) => void): TLSSocket {
    let keyName: string | null = null;
    const options = {
      isServer: true,
      secureContext: this.#context,
      requestCert: this.#wantsCertificate,
      rejectUnauthorized: false,
      ...(this.#keys.size === 0
        ? {}
        : {
            pskCallback: (_socket: TLSSocket, name: string) => {
              const key = this.#keys.get(name);
              keyName = key ? name : null;
              return key ?? null;
            },
          }),
    };
    const tls = new TLSSocket(socket as never, options as never);
    tls.once('secure', () => {
      const who = this.#who(tls, keyName);
      if (typeof who === 'string') failed(who);
      else ready(tls, who);
    });
    return tls;
  }

  /** TLSSocket itself lets in whoever it may be. */
  #who(tls: TLSSocket, keyName: string | null): TlsIdentity | string {
    if (keyName !== null) return { name: keyName };
    if (!this.#wantsCertificate) return { name: null };
    const handle = (tls as unknown as { _handle: { verifyError(): Error | null } })._handle;
    const error = handle.verifyError();
    if (error) return `its certificate was refused: ${error.message}`;
    const { CN } = tls.getPeerCertificate().subject ?? {};
    return { name: Array.isArray(CN) ? (CN[0] ?? null) : (CN ?? null) };
  }
}
