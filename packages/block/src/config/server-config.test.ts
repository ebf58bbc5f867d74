import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from './sections.ts';
import { parseServerConfig } from './server-config.ts';

/** The published example, and a device. */
const example = `
[namespace osl]
namespaceid = 200
protocol    = tcp
port        = 5000

[server big-9]
serverid = 1

[interface if1]
address     = 192.168.45.10

[interface if2]
address     = 192.168.46.10
port = 5001

[clients]
big-2 0xbig2
venus 0xvenus

# what is served
[device tvol1]
type = file
path = /srv/tvol1
clients = big-2, venus
bytes-per-second = 100m
`;

function problemsOf(text: string): readonly string[] {
  try {
    parseServerConfig(text, 'f');
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

const base = '[namespace n]\n[server s]\n';

describe('rssrvcfg', () => {
  it('names the namespace, the server, its interfaces, clients and devices', () => {
    const config = parseServerConfig(example, 'rssrvcfg');
    expect(config.namespace).toEqual({ name: 'osl', id: 200 });
    expect(config.server).toEqual({ name: 'big-9', id: 1 });
    expect(config.interfaces).toEqual([
      { name: 'if1', address: '192.168.45.10', port: 5000, discovery: 'off', tls: 'off' },
      { name: 'if2', address: '192.168.46.10', port: 5001, discovery: 'off', tls: 'off' },
    ]);
    expect([...config.clients]).toEqual([
      ['big-2', '0xbig2'],
      ['venus', '0xvenus'],
    ]);
    expect(config.nbd).toMatchObject({ listen: true, address: '127.0.0.1', port: 10809, tls: 'off', tlsFiles: {} });
    expect(config.devices).toEqual([
      {
        name: 'tvol1',
        source: { type: 'file', path: '/srv/tvol1', readOnly: false, createBytes: undefined },
        description: '',
        clients: ['big-2', 'venus'],
        mayResize: false,
        limits: { bytesPerSecond: 100 * 2 ** 20 },
        clientLimits: {},
        isMember: false,
        isPaused: false,
      },
    ]);
  });

  it('reads how interfaces speak TLS, and who needs no key then', () => {
    const server = 'tls=required\ntls-certificate=/c\ntls-key=/k\ntls-authority=/a\n';
    const text = `[namespace osl]\n[server s]\n${server}[interface a]\naddress=a\n[interface b]\naddress=b\ntls=off\n[clients]\nbig-2 -`;
    const { interfaces, tlsFiles } = parseServerConfig(text, 'f');
    expect(interfaces.map(({ tls }) => tls)).toEqual(['required', 'off']);
    expect(tlsFiles).toEqual({ certificate: '/c', key: '/k', authority: '/a' });
    expect(problemsOf('[namespace osl]\n[server s]\n[interface a]\naddress=a\ntls=allowed')).toEqual([
      'f:2: tls = allowed: tls-certificate and tls-key, or tls-keys are expected with it',
    ]);
    expect(problemsOf(text.replace('tls-authority=/a\n', ''))).toEqual([
      "f:11: client 'big-2' has no key: tls and tls-authority (or tls-keys) in [server] would prove who it is",
    ]);
  });

  it('reads pools, and who may make devices in them', () => {
    const text = `[namespace osl]\n[server s]\nadministrators = big-2\n[clients]\nbig-2 0xbig2\n[pool disks]\npath=/srv/pool\ncapacity=10g\n[pool v]\nvolume=vol1\nshard=1m`;
    const { pools, administrators } = parseServerConfig(text, 'f');
    expect(administrators).toEqual(['big-2']);
    expect(pools).toEqual([
      { name: 'disks', place: { type: 'file', path: '/srv/pool' }, capacityBytes: 10 * 2 ** 30 },
      {
        name: 'v',
        place: {
          type: 'volume',
          volume: 'vol1',
          servers: [{ host: 'localhost' }],
          shardBytes: 2 ** 20,
          leaseMs: 20_000,
        },
        capacityBytes: undefined,
      },
    ]);
    expect(problemsOf(`${base}[pool x]\ntype=volume\npath=/a\n[pool y]`)).toEqual([
      "f:5: 'path' does not go with type = volume",
      "f:3: [pool x] needs 'volume'",
      "f:6: [pool y] needs 'path'",
    ]);
    expect(problemsOf('[namespace osl]\n[server s]\nadministrators = big-2')).toEqual([
      "f:2: administrator 'big-2' has no key in [clients]: nobody could prove to be that one",
    ]);
  });

  it('reads devices of volumes', () => {
    const text = `${base}[device a]\ntype=volume\nvolume=v\n[device b]\ntype=volume\nvolume=v\nservers=one two:24008 /run/g.sock\nvolume-device=x\nsize=1g\ncreate=yes\nshard=1m\nlease=5\nforce=yes`;
    const usual = { type: 'volume', volume: 'v', servers: [{ host: 'localhost' }], device: 'a', readOnly: false };
    expect(parseServerConfig(text, 'f').devices.map(({ source }) => source)).toEqual([
      { ...usual, createBytes: undefined, shardBytes: 64 * 2 ** 20, leaseMs: 20_000, force: false },
      {
        ...usual,
        servers: [{ host: 'one' }, { host: 'two', port: 24008 }, { socket: '/run/g.sock' }],
        device: 'x',
        createBytes: 2 ** 30,
        shardBytes: 2 ** 20,
        leaseMs: 5000,
        force: true,
      },
    ]);
    expect(problemsOf(`${base}[device a]\ntype=volume\nvolume=v\nservers=a:b\nshard=3m`)).toEqual([
      'f:6: servers = a:b: hosts (HOST or HOST:PORT), or the path of a socket is expected',
      "f:3: [device a]: 'shard' is a power of 2",
    ]);
  });

  it('knows which devices are members of others', () => {
    const config = parseServerConfig(
      `${base}[device a]\ntype=memory\nsize=1g\n[device b]\ntype=memory\nsize=512k\n[device c]\ntype=stripe\nmembers = a b\nunit = 4k`,
      'f',
    );
    expect(config.devices.map(({ name, isMember }) => [name, isMember])).toEqual([
      ['a', true],
      ['b', true],
      ['c', false],
    ]);
  });

  it.each([
    ['', ['f:1: [namespace NAME] is missing', 'f:1: [server NAME] is missing']],
    ['x = 1', ["f:1: 'x = 1' stands before the first section, such as [namespace NAME]"]],
    [`${base}[device d]\ntyp = memory`, ["f:4: 'typ' is not known in [device d]; did you mean 'type'?"]],
    [`${base}[devices d]`, ['f:3: [devices] is no section; did you mean [device]?']],
    [`${base}[device]`, ['f:3: [device NAME] is expected: its name is missing']],
    [`${base}[nbd x]`, ['f:3: [nbd] is expected, without a name']],
    [`${base}[device a/b]\ntype=memory\nsize=1k`, ["f:3: 'a/b': a name of letters, digits, and . _ - @ is expected"]],
    [`${base}[nbd]\nport = 99999`, ['f:4: port = 99999: a whole number from 0 to 65535 is expected']],
    [`${base}[nbd]\nport = 1\nport = 2`, ["f:5: 'port' was already set in line 4"]],
    [
      `${base}[nbd]\ntls = required`,
      ['f:3: tls = required: tls-certificate and tls-key, or tls-keys are expected with it'],
    ],
    [`${base}[device d]\ntype=memory`, ["f:3: [device d] needs 'size'"]],
    [`${base}[device d]\ntype=memory\nsize=-1`, ['f:5: size = -1: a size such as 512, 64k or 10g is expected']],
    [`${base}[device d]\ntype=memory\nsize=1k\npath=/x`, ["f:6: 'path' does not go with type = memory"]],
    [
      `${base}[device d]\ndescription = nothing`,
      ['f:3: [device d] needs a type: memory, file, volume, concat or stripe'],
    ],
    [`${base}[device d]\ntype=concat\nmembers=e`, ["f:3: [device d]: there is no device 'e'"]],
    [`${base}[device d]\ntype=concat\nmembers=d`, ['f:3: [device d] would be a member of itself']],
    [`${base}[clients]\nbig-2`, ["f:4: 'big-2': NAME KEY is expected"]],
    [`${base}[interface i]`, ['f:3: [interface i] has no address']],
    [`${base}[server t]`, ['f:3: there is one [server]: this one']],
  ])('says of %j what is wrong, where, and what is expected', (text, expected) => {
    for (const problem of expected) expect(problemsOf(text)).toContain(problem);
  });

  it('fails for any text with reasons, in no other way', () => {
    const word = fc.constantFrom(
      '[device d]',
      '[nbd]',
      'type',
      '=',
      'memory',
      'members',
      'd',
      '\n',
      ' ',
      'size',
      '1k',
      '[',
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(word, { maxLength: 40 }).map((words) => base + words.join('')),
    );
    fc.assert(fc.property(text, (one) => void problemsOf(one)));
  });
});
