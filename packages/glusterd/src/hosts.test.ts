import { describe, expect, it } from 'vitest';
import { HostBook } from './hosts.ts';

const hosts = {
  addresses: () => ['127.0.0.1', '192.0.2.1', '192.0.2.2'],
  hostname: () => 'me',
  resolve: async (host: string) => ({ one: ['192.0.2.1'], two: ['192.0.2.2'], far: ['192.0.2.9'] })[host] ?? [],
};
const names = ['localhost', 'me', '127.0.0.1', '127.1.1.2', '192.0.2.1', '192.0.2.2', '192.0.2.9', 'one', 'two', 'far'];
const local = async (bound: string | null) => {
  const book = new HostBook(hosts, bound);
  const answers = await Promise.all(names.map((name) => book.isLocal(name)));
  return names.filter((_, index) => answers[index]);
};

describe('which hosts are this node', () => {
  it('all names and addresses of the machine', async () => {
    const all = ['localhost', 'me', '127.0.0.1', '127.1.1.2', '192.0.2.1', '192.0.2.2', 'one', 'two'];
    expect(await local(null)).toEqual(all);
    expect(await local('0.0.0.0')).toEqual(all);
    expect(await local('::')).toEqual(all);
  });

  it('what is the address at which it listens: others may be those of other nodes on the machine', async () => {
    expect(await local('192.0.2.1')).toEqual(['localhost', 'me', '192.0.2.1', 'one']);
    expect(await local('one')).toEqual(['localhost', 'me', '192.0.2.1', 'one']);
    expect(await local('127.1.1.2')).toEqual(['localhost', 'me', '127.1.1.2']);
  });
});
