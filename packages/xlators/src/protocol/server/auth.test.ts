import { describe, expect, it } from 'vitest';
import { admit } from './auth.ts';

const brick = '/bricks/b1';

function verdict(
  texts: Record<string, string>,
  peer: { address?: string; kind?: 'tcp' | 'unix'; port?: number; tlsName?: string } = {},
  more = {},
) {
  const {
    user = '',
    password = '',
    subdirectory = '',
    strict = false,
    allowInsecure = true,
  } = more as Record<string, never>;
  const identity = {
    kind: 'tcp',
    address: '10.0.0.7',
    port: 5000,
    isLocal: false,
    isLocalRoot: false,
    ...peer,
  } as const;
  const addressesOf = async (host: string) => (host === 'node7' ? ['10.0.0.7'] : []);
  const ownAddresses = () => ['127.0.0.1', '10.0.0.7'];
  const settings = { texts: new Map(Object.entries(texts)), strict, allowInsecure, addressesOf, ownAddresses };
  return admit(brick, identity, { user, password, subdirectory }, settings);
}

const yes = { isTrusted: false };
const no = expect.objectContaining({ errno: 13 });

describe('by address', () => {
  it.each([
    ['*', true],
    ['10.0.0.7', true],
    ['10.0.*', true],
    ['10.0.0.?', true],
    ['192.168.1.1, 10.0.0.7', true],
    ['10.0.0.0/24', true],
    ['10.0.1.0/24', false],
    ['0.0.0.0/0', true],
    ['10.0.0.0/99', false],
    ['node7', true],
    ['node8', false],
    ['10.0.0.70', false],
    ['10.0.0', false],
    ['10.0.0.*7*', true],
    ['', false],
  ])('auth.addr allow %s: %s', async (allow, expected) => {
    expect(await verdict({ [`auth.addr.${brick}.allow`]: allow })).toEqual(expected ? yes : no);
  });

  it('reject goes before allow', async () => {
    const texts = { [`auth.addr.${brick}.allow`]: '*', [`auth.addr.${brick}.reject`]: '10.0.0.7' };
    expect(await verdict(texts)).toEqual(no);
    expect(await verdict(texts, { address: '10.0.0.8' })).toEqual(yes);
  });

  it('nobody comes in when nothing is said', async () => {
    expect(await verdict({})).toEqual(no);
  });

  it('the options of another brick do not count', async () => {
    expect(await verdict({ 'auth.addr./bricks/b2.allow': '*' })).toEqual(no);
  });

  it('a client over a unix socket is this host', async () => {
    expect(await verdict({ [`auth.addr.${brick}.allow`]: '127.0.0.1' }, { kind: 'unix', address: '/s' })).toEqual(yes);
    expect(await verdict({ [`auth.addr.${brick}.allow`]: 'localhost' }, { kind: 'unix', address: '/s' })).toEqual(yes);
  });

  it('and has all of its addresses, for allow and for reject', async () => {
    const unix = { kind: 'unix', address: '/s' } as const;
    const only = (host: string) => ({ [`auth.addr.${brick}.allow`]: host });
    const but = (host: string) => ({ [`auth.addr.${brick}.allow`]: '*', [`auth.addr.${brick}.reject`]: host });
    for (const host of ['10.0.0.7', 'node7', '10.0.0.0/24', 'localhost']) {
      expect(await verdict(only(host), unix), host).toEqual(yes);
      expect(await verdict(but(host), unix), host).toEqual(no);
    }
    expect(await verdict(only('node8'), unix)).toEqual(no);
    expect(await verdict(but('node8'), unix)).toEqual(yes);
  });

  it('ports above 1023 are refused when insecure ones are not allowed', async () => {
    const texts = { [`auth.addr.${brick}.allow`]: '*' };
    expect(await verdict(texts, {}, { allowInsecure: false })).toEqual(no);
    expect(await verdict(texts, { port: 1000 }, { allowInsecure: false })).toEqual(yes);
  });
});

describe('by address, for directories', () => {
  const allow = (list: string) => ({ [`auth.addr.${brick}.allow`]: list });
  const asking = (list: string, subdirectory: string, more = {}) => verdict(allow(list), {}, { subdirectory, ...more });

  it.each([
    ['/home(10.0.0.7)', '/home', '/home'],
    ['/home(10.9.9.9|10.0.0.*),/(10.8.8.8)', '/home/', '/home'],
    ['/home(10.0.0.7)', 'home//a', '/home/a'],
    ['/home(10.9.9.9),/home/a(node7)', '/home/a', '/home/a'],
  ])('%s: %s is allowed, and no more than %s', async (list, asked, directory) => {
    expect(await asking(list, asked)).toEqual({ isTrusted: false, directory });
  });

  it.each([
    ['/home(10.0.0.7)', ''],
    ['/home(10.0.0.7)', '/'],
    ['/home(10.0.0.7)', '/homes'],
    ['/home(10.0.0.7)', '/home/../etc'],
    ['/home(10.9.9.9)', '/home'],
    ['/(10.9.9.9),/home/a(10.0.0.7)', '/home'],
    ['home(10.0.0.7)', '/home'],
    ['/home', '/home'],
    ['/home()', '/home'],
    ['/home(10.0.0.7', '/home'],
  ])('%s: %s is not', async (list, asked) => {
    expect(await asking(list, asked)).toEqual(no);
  });

  it.each(['10.0.0.7', '*', '/(10.0.0.7)', '/home(10.0.0.7),/(10.0.0.7)'])('%s is the whole volume', async (list) => {
    for (const asked of ['', '/', '/home']) expect(await asking(list, asked)).toEqual(yes);
  });

  it('a trusted client is kept nowhere', async () => {
    const texts = { [`auth.login.${brick}.allow`]: 'u', 'auth.login.u.password': 'p', ...allow('/home(10.0.0.7)') };
    const more = { user: 'u', password: 'p', subdirectory: '/home' };
    expect(await verdict(texts, {}, more)).toEqual({ isTrusted: true });
  });
});

describe('by user and password', () => {
  const texts = {
    [`auth.login.${brick}.allow`]: 'alice,bob',
    'auth.login.alice.password': 'secret',
    [`auth.addr.${brick}.allow`]: '10.9.9.9',
  };

  it('lets a known user in from anywhere, and trusts it', async () => {
    expect(await verdict(texts, {}, { user: 'alice', password: 'secret' })).toEqual({ isTrusted: true });
  });

  it('refuses a wrong password, and a user without one', async () => {
    expect(await verdict(texts, {}, { user: 'alice', password: 'Secret' })).toEqual(no);
    expect(await verdict(texts, {}, { user: 'bob', password: '' })).toEqual(no);
  });

  it('leaves users that it does not know to the addresses', async () => {
    expect(await verdict(texts, { address: '10.9.9.9' }, { user: 'carol', password: 'x' })).toEqual(yes);
    expect(await verdict(texts, {}, { user: 'carol', password: 'x' })).toEqual(no);
  });

  it('is the only way in when strict', async () => {
    expect(await verdict(texts, { address: '10.9.9.9' }, { strict: true })).toEqual(no);
  });
});

describe('by the name of a certificate', () => {
  const texts = { [`auth.addr.${brick}.allow`]: '*', [`auth.login.${brick}.ssl-allow`]: 'alice, node1' };

  it('lets in those on the list, as far as the other checks do', async () => {
    expect(await verdict(texts, { tlsName: 'alice' })).toEqual(yes);
    expect(await verdict({ ...texts, [`auth.addr.${brick}.allow`]: '10.9.*' }, { tlsName: 'alice' })).toEqual(no);
  });

  it('refuses other names, and connections without one, whatever password they have', async () => {
    const login = { ...texts, [`auth.login.${brick}.allow`]: 'u', 'auth.login.u.password': 'p' };
    expect(await verdict(login, { tlsName: 'bob' }, { user: 'u', password: 'p' })).toEqual(no);
    expect(await verdict(login, {}, { user: 'u', password: 'p' })).toMatchObject({
      reason: expect.stringContaining('has no TLS'),
    });
  });

  it('leaves the unix socket to root on this host', async () => {
    expect(await verdict(texts, { kind: 'unix', address: '/run/brick.fop', port: 0 })).toEqual(yes);
  });
});
