import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Address, Stream } from '../stream.ts';
import { isTlsNameAllowed, type TlsSettings, tlsOfOptions, tlsOfSecureAccess } from '../tls.ts';
import { tcpTransport } from './tcp.ts';

const folder = mkdtempSync(join(tmpdir(), 'mortar-tls-'));
const at = (name: string) => join(folder, name);

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
}

const newKey = (name: string, subject: string) => [
  ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at(`${name}.key`)],
  ...['-subj', subject, '-out', at(`${name}.pem`)],
];

function authority(name: string): void {
  openssl('req', '-x509', ...newKey(name, `/CN=${name}`), '-days', '2');
}

/** A certificate that `by` has signed. */
function certificate(name: string, by: string, more: readonly string[] = []): void {
  openssl(
    'req',
    '-x509',
    ...newKey(name, `/CN=${name}`),
    '-CA',
    at(`${by}.pem`),
    '-CAkey',
    at(`${by}.key`),
    '-days',
    '2',
    ...more,
  );
}

/** A directory as `ssl.crl-path` names it, by which nobody is to believe this certificate of `ca`. */
function revoke(directory: string, name: string): void {
  mkdirSync(directory);
  writeFileSync(at('index.txt'), '');
  writeFileSync(at('crlnumber'), '01');
  const config = [
    ...['[ca]', 'default_ca=d', '[d]', `database=${at('index.txt')}`, `crlnumber=${at('crlnumber')}`],
    ...['default_md=sha256', 'default_crl_days=2', `certificate=${at('ca.pem')}`, `private_key=${at('ca.key')}`],
  ];
  writeFileSync(at('ca.conf'), config.join('\n'));
  openssl('ca', '-config', at('ca.conf'), '-revoke', at(`${name}.pem`));
  const hash = execFileSync('openssl', ['x509', '-hash', '-noout', '-in', at('ca.pem')], { encoding: 'utf8' }).trim();
  openssl('ca', '-config', at('ca.conf'), '-gencrl', '-out', join(directory, `${hash}.r0`));
}

const settings = (name: string, by = 'ca', depth = 1): TlsSettings => ({
  ownCertificate: at(`${name}.pem`),
  privateKey: at(`${name}.key`),
  authorities: at(`${by}.pem`),
  depth,
});

beforeAll(() => {
  authority('ca');
  authority('other');
  certificate('alice', 'ca', ['-addext', 'basicConstraints=critical,CA:FALSE']);
  certificate('brick', 'ca', ['-addext', 'basicConstraints=critical,CA:FALSE']);
  certificate('carol', 'ca', ['-addext', 'basicConstraints=critical,CA:FALSE']);
  certificate('mallory', 'other', ['-addext', 'basicConstraints=critical,CA:FALSE']);
  certificate('office', 'ca');
  certificate('bob', 'office', ['-addext', 'basicConstraints=critical,CA:FALSE']);
  execFileSync('bash', ['-c', 'cat office.pem >> bob.pem'], { cwd: folder });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Somebody who sends back what comes, and what it heard and refused. */
async function echo(tls: TlsSettings) {
  const names: (string | undefined)[] = [];
  const refusals: string[] = [];
  const server = tcpTransport({ refused: (address, reason) => refusals.push(`${address} ${reason}`) });
  const listener = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0, tls }, (stream) => {
    names.push(stream.peer.tlsName);
    const space = Buffer.alloc(100_000);
    stream.start({
      space: () => space,
      received: (count) => stream.write([Buffer.from(space.subarray(0, count))], () => undefined),
      drained: () => undefined,
      closed: () => undefined,
    });
  });
  const { host, port } = listener.address as Address & { kind: 'tcp' };
  const address = (client?: TlsSettings): Address => ({ kind: 'tcp', host, port, ...(client && { tls: client }) });
  return { names, refusals, listener, address };
}

function heard(stream: Stream, bytes: number): Promise<Buffer> {
  const space = Buffer.alloc(1000);
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.start({
      space: () => space,
      received: (count) => {
        chunks.push(Buffer.from(space.subarray(0, count)));
        if (Buffer.concat(chunks).length >= bytes) resolve(Buffer.concat(chunks));
      },
      drained: () => undefined,
      closed: (error) => reject(error ?? new Error('closed')),
    });
  });
}

describe('TLS', () => {
  it('carries bytes, and tells each side the name of the other', async () => {
    const { names, listener, address } = await echo(settings('brick'));
    const stream = await tcpTransport().connect(address(settings('alice')));
    expect(stream.peer.tlsName).toBe('brick');
    const sent = Buffer.alloc(300_000, 'x');
    const answer = heard(stream, sent.length);
    stream.write([sent], () => undefined);
    expect((await answer).equals(sent)).toBe(true);
    expect(names).toEqual(['alice']);
    stream.destroy();
    await listener.close();
  });

  it('is what a transport speaks by default when it is told so', async () => {
    const { names, listener, address } = await echo(settings('brick'));
    const stream = await tcpTransport({ tls: settings('alice') }).connect(address());
    await expect.poll(() => names).toEqual(['alice']);
    stream.destroy();
    await listener.close();
  });

  it('does not talk to a server that nobody it trusts has signed', async () => {
    const { names, listener, address } = await echo(settings('mallory', 'other'));
    await expect(tcpTransport().connect(address(settings('alice')))).rejects.toThrow(
      /list of authorities: put the same/,
    );
    expect(names).toEqual([]);
    await listener.close();
  });

  it('does not let in a client that nobody it trusts has signed, and says what to do', async () => {
    const { names, refusals, listener, address } = await echo(settings('brick'));
    const client = tcpTransport().connect(address({ ...settings('mallory', 'other'), authorities: at('ca.pem') }));
    // With TLS 1.3 a client hears of it after its own part of the handshake.
    await client.then((stream) => heard(stream, 1)).catch(() => undefined);
    await expect.poll(() => refusals.join()).toMatch(/^127\.0\.0\.1 .*list of authorities/);
    expect(names).toEqual([]);
    await listener.close();
  });

  it('does not let in who speaks in the clear', async () => {
    const { names, refusals, listener, address } = await echo(settings('brick'));
    const socket = connect((address() as { port: number }).port, '127.0.0.1', () =>
      socket.write('GET / HTTP/1.0\r\n\r\n'),
    );
    socket.on('error', () => undefined);
    await expect.poll(() => refusals.join()).toMatch(/does not speak TLS/);
    expect(names).toEqual([]);
    socket.destroy();
    await listener.close();
  });

  it('counts the certificates between', async () => {
    const { names, refusals, listener, address } = await echo(settings('brick', 'ca', 0));
    await tcpTransport()
      .connect(address(settings('bob')))
      .then((s) => heard(s, 1))
      .catch(() => undefined);
    await expect.poll(() => refusals.join()).toMatch(/ssl\.certificate-depth is 0/);
    expect(names).toEqual([]);
    await listener.close();
    const deeper = await echo(settings('brick', 'ca', 1));
    const stream = await tcpTransport().connect(deeper.address(settings('bob')));
    await expect.poll(() => deeper.names).toEqual(['bob']);
    stream.destroy();
    await deeper.listener.close();
  });

  it('does not let in whose certificate was revoked', async () => {
    const lists = at('lists');
    revoke(lists, 'alice');
    const { names, refusals, listener, address } = await echo({ ...settings('brick'), revoked: lists });
    const greet = (who: string) =>
      tcpTransport()
        .connect(address(settings(who)))
        .then((stream) => heard(stream, 1))
        .catch(() => undefined);
    await greet('alice');
    await expect.poll(() => refusals.join()).toMatch(/revoked/i);
    expect(names).toEqual([]);
    const stream = await tcpTransport().connect(address(settings('carol')));
    await expect.poll(() => names).toEqual(['carol']);
    stream.destroy();
    await listener.close();
  });

  it('goes by no lists of revoked certificates where there are none', async () => {
    mkdirSync(at('empty'));
    const bound = {
      kind: 'tcp' as const,
      host: '127.0.0.1',
      port: 0,
      tls: { ...settings('brick'), revoked: at('empty') },
    };
    await expect(tcpTransport().listen(bound, () => undefined)).rejects.toThrow(/has no list of revoked certificates/);
  });

  it('names the file that is missing', async () => {
    const server = tcpTransport().listen(
      { kind: 'tcp', host: '127.0.0.1', port: 0, tls: settings('nobody') },
      () => undefined,
    );
    await expect(server).rejects.toThrow(/own certificate .*nobody\.pem cannot be read \(ENOENT\); make it/);
  });
});

describe('settings', () => {
  it('are off unless they are on', () => {
    expect(tlsOfOptions(new Map([['transport.socket.ssl-ca-list', '/x']]))).toBeUndefined();
    expect(tlsOfOptions(new Map([['transport.socket.ssl-enabled', 'on']]))).toEqual({
      ownCertificate: '/etc/ssl/glusterfs.pem',
      privateKey: '/etc/ssl/glusterfs.key',
      authorities: '/etc/ssl/glusterfs.ca',
      depth: 1,
    });
  });

  it('name lists of revoked certificates, or NULL for none', () => {
    const revoked = (path: string) =>
      tlsOfOptions(
        new Map([
          ['transport.socket.ssl-enabled', 'on'],
          ['transport.socket.ssl-crl-path', path],
        ]),
      )?.revoked;
    expect([revoked('/etc/crl'), revoked('NULL')]).toEqual(['/etc/crl', undefined]);
  });

  it('of management come from secure-access, which may be empty', () => {
    expect(tlsOfSecureAccess('').privateKey).toBe('/etc/ssl/glusterfs.key');
    expect(tlsOfSecureAccess('option transport.socket.ssl-cert-depth 3\n').depth).toBe(3);
    expect(() => tlsOfSecureAccess('ssl on')).toThrow("'ssl on' is no line of the form");
  });

  it.each([
    ['*', undefined, true],
    ['alice, bob', 'bob', true],
    ['alice,bob', 'carol', false],
    ['alice', undefined, false],
  ])('auth.ssl-allow %s lets %s: %s', (list, name, allowed) => expect(isTlsNameAllowed(list, name)).toBe(allowed));
});
