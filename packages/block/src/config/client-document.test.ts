import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseClientConfig } from './client-config.ts';
import { ClientDocument, freeName } from './client-document.ts';

const text = `# of big-2
[defaults]
port          = 5001   

# the fast one
[interface if0]
address       = 192.168.45.20

[namespace osl]
# who we are
nodename=big-2
nodekey = 0xbig2
[server big-9-1]
address = 192.168.45.10

# another namespace
[namespace two]
nodename = venus
`;

describe('a configuration that is changed', () => {
  it('is the same text when nothing is changed, whatever it is', () => {
    expect(new ClientDocument(text).text).toBe(text);
    const line = fc.oneof(
      fc.constantFrom(
        '[interface a]',
        '[namespace n]',
        '[server s]',
        '# c',
        '',
        'x = 1',
        ' nodename  =  y ',
        '[',
        'odd',
      ),
      fc.string({ unit: fc.constantFrom('a', '[', ']', '#', '=', ' ', '\t') }),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const whole = lines.map((one) => `${one}\n`).join('');
        expect(new ClientDocument(whole).text).toBe(whole);
      }),
    );
  });

  it('shows what is there', () => {
    const { interfaces, namespaces, defaults } = new ClientDocument(text);
    expect(interfaces.map(({ name }) => name)).toEqual(['if0']);
    expect(namespaces.map(({ name, servers }) => [name, servers.map((one) => one.name)])).toEqual([
      ['osl', ['big-9-1']],
      ['two', []],
    ]);
    expect(namespaces[0]!.values.get('nodename')).toBe('big-2');
    expect(defaults.get('port')).toBe('5001');
  });

  it('keeps comments, spaces and the order of what is not changed', () => {
    const document = new ClientDocument(text);
    document.changeNamespace('osl', 'os1', { nodename: 'mars', nodekey: '', namespaceid: '200' });
    document.addServer('os1', 'big-9-2', { address: '192.168.46.10' });
    document.addInterface('if1', { address: '192.168.46.20' });
    document.changeInterface('if0', 'if0', { address: '192.168.45.21' });
    expect(document.text).toBe(`# of big-2
[defaults]
port          = 5001   

# the fast one
[interface if0]
address       = 192.168.45.21

[interface if1]
address       = 192.168.46.20

[namespace os1]
# who we are
nodename=mars
namespaceid   = 200
[server big-9-1]
address = 192.168.45.10

[server big-9-2]
address       = 192.168.46.10

# another namespace
[namespace two]
nodename = venus
`);
    expect(parseClientConfig(document.text, 'f').namespaces.map(({ servers }) => servers.length)).toEqual([2, 0]);
  });

  it('loses with a section what belongs to it, and nothing else', () => {
    const document = new ClientDocument(text);
    document.removeInterface('if0');
    document.removeNamespace('osl');
    expect(document.text).toBe(
      '# of big-2\n[defaults]\nport          = 5001   \n\n# another namespace\n[namespace two]\nnodename = venus\n',
    );
    document.addServer('two', 's', { address: 'a', port: '5' });
    document.removeServer('two', 's');
    expect(document.namespaces[0]!.servers).toEqual([]);
    expect(() => document.removeServer('two', 's')).toThrow('there is no [server s] in namespace two');
  });

  it('begins with nothing', () => {
    const document = new ClientDocument('');
    document.addNamespace('osl', { nodename: 'big-2', nodekey: '', port: '' });
    document.addInterface('if0', { address: '10.0.0.1' });
    document.addServer('osl', 'a', { address: '10.0.0.2' });
    expect(document.text).toBe(
      '[interface if0]\naddress       = 10.0.0.1\n\n[namespace osl]\nnodename      = big-2\n\n[server a]\naddress       = 10.0.0.2\n',
    );
    expect(freeName('if', 0, ['if0', 'if2'])).toBe('if1');
  });

  it('is one that the parser understands, after any changes', () => {
    const step = fc.record({ what: fc.nat(5), a: fc.nat(2), b: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const document = new ClientDocument(text);
        for (const { what, a, b } of steps) {
          const name = `n${a}`;
          const space = document.namespaces[b];
          const hasInterface = document.interfaces.some((one) => one.name === name);
          const hasServer = space?.servers.some((one) => one.name === name);
          if (what === 0 && !hasInterface) document.addInterface(name, { address: 'h' });
          else if (what === 1 && hasInterface) document.removeInterface(name);
          else if (what === 2 && !document.namespaces.some((one) => one.name === name))
            document.addNamespace(name, { nodename: 'x' });
          else if (what === 3 && space && document.namespaces.length > 1) document.removeNamespace(space.name);
          else if (what === 4 && space && !hasServer) document.addServer(space.name, name, { address: 'h' });
          else if (what === 5 && space && hasServer) document.changeServer(space.name, name, name, { port: '7' });
        }
        const { namespaces, interfaces } = parseClientConfig(document.text, 'f');
        expect(interfaces.map(({ name }) => name)).toEqual(document.interfaces.map(({ name }) => name));
        expect(namespaces.map(({ servers }) => servers.map(({ name }) => name))).toEqual(
          document.namespaces.map(({ servers }) => servers.map(({ name }) => name)),
        );
      }),
    );
  });
});
