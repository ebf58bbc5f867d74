/** Which addresses are a member's: those that its names resolve to, looked up in parallel and for a bounded time. */
import type { Clock } from '@mortar/core/ports.ts';
import type { HostNames } from '../ports.ts';
import type { PeerDocument } from '../store/documents.ts';
import { withinTime } from './connections.ts';

const lookUpMs = 3000;
/** Names seldom change; a member that moved is believed a little later. */
const keptMs = 60_000;
/** One that nobody knew is asked for several times by one command. */
const unknownMs = 3000;
const mostKept = 4096;

export class AddressBook {
  readonly #clock: Clock;
  readonly #hosts: HostNames;
  readonly #underWay = new Map<string, Promise<readonly string[]>>();
  readonly #kept = new Map<string, { atMs: number; addresses: readonly string[] }>();

  constructor(clock: Clock, hosts: HostNames) {
    this.#clock = clock;
    this.#hosts = hosts;
  }

  /** Addresses of a name; none when nobody knows them in time. */
  async resolve(host: string): Promise<readonly string[]> {
    const kept = this.#kept.get(host);
    const isFresh = kept && this.#clock.nowMs() - kept.atMs < (kept.addresses.length > 0 ? keptMs : unknownMs);
    if (isFresh) return kept.addresses;
    const looking = this.#lookUp(host);
    const addresses = await withinTime(this.#clock, looking, lookUpMs, `looking up ${host}`).catch(() => []);
    if (addresses.length > 0 || !kept?.addresses.length) this.#keep(host, addresses);
    return addresses;
  }

  /** A name server that is silent holds the resolver for long: nobody asks it twice at the same time. */
  #lookUp(host: string): Promise<readonly string[]> {
    const underWay = this.#underWay.get(host);
    if (underWay) return underWay;
    const looking = this.#hosts.resolve(host).finally(() => this.#underWay.delete(host));
    this.#underWay.set(host, looking);
    return looking;
  }

  #keep(host: string, addresses: readonly string[]): void {
    this.#kept.delete(host);
    this.#kept.set(host, { atMs: this.#clock.nowMs(), addresses });
    if (this.#kept.size > mostKept) this.#kept.delete(this.#kept.keys().next().value!);
  }

  async addressesOf(peer: PeerDocument): Promise<ReadonlySet<string>> {
    const found = await Promise.all(peer.hostnames.map((host) => this.resolve(host)));
    return new Set([...peer.hostnames, ...(peer.addresses ?? []), ...found.flat()]);
  }

  /** What is known without asking anybody. */
  knownAddressesOf(peer: PeerDocument): ReadonlySet<string> {
    const found = peer.hostnames.flatMap((host) => this.#kept.get(host)?.addresses ?? []);
    return new Set([...peer.hostnames, ...(peer.addresses ?? []), ...found]);
  }

  /** The name of an address if it has one that leads back to it; else the address itself. */
  async nameOf(address: string): Promise<string> {
    const looking = this.#hosts.reverse?.(address) ?? Promise.resolve([]);
    const names = await withinTime(this.#clock, looking, lookUpMs, `looking up ${address}`).catch(() => []);
    for (const name of names.slice(0, 4)) if ((await this.resolve(name)).includes(address)) return name;
    return address;
  }
}
