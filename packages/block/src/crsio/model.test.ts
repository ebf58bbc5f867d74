import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseClientConfig } from '../config/client-config.ts';
import type { Explored } from '../rsio/explorer/explorer.ts';
import { type Effect, Model } from './model.ts';
import { screenOf } from './screen.ts';

const base = `[interface if0]
address = 10.0.0.20

[namespace osl]
nodename = big-2
nodekey = 0xbig2

[server big-9-1]
address = 10.0.0.9
`;

function modelOf(text = ''): Model {
  return new Model({ text, addresses: ['10.0.0.20', '10.0.1.20'], hostName: 'mars' });
}

/** Names of keys; anything else is typed. */
function press(model: Model, ...keys: string[]): Effect | null {
  let effect: Effect | null = null;
  for (const key of keys)
    for (const one of /^[A-Z][A-Z0-9_]+$/.test(key) ? [key] : [...key]) effect = model.press(one) ?? effect;
  return effect;
}

const shown = (model: Model, width = 80, height = 24) =>
  screenOf(model, '/etc/rscltcfg', width, height).lines.map(
    ({ text, style }) => `${style === 'chosen' ? '>' : ' '}${text.trimEnd()}`,
  );
const chosen = (model: Model) => shown(model).find((line) => line.startsWith('>'));

const server = (namespace: string, name: string, ...addresses: [string, number][]): Explored['servers'][number] => ({
  namespace,
  namespaceId: 200,
  server: name,
  serverId: 1,
  addresses: addresses.map(([address, port]) => ({ address, port })),
  ways: [],
});
const found = (...servers: Explored['servers'][number][]): Explored => ({ servers, interfaces: [], problems: [] });

describe('crsio', () => {
  it('makes a configuration from nothing', () => {
    const model = modelOf();
    press(model, 'ENTER', 'ENTER', '10.0.0.20', 'ENTER');
    expect(chosen(model)).toBe('>   if0              10.0.0.20');
    press(model, 'END', 'ENTER', 'osl', 'TAB', '200', 'TAB', 'CTRL_U', 'big-2', 'TAB', '0xbig2', 'TAB', 'ENTER');
    expect(chosen(model)).toBe('>   osl              id 200, this client: big-2');
    expect(model.isChanged).toBe(true);
    const effect = press(model, 'F3');
    expect(effect).toMatchObject({ kind: 'save', overwrite: false });
    expect(parseClientConfig(model.text, 'f')).toMatchObject({
      interfaces: [{ name: 'if0', address: '10.0.0.20' }],
      namespaces: [{ name: 'osl', nodeName: 'big-2', nodeKey: '0xbig2', servers: [] }],
    });
    model.saved(model.text, null);
    expect(model.isChanged).toBe(false);
    expect(press(model, 'F10')).toEqual({ kind: 'quit' });
  });

  it('finds a namespace, then its servers', () => {
    const model = modelOf(base);
    press(model, 'F7');
    expect(shown(model).slice(2, 7)).toEqual([
      '  Action',
      ' ',
      '>  Find NEW Namespace',
      '   Add NEW Namespace',
      '   Add Interface 10.0.1.20',
    ]);
    press(model, 'ENTER', '10.0.1.9:5009');
    expect(press(model, 'ENTER')).toEqual({
      kind: 'explore',
      search: 1,
      namespace: '',
      seeds: [
        { address: '10.0.1.9', port: 5009 },
        { address: '10.0.0.9', port: null },
      ],
    });
    expect(shown(model)[2]).toBe('  Find NEW Namespace: looking ...');
    model.explored(1, found(server('osl', 'big-9', ['10.0.0.9', 5000]), server('two', 'big-7', ['10.0.1.9', 5009])));
    expect(shown(model).slice(2, 6)).toEqual([
      '  Namespaces that were found',
      ' ',
      '>  two              id 200, servers: big-7',
      ' ',
    ]);
    press(model, 'ENTER', 'TAB', 'TAB', 'TAB', '0xkey', 'TAB', 'ENTER');
    expect(chosen(model)).toBe('>   two              id 200, this client: mars');
    press(model, 'F7');
    expect(chosen(model)).toBe('>  Find NEW Namespace Servers');
    press(model, 'ENTER');
    // What was typed there before is still there.
    expect(press(model, 'ENTER')).toMatchObject({ kind: 'explore', search: 2, namespace: 'two' });
    model.explored(2, found(server('two', 'big-7', ['10.0.1.9', 5009], ['10.0.0.7', 5000])));
    expect(shown(model).slice(4, 7)).toEqual([
      '>  all 2',
      '   big-7            10.0.1.9/5009',
      '   big-7            10.0.0.7/5000',
    ]);
    press(model, 'ENTER');
    expect(model.message).toBe('2 server(s) added');
    expect(parseClientConfig(model.text, 'f').namespaces[1]).toMatchObject({
      name: 'two',
      servers: [
        { name: 'big-7-1', address: '10.0.1.9', port: 5009 },
        { name: 'big-7-2', address: '10.0.0.7', port: 5000 },
      ],
    });
    // They are not found again.
    press(model, 'F7', 'ENTER', 'ENTER');
    model.explored(3, found(server('two', 'big-7', ['10.0.1.9', 5009], ['10.0.0.7', 5000])));
    expect(model.message).toBe('no other server than those here was found');
  });

  it('goes on without an answer that nobody waits for any more', () => {
    const model = modelOf(base);
    press(model, 'F7', 'ENTER', 'ENTER', 'ESCAPE');
    model.explored(1, found(server('two', 'big-7', ['10.0.1.9', 5009])));
    expect(model.mode.kind).toBe('list');
    press(model, 'F7', 'ENTER', 'ENTER');
    model.explored(1, found(server('two', 'big-7', ['10.0.1.9', 5009])));
    expect(model.mode.kind).toBe('busy');
    model.explored(2, { servers: [], interfaces: [], problems: ['10.0.0.9/5000: no answer'] });
    expect(model.message).toBe('no namespace was found: 10.0.0.9/5000: no answer');
  });

  it('refuses what the parser would, in the form', () => {
    const model = modelOf(base);
    press(model, 'DOWN', 'ENTER', 'CTRL_U', 'F3');
    expect(model.message).toBe('Name: a value is expected');
    press(model, 'a b', 'TAB', 'x', 'ENTER');
    expect(model.message).toBe('Name: a name of letters, digits, and . _ - @ is expected');
    press(model, 'CTRL_U', 'if0', 'TAB', 'ENTER');
    expect(model.message).toBe('there is an interface if0 already');
    press(model, 'UP', 'BACKSPACE', '7', 'LEFT', 'LEFT', 'DELETE', 'x', 'F3');
    expect(model.text).toContain('[interface ix7]\naddress       = x\n');
  });

  it('changes and takes away what the cursor is on', () => {
    const model = modelOf(base);
    press(model, 'DOWN', 'DOWN', 'DOWN', 'ENTER', 'TAB', 'CTRL_U', '10.0.0.10', 'TAB', '5009', 'ENTER');
    expect(model.text).toContain('[server big-9-1]\naddress = 10.0.0.10\nport          = 5009\n');
    expect(chosen(model)).toBe('>     big-9-1          10.0.0.10/5009');
    press(model, 'F8');
    expect(model.message).toBe('server big-9-1 is taken away');
    press(model, 'HOME', 'DELETE', 'F8');
    expect(model.text).toBe('[namespace osl]\nnodename = big-2\nnodekey = 0xbig2\n\n');
  });

  it('does not leave with changes that are not saved, unless told to', () => {
    const model = modelOf(base);
    press(model, 'F8');
    expect(press(model, 'F10')).toBe(null);
    expect(model.message).toMatch(/is not saved/);
    expect(press(model, 'n')).toBe(null);
    expect(press(model, 'F10', 'F3')).toMatchObject({ kind: 'save' });
    model.saved(model.text, 'not saved: EIO');
    expect([model.message, model.isChanged]).toEqual(['not saved: EIO', true]);
    expect(press(model, 'F10', 'y')).toEqual({ kind: 'quit' });
  });

  it('overwrites what somebody else has written only when asked twice', () => {
    const model = modelOf(base);
    expect(press(model, 'F3')).toMatchObject({ overwrite: false });
    model.saved(model.text, 'changed by somebody else', true);
    expect(press(model, 'F3')).toMatchObject({ overwrite: true });
    model.saved(model.text, null);
    expect(press(model, 'F3')).toMatchObject({ overwrite: false });
  });

  it('stands any keys on any screen, and never makes what the parser does not understand', () => {
    const key = fc.constantFrom(
      ...['UP', 'DOWN', 'LEFT', 'RIGHT', 'HOME', 'END', 'TAB', 'SHIFT_TAB', 'ENTER', 'ESCAPE', 'BACKSPACE', 'DELETE'],
      ...['F1', 'F3', 'F7', 'F8', 'F10', 'CTRL_U', 'PAGE_UP', 'a', '0', '7', '.', '[', '#', '=', ' ', 'é', 'NOTHING'],
    );
    fc.assert(
      fc.property(
        fc.array(key, { maxLength: 120 }),
        fc.nat(100),
        fc.integer({ min: 1, max: 40 }),
        (keys, width, height) => {
          const model = modelOf(base);
          for (const one of keys) {
            const effect = model.press(one);
            if (effect?.kind === 'explore')
              model.explored(effect.search, found(server('two', 'a', ['h', 1], ['i', 2])));
            if (effect?.kind === 'save') model.saved(effect.text, null);
            const { lines, cursor } = screenOf(model, 'f', width, height);
            expect(lines.length).toBe(height);
            expect(lines.every(({ text }) => text.length === width)).toBe(true);
            if (cursor) expect(cursor.line).toBeGreaterThanOrEqual(0);
          }
          if (/^\[namespace/m.test(model.text)) parseClientConfig(model.text, 'f');
        },
      ),
    );
  });
});
