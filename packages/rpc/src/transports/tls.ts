/** Both ends prove who they are by a certificate that an authority of the other one's list has signed. */
import { readdir, readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import {
  connect,
  createServer,
  type DetailedPeerCertificate,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls';
import type { TlsSettings } from '../tls.ts';

const handshakeTimeoutMs = 10_000;

async function read(what: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new Error(`TLS: ${what} ${path} cannot be read (${reason}); make it, or name another file (docs/tls.md)`);
  }
}

async function revokedOf(path: string): Promise<Buffer[]> {
  const names = await readdir(path).catch(() => null);
  if (names === null) return [await read('list of revoked certificates', path)];
  const lists = names.filter((name) => /^[0-9a-f]{8}\.r\d+$/.test(name)).sort();
  if (lists.length === 0)
    throw new Error(
      `TLS: ${path} has no list of revoked certificates (HASH.r0, see openssl-rehash); make one (docs/tls.md)`,
    );
  return Promise.all(lists.map((name) => read('list of revoked certificates', join(path, name))));
}

/** The files are read anew for each connection and listener. */
async function contextOf(settings: TlsSettings): Promise<SecureContextOptions> {
  // In turn: of several that are missing the first one is named.
  const cert = await read('own certificate', settings.ownCertificate);
  const key = await read('private key', settings.privateKey);
  const ca = await read('list of authorities', settings.authorities);
  return {
    cert,
    key,
    ca,
    minVersion: 'TLSv1.2',
    ...(settings.revoked !== undefined && { crl: await revokedOf(settings.revoked) }),
    ...(settings.ciphers !== undefined && { ciphers: settings.ciphers }),
  };
}

/** Common name of the other side's certificate, or why it is none. */
function identityOf(socket: TLSSocket, { depth }: TlsSettings): string | Error {
  const certificate = socket.getPeerCertificate(true);
  if (!certificate?.subject) return new Error('peer did not return a certificate');
  // A code, whatever the type says.
  if (!socket.authorized)
    return new Error(String(socket.authorizationError ?? 'its certificate could not be verified'));
  const between = certificatesBetween(certificate);
  if (between > depth)
    return new Error(
      `${between} certificates are between its own and the authority's; ssl.certificate-depth is ${depth}`,
    );
  const name = certificate.subject.CN;
  return Array.isArray(name) ? (name[0] ?? '') : (name ?? '');
}

function certificatesBetween(leaf: DetailedPeerCertificate): number {
  let count = 0;
  for (let at = leaf; at.issuerCertificate && at.issuerCertificate !== at; at = at.issuerCertificate) {
    if (at.fingerprint256 === at.issuerCertificate.fingerprint256) break;
    if (++count > 100) break;
  }
  return Math.max(0, count - 1);
}

export interface Secured {
  readonly socket: Socket;
  /** Common name of the other side's certificate. */
  readonly name: string;
}

/** What OpenSSL says, and what to do about it. */
export function explained(error: Error | string): string {
  const message = typeof error === 'string' ? error : error.message;
  const code = typeof error === 'string' ? '' : ((error as NodeJS.ErrnoException).code ?? '');
  if (/UNABLE_TO_(GET|VERIFY)|SELF_SIGNED|unknown ca|unable to verify/i.test(`${code} ${message}`))
    return `its certificate is signed by nobody in the list of authorities: put the same list (glusterfs.ca) on all nodes and clients (${message})`;
  if (/EXPIRED|NOT_YET_VALID|expired/i.test(`${code} ${message}`))
    return `a certificate is out of its time: ${message}`;
  if (/peer did not return a certificate|certificate required/i.test(message))
    return 'it showed no certificate: it needs glusterfs.pem and glusterfs.key';
  if (/wrong version number|http request|unknown protocol|packet length too long/i.test(message))
    return 'it does not speak TLS: client.ssl and server.ssl, or secure-access of all nodes and clients, must agree';
  if (/ECONNRESET|ended before|socket hang up|disconnected before/i.test(`${code} ${message}`))
    return `it ended the connection during the handshake: it may not speak TLS, or trust no authority of ours; see its log (${message})`;
  return message;
}

/** TLS over a connected socket; rejects with what to do. */
export async function secureClient(socket: Socket, settings: TlsSettings, where: string): Promise<Secured> {
  try {
    const context = await contextOf(settings);
    const secure = await new Promise<TLSSocket>((resolve, reject) => {
      // Names of hosts are not compared: who may come is told by the authorities, and by auth.ssl-allow.
      const tls = connect({ ...context, socket, rejectUnauthorized: true, checkServerIdentity: () => undefined });
      tls.pause();
      const timer = setTimeout(() => tls.destroy(new Error('no TLS handshake in time')), handshakeTimeoutMs);
      const failed = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      tls.once('error', failed);
      tls.once('secureConnect', () => {
        clearTimeout(timer);
        tls.removeListener('error', failed);
        resolve(tls);
      });
    });
    const name = identityOf(secure, settings);
    if (name instanceof Error) {
      secure.destroy();
      throw name;
    }
    return { socket: secure, name };
  } catch (error) {
    socket.destroy();
    throw new Error(`TLS with ${where} failed: ${explained(error as Error)}`, { cause: error });
  }
}

export async function secureServer(
  settings: TlsSettings,
  accept: (secured: Secured) => void,
  refuse: (address: string, reason: string) => void,
): Promise<Server> {
  const context = await contextOf(settings);
  const server = createServer({
    ...context,
    requestCert: true,
    // Looked at below: else Node ends the connection without a word of why.
    rejectUnauthorized: false,
    handshakeTimeout: handshakeTimeoutMs,
    pauseOnConnect: true,
  });
  server.on('secureConnection', (socket) => {
    const name = identityOf(socket, settings);
    if (name instanceof Error) {
      refuse(socket.remoteAddress ?? 'somebody', explained(name));
      socket.destroy();
    } else accept({ socket, name });
  });
  const addresses = new WeakMap<object, string>();
  server.on('connection', (raw) => {
    // A socket that has ended does not tell any more.
    addresses.set(raw, raw.remoteAddress ?? '');
  });
  server.on('tlsClientError', (error, socket) => {
    const raw = (socket as unknown as { _parent?: object })._parent;
    refuse(socket.remoteAddress ?? (raw && addresses.get(raw)) ?? 'somebody', explained(error));
  });
  return server;
}
