import { lookup } from 'node:dns/promises';
import { lstatSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { type Address, anyTransport, type Transport } from '../stream.ts';
import type { TransportPort } from '../transport-port.ts';
import { tcpTransport } from './tcp.ts';
import { unixTransport } from './unix.ts';

/** tcp and unix sockets. */
export function nodeTransport(): Transport {
  return anyTransport({ tcp: tcpTransport(), unix: unixTransport() });
}

function isLocalHost(host: string): boolean {
  if (host === 'localhost' || host === hostname() || host === '::1' || host.startsWith('127.')) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === host));
}

/** The port of a real process. */
export function nodeTransportPort(listening?: (xlator: string, addresses: readonly Address[]) => void): TransportPort {
  return {
    transport: nodeTransport(),
    hostName: hostname(),
    processId: process.pid,
    isLocalHost,
    socketExists: (path) => lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false,
    addressesOf: async (host) => {
      try {
        return (await lookup(host, { all: true })).map(({ address }) => address);
      } catch {
        // A name that does not resolve matches nobody.
        return [];
      }
    },
    ownAddresses: () =>
      Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
    ...(listening ? { listening } : {}),
  };
}
