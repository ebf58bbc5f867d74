import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigStore } from './store.ts';

let folder = '';
const file = () => join(folder, 'rscltcfg');
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-crsio-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const good = '[namespace osl]\nnodename = big-2\n';

it('writes a file that is its own alone, and keeps the mode of one that is there, also behind a link', () => {
  const store = new ConfigStore(file());
  expect(store.read()).toBe('');
  expect(store.save(good, false)).toEqual({ problem: null, isForeign: false });
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  chmodSync(file(), 0o640);
  symlinkSync('rscltcfg', join(folder, 'link'));
  const linked = new ConfigStore(join(folder, 'link'));
  linked.read();
  expect(linked.save(`# more\n${good}`, false).problem).toBe(null);
  expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
  expect(readFileSync(file(), 'utf8')).toBe(`# more\n${good}`);
  expect(statSync(file()).mode & 0o777).toBe(0o640);
  expect(readdirSync(folder).sort()).toEqual(['link', 'rscltcfg']);
});

it('does not write what the parser does not understand', () => {
  const store = new ConfigStore(file());
  store.read();
  expect(store.save('[namespace osl]\n', false)).toEqual({
    problem: `not saved: ${file()}:1: [namespace osl] has no nodename`,
    isForeign: false,
  });
  expect(existsSync(file())).toBe(false);
});

it('does not write over what somebody else has written, unless it is told to', () => {
  const store = new ConfigStore(file());
  store.read();
  writeFileSync(file(), 'foreign');
  expect(store.save(good, false)).toMatchObject({ isForeign: true });
  expect(readFileSync(file(), 'utf8')).toBe('foreign');
  expect(store.save(good, true).problem).toBe(null);
  expect(store.save(good, false).problem).toBe(null);
});

it('says what the system says, and leaves nothing behind', () => {
  const store = new ConfigStore(join(folder, 'none', 'rscltcfg'));
  store.read();
  expect(store.save(good, false).problem).toMatch(/^not saved: ENOENT/);
  mkdirSync(file());
  expect(() => new ConfigStore(file()).read()).toThrow(/EISDIR/);
});
