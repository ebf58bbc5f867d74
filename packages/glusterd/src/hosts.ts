/** Which node a host name means. */
import { isLoopback } from '@mortar/core';
import type { AddressBook } from './pool/trust.ts';
import type { HostNames } from './ports.ts';
import type { State } from './store/documents.ts';

export class HostBook {
  readonly #hosts: HostNames;
  readonly #bound: string | null;
  /** Looks names up for a bounded time, where there are peers. */
  addresses: AddressBook | null = null;

  /** `bound`: the one address at which this node listens, if it is one. The machine's others may be those of other nodes. */
  constructor(hosts: HostNames, bound: string | null = null) {
    this.#hosts = hosts;
    this.#bound = bound && !isUnspecified(bound) ? bound : null;
  }

  async isLocal(host: string): Promise<boolean> {
    if (host === 'localhost' || host === this.#hosts.hostname()) return true;
    if (this.#bound !== null) return this.#areSame(host, this.#bound);
    if (isLoopback(host)) return true;
    const own = new Set(this.#hosts.addresses());
    if (own.has(host)) return true;
    const addresses = await this.#resolve(host);
    return addresses.some((address) => isLoopback(address) || own.has(address));
  }

  /** The node of a host, or null if it is none of the pool. */
  async nodeOf(host: string, state: State): Promise<string | null> {
    const { uuid: self } = state.node;
    const peers = [...state.peers.values()].filter((peer) => peer.uuid !== self);
    const named = peers.find((peer) => peer.hostnames.includes(host));
    if (named) return named.uuid;
    if (await this.isLocal(host)) return self;
    if (!this.addresses || !state.peers.has(self)) return null;
    // Another name of a member, or one of its addresses.
    const wanted = new Set([host, ...(await this.#resolve(host))]);
    const book = this.addresses;
    const places = await Promise.all(peers.map((peer) => book.addressesOf(peer)));
    return peers.find((_, index) => [...places[index]!].some((address) => wanted.has(address)))?.uuid ?? null;
  }

  async #areSame(one: string, other: string): Promise<boolean> {
    if (one === other) return true;
    const [ones, others] = await Promise.all([this.#resolve(one), this.#resolve(other)]);
    return [one, ...ones].some((address) => address === other || others.includes(address));
  }

  #resolve(host: string): Promise<readonly string[]> {
    return this.addresses ? this.addresses.resolve(host) : this.#hosts.resolve(host);
  }
}

function isUnspecified(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}
