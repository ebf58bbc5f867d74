/** Networks of this machine's interfaces. */
import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface LocalAddress {
  /** The kernel's name of the interface. */
  readonly device: string;
  readonly address: string;
  readonly netmask: string;
  readonly isLoopback: boolean;
}

export function localAddresses(): readonly LocalAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([device, all]) =>
    (all ?? []).map(({ address, netmask, internal }) => ({ device, address, netmask, isLoopback: internal })),
  );
}

const number = (address: string) => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const text = (value: number) => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

/** The broadcast address of a network of IPv4; null: there is none. */
export function broadcastOf({ address, netmask }: Pick<LocalAddress, 'address' | 'netmask'>): string | null {
  if (!isIPv4(address) || !isIPv4(netmask)) return null;
  const size = 2 ** 32 - number(netmask);
  if (size < 4) return null;
  return text(Math.floor(number(address) / size) * size + size - 1);
}

/** Bytes that a packet of the interface has at most; null: nobody knows. (`/sys` may show the devices of another network namespace.) */
export function mtuOf(device: string): number | null {
  try {
    return Number(readFileSync(`/proc/sys/net/ipv6/conf/${device}/mtu`, 'utf8')) || null;
  } catch {
    // No such interface any more, or no IPv6 here.
    return null;
  }
}
