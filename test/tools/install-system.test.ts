/** `npm run install-system` and `uninstall-system`, below a PREFIX. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { root } from '../support/sandbox.ts';

let prefix: string;
beforeEach(() => {
  prefix = mkdtempSync(join(tmpdir(), 'mortar-install-'));
});
afterEach(() => rmSync(prefix, { recursive: true }));

function script(what: string) {
  const { status, stderr } = spawnSync('bash', [join(root, 'scripts/install-system.sh'), what], {
    env: { ...process.env, PREFIX: prefix },
    encoding: 'utf8',
  });
  return { status, stderr };
}

/** Every file below the prefix. */
function installed(): string[] {
  return readdirSync(prefix, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(prefix.length))
    .sort();
}

function place(path: string): string {
  mkdirSync(dirname(join(prefix, path)), { recursive: true });
  return join(prefix, path);
}

it('links every command of bin/, mount.glusterfs where mount(8) looks', () => {
  expect(script('install').status).toBe(0);
  const commands = readdirSync(join(root, 'bin')).filter((name) => name !== 'mount.glusterfs');
  expect(installed()).toEqual(['/sbin/mount.glusterfs', ...commands.map((name) => `/usr/local/sbin/${name}`)].sort());
  for (const link of installed()) expect(existsSync(join(prefix, link)), link).toBe(true);
  expect(readlinkSync(join(prefix, '/usr/local/sbin/gluster'))).toBe(join(root, 'bin/gluster'));
});

it('may be run again, and takes away what it linked', () => {
  script('install');
  expect(script('install')).toEqual({ status: 0, stderr: '' });
  expect(script('uninstall').status).toBe(0);
  expect(installed()).toEqual([]);
  expect(script('uninstall').status).toBe(0);
});

it.each(['/sbin/mount.glusterfs', '/usr/local/sbin/gluster'])('changes nothing where %s is somebody else’s', (path) => {
  writeFileSync(place(path), 'theirs');
  const { status, stderr } = script('install');
  expect(status).toBe(1);
  expect(stderr).toContain(`${path} exists and is not of this checkout`);
  expect(stderr).toContain('nothing was changed');
  expect(installed()).toEqual([path]);
  script('uninstall');
  expect(readFileSync(join(prefix, path), 'utf8')).toBe('theirs');
});

it('leaves the links of another checkout, also when they lead nowhere', () => {
  symlinkSync('/another/bin/gluster', place('/usr/local/sbin/gluster'));
  expect(script('install').status).toBe(1);
  script('uninstall');
  expect(readlinkSync(join(prefix, '/usr/local/sbin/gluster'))).toBe('/another/bin/gluster');
});
