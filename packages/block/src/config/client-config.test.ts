import { describe, expect, it } from 'vitest';
import { parseClientConfig } from './client-config.ts';
import { ConfigError } from './sections.ts';

const published = `[defaults]
protocol      = tcp
port          = 5000

[interface if0]
address       = 192.168.45.20

[interface if1]
address       = 192.168.46.20

[namespace os1]
namespaceid   = 200
nodename      = big-2
nodekey       = 0xbig-2

[server big-9-1]
address       = 192.168.45.10

[server big-9-2]
address       = 192.168.46.10
`;

function problemsOf(text: string): readonly string[] {
  try {
    parseClientConfig(text, 'f');
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('rscltcfg', () => {
  it('is read as it was published', () => {
    expect(parseClientConfig(published, 'f')).toMatchObject({
      attach: 'auto',
      interfaces: [
        { name: 'if0', address: '192.168.45.20' },
        { name: 'if1', address: '192.168.46.20' },
      ],
      namespaces: [
        {
          name: 'os1',
          nodeName: 'big-2',
          nodeKey: '0xbig-2',
          checked: false,
          lossMs: 30_000,
          takeOverMs: 2000,
          answerMs: 120_000,
          directory: '/dev/av0',
          servers: [
            { name: 'big-9-1', address: '192.168.45.10', port: 5000 },
            { name: 'big-9-2', address: '192.168.46.10', port: 5000 },
          ],
        },
      ],
    });
  });

  it('has ports, checksums and what is done on loss', () => {
    const text = `${published}[namespace b]\nnodename=x\nport=6000\nchecksum=yes\non-loss=error\n[server s]\naddress=h\n[server t]\naddress=h\nport=7000`;
    expect(parseClientConfig(text, 'f').namespaces[1]).toMatchObject({
      checked: true,
      lossMs: 0,
      servers: [
        { name: 's', port: 6000 },
        { name: 't', port: 7000 },
      ],
    });
  });

  it('says how volumes become devices of this machine, and where those are', () => {
    const text = `[defaults]\nattach=loop\ndirectory=/dev/x\n[namespace a]\nnodename=n\n[namespace b]\nnodename=n\ndirectory=/dev/y`;
    expect(parseClientConfig(text, 'f')).toMatchObject({
      attach: 'loop',
      namespaces: [{ directory: '/dev/x' }, { directory: '/dev/y' }],
    });
    expect(problemsOf('[defaults]\nattach=iscsi\ndirectory=av0\n[namespace a]\nnodename=n')).toEqual([
      'f:2: attach = iscsi: one of auto, nbd, loop, file, none is expected',
      'f:3: directory = av0: an absolute path is expected',
    ]);
  });

  it.each([
    ['', 'f:1: [namespace NAME] is missing'],
    ['[server s]\naddress=a', 'f:1: [server s] stands before the first [namespace NAME]'],
    ['[namespace n]', 'f:1: [namespace n] has no nodename'],
    ['[namespace n]\nnodename=x\n[server s]', 'f:3: [server s] has no address'],
    ['[namespace n]\nnodname=x', "f:2: 'nodname' is not known in [namespace n]; did you mean 'nodename'?"],
    ['[clients]\na b', 'f:1: [clients] is no section'],
  ])('says of %j what is wrong', (text, expected) => {
    expect(problemsOf(text)).toContain(expected);
  });

  it('says how servers of a namespace are spoken to', () => {
    const text =
      '[defaults]\ntls=required\ntls-authority=/ca\n[namespace a]\nnodename=x\n[namespace b]\nnodename=y\ntls=off\n[namespace c]\nnodename=z\ntls=allowed\ntls-keys=/k';
    expect(parseClientConfig(text, 'f').namespaces.map(({ tls }) => tls)).toEqual([
      { mode: 'required', files: { authority: '/ca' }, client: 'x' },
      null,
      { mode: 'allowed', files: { authority: '/ca', keys: '/k' }, client: 'z' },
    ]);
    expect(problemsOf('[namespace a]\nnodename=x\ntls=required\ntls-certificate=/c')).toEqual([
      'f:1: tls = required: tls-authority, or tls-keys, is expected with it: else any server would be believed',
      'f:1: tls = required: tls-certificate and tls-key go together',
    ]);
  });
});
