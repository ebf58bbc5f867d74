/** TLS of a client: proves itself, and lets in only a server that an authority, or a shared key, vouches for. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { explained } from '@mortar/rpc/transports/tls.ts';
import { parseKeys, type TlsFiles, tlsCiphers } from '../../nbd/tls.ts';
import { channelOf, type Secured } from './secured.ts';

export interface ClientTls {
  /** `allowed`: in the clear with a server that speaks no TLS. */
  readonly mode: 'allowed' | 'required';
  readonly files: TlsFiles;
  /** Whose shared key it is. */
  readonly client: string;
}

const handshakeMs = 10_000;

/** The other end speaks no TLS, or does not like ours. */
export class NoTls extends Error {
  readonly code = 'ENOTLS';
}

/** The files are read each time: certificates are renewed. Throws with what to do. */
export async function secureSocket(
  socket: Socket,
  { files, client }: ClientTls,
  where: string,
): Promise<{ socket: TLSSocket; secured: Secured }> {
  try {
    const { certificate, key, authority, keys } = files;
    const own = keys === undefined ? undefined : parseKeys(readFileSync(keys, 'utf8'), keys).get(client);
    if (keys !== undefined && !own) throw new Error(`${keys} has no key of '${client}'`);
    const tls = await shaken({
      socket,
      minVersion: 'TLSv1.2',
      ciphers: tlsCiphers,
      rejectUnauthorized: authority !== undefined,
      // Which server it is it says itself; path.ts compares that with the certificate.
      checkServerIdentity: () => undefined,
      ...(certificate === undefined ? {} : { cert: readFileSync(certificate) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
      ...(authority === undefined ? {} : { ca: readFileSync(authority) }),
      ...(own ? { pskCallback: () => ({ psk: own, identity: client }) } : {}),
    });
    const { CN } = tls.getPeerCertificate().subject ?? {};
    const name = (Array.isArray(CN) ? CN[0] : CN) ?? null;
    // A server that took neither our key nor showed a certificate is nobody.
    if (name === null && !own) throw new Error('the server showed no certificate');
    return { socket: tls, secured: { name, channel: channelOf(tls) } };
  } catch (error) {
    socket.destroy();
    const text = `TLS with ${where} failed: ${explained(error as Error)}`;
    const { code = '', message } = error as NodeJS.ErrnoException;
    const isNone = /wrong version number|ECONNRESET|disconnected before|socket hang up/i.test(`${code} ${message}`);
    throw isNone ? new NoTls(text, { cause: error }) : new Error(text, { cause: error });
  }
}

function shaken(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const tls = connect(options);
    tls.pause();
    const timer = setTimeout(() => tls.destroy(new Error('no TLS handshake in time')), handshakeMs);
    const failed = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    tls.once('error', failed);
    tls.once('close', () => failed(new Error('disconnected before the TLS handshake')));
    tls.once('secureConnect', () => {
      clearTimeout(timer);
      tls.removeListener('error', failed);
      resolve(tls);
    });
  });
}
