/** The network as protocol/client and protocol/server of this process see it. */
import { lookup } from 'node:dns/promises';
import { existsSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { isLoopback, type Volfile } from '@mortar/core';
import { wantSendBuffer } from '@mortar/libc';
import { type Address, anyTransport, type TlsSettings, type Transport, type TransportPort } from '@mortar/rpc';
import { type TcpOptions, tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';

/**
 * A unix socket's buffer, 208 KiB unless the system says otherwise, does not grow as TCP's does: a transfer of 1 MiB would wake
 * both sides half a dozen times. It is memory only while it is full.
 */
const unixBufferBytes = 2 * 1024 * 1024;

export function socketTransport(options: TcpOptions = {}): Transport {
  return anyTransport({
    tcp: tcpTransport(options),
    unix: unixTransport({ prepare: (fd) => void wantSendBuffer(fd, unixBufferBytes) }),
  });
}

/** Names are looked up again after this: addresses move. */
const rememberMs = 60_000;
/** A name server that is silent must not hold up a mount. */
const learnTimeoutMs = 2000;

export class SocketTransportPort implements TransportPort {
  readonly transport: Transport;
  readonly hostName = hostname();
  readonly processId = process.pid;
  readonly managementPort: number;
  readonly managementTls?: TlsSettings;
  readonly #known = new Map<string, { addresses: readonly string[]; untilMs: number }>();
  readonly #listening = new Map<string, readonly Address[]>();

  /** `refused`: somebody's TLS handshake with a server of this process failed. */
  constructor(managementPort: number, managementTls?: TlsSettings, refused?: TcpOptions['refused']) {
    this.managementPort = managementPort;
    if (managementTls) this.managementTls = managementTls;
    this.transport = socketTransport(refused ? { refused } : {});
  }

  /** By name or address; a name that was never looked up counts as another host. */
  isLocalHost(host: string): boolean {
    if (host === 'localhost' || host === this.hostName) return true;
    const own = ownAddresses();
    const known = this.#known.get(host);
    if (!known || known.untilMs < performance.now()) void this.addressesOf(host);
    return [host, ...(known?.addresses ?? [])].some((address) => own.has(address) || isLoopback(address));
  }

  socketExists(path: string): boolean {
    return existsSync(path);
  }

  async addressesOf(host: string): Promise<readonly string[]> {
    const known = this.#known.get(host);
    if (known && known.untilMs > performance.now()) return known.addresses;
    const addresses = await lookup(host, { all: true }).then(
      (found) => found.map(({ address }) => address),
      () => [],
    );
    this.#known.set(host, { addresses, untilMs: performance.now() + rememberMs });
    return addresses;
  }

  ownAddresses(): readonly string[] {
    return [...ownAddresses()];
  }

  listening(xlator: string, addresses: readonly Address[]): void {
    this.#listening.set(xlator, addresses);
  }

  /** Where the servers of this process listen. */
  listeners(): readonly Address[] {
    return [...this.#listening.values()].flat();
  }

  /** Looks up the hosts of a volfile beforehand, so that bricks on this host are known as such. */
  async learn(volfile: Volfile): Promise<void> {
    const hosts = volfile.volumes.flatMap(({ type, options }) =>
      type === 'protocol/client' ? (options.get('remote-host') ?? []) : [],
    );
    const all = Promise.all([...new Set(hosts)].map((host) => this.addressesOf(host)));
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, learnTimeoutMs);
    });
    await Promise.race([all, timeout]);
    clearTimeout(timer);
  }
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}
