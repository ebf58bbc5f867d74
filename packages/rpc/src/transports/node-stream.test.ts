import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import type { Address, Stream } from '../stream.ts';
import { tcpTransport } from './tcp.ts';
import { unixTransport } from './unix.ts';

const folder = mkdtempSync(join(tmpdir(), 'mortar-stream-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One certificate for both ends. */
function secured(): Address {
  const [own, key] = [join(folder, 'own.pem'), join(folder, 'own.key')];
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', [...words, '-keyout', key, '-out', own, '-subj', '/CN=own', '-days', '2'], { stdio: 'pipe' });
  const tls = { ownCertificate: own, privateKey: key, authorities: own, depth: 1 };
  return { kind: 'tcp', host: '127.0.0.1', port: 0, tls };
}

it.each([
  ['unix', unixTransport(), (): Address => ({ kind: 'unix', path: join(folder, 's') })],
  ['TCP', tcpTransport(), (): Address => ({ kind: 'tcp', host: '127.0.0.1', port: 0 })],
  ['TLS', tcpTransport(), secured],
])('tells that the peer takes some of one large write: %s', async (_, transport, address) => {
  let accepted: Stream | undefined;
  const where = address();
  const listener = await transport.listen(where, (stream) => {
    accepted = stream;
  });
  const sender = await transport.connect({ ...where, ...listener.address } as Address);
  await vi.waitFor(() => expect(accepted).toBeDefined());
  const receiver = accepted!;
  const nothing = { drained: () => undefined, closed: () => undefined };
  sender.start({ ...nothing, space: () => Buffer.alloc(1), received: () => undefined });
  const size = 32 << 20;
  const done = vi.fn();
  sender.write([Buffer.alloc(size)], done);
  const left = () => sender.underWayBytes!;
  await vi.waitFor(() => expect(left()).toBeGreaterThan(size / 2));
  const before = left();
  const room = Buffer.alloc(1 << 16);
  const received = () => {
    if (left() < before) receiver.pause();
  };
  receiver.start({ ...nothing, space: () => room, received });
  await vi.waitFor(() => expect(left()).toBeLessThan(before));
  expect([sender.queuedBytes, done.mock.calls.length]).toEqual([size, 0]);
  for (const stream of [sender, receiver]) stream.destroy();
  await listener.close();
});
