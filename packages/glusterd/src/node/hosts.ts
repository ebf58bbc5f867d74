import { lookup, lookupService } from 'node:dns/promises';
import { hostname, networkInterfaces } from 'node:os';
import type { HostNames } from '../ports.ts';

export const nodeHosts: HostNames = {
  hostname,
  addresses: () => Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address)),
  async reverse(address) {
    try {
      const { hostname: name } = await lookupService(address, 0);
      return name === address ? [] : [name];
    } catch {
      return [];
    }
  },
  async resolve(host) {
    try {
      return (await lookup(host, { all: true })).map((found) => found.address);
    } catch {
      return [];
    }
  },
};
