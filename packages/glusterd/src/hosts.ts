/** Which node a host name means. */
import type { HostNames } from './ports.ts';
import type { State } from './store/documents.ts';

export class HostBook {
  readonly #hosts: HostNames;

  constructor(hosts: HostNames) {
    this.#hosts = hosts;
  }

  async isLocal(host: string): Promise<boolean> {
    if (host === 'localhost' || host === this.#hosts.hostname() || isLoopback(host)) return true;
    const own = new Set(this.#hosts.addresses());
    if (own.has(host)) return true;
    const addresses = await this.#hosts.resolve(host);
    return addresses.some((address) => isLoopback(address) || own.has(address));
  }

  /** The node of a host, or null if it is none of the pool. */
  async nodeOf(host: string, state: State): Promise<string | null> {
    if (await this.isLocal(host)) return state.node.uuid;
    for (const peer of state.peers.values()) if (peer.hostnames.includes(host)) return peer.uuid;
    return null;
  }
}

function isLoopback(address: string): boolean {
  return /^127\.\d+\.\d+\.\d+$/.test(address) || address === '::1';
}
