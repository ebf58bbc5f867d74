import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { importsOf, lintImports } from '../../scripts/lint-imports.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mortar-lint-'));
  for (const name of ['core', 'libc', 'rpc', 'xlators', 'host', 'glusterd', 'cli', 'testing'])
    file(`${name}/src/index.ts`, 'export {};\n');
});
afterEach(() => rmSync(root, { recursive: true }));

function file(path: string, text: string): void {
  const full = join(root, 'packages', path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
}

const lint = (): string[] => lintImports(root);

describe('directions between packages', () => {
  it.each([
    ['rpc/src/a.ts', "import { x } from '@mortar/core';"],
    ['xlators/src/cluster/a/index.ts', "import { x } from '@mortar/rpc/stream.ts';"],
    ['glusterd/src/a.ts', "import { options } from '@mortar/xlators/cluster/a/options.ts';"],
    ['glusterd/src/main.ts', "import { launchDaemon } from '@mortar/host/process/launch.ts';"],
    ['cli/src/a.ts', "import type { Request } from '@mortar/glusterd/protocol/requests.ts';"],
    ['rpc/src/a.test.ts', "import { x } from '@mortar/testing';"],
    ['host/src/a.ts', "import { z } from 'zod';"],
  ])('allow %s: %s', (path, text) => {
    file(path, text);
    expect(lint()).toEqual([]);
  });

  it.each([
    ['core/src/a.ts', "import { x } from '@mortar/rpc';", 'core must not import rpc'],
    ['rpc/src/a.ts', "import { x } from '@mortar/host';", 'rpc must not import host'],
    ['xlators/src/cluster/a/index.ts', "import type { x } from '@mortar/host';", 'xlators must not import host'],
    ['xlators/src/cluster/a/index.ts', "import { x } from '../../../../rpc/src/a.ts';", undefined],
    ['host/src/a.ts', "import { x } from '@mortar/testing';", 'host must not import testing'],
    [
      'glusterd/src/a.ts',
      "import { x } from '@mortar/xlators/cluster/a/index.ts';",
      'glusterd must not import xlators',
    ],
    ['glusterd/src/a.ts', "import { x } from '@mortar/host';", 'glusterd must not import host'],
    ['cli/src/a.ts', "import { x } from '@mortar/glusterd/store.ts';", 'cli must not import glusterd'],
    ['core/src/a.ts', "const x = await import('@mortar/libc');", 'core must not import libc'],
    ['core/src/a.ts', "export * from '@mortar/libc';", 'core must not import libc'],
  ])('refuse %s: %s', (path, text, message) => {
    file(path, `\n${text}\n`);
    if (message === undefined) return expect(lint()).toEqual([]);
    expect(lint()).toEqual([`packages/${path}:2: ${message}`]);
  });

  it('want a direction for every package', () => {
    file('new/src/index.ts', '');
    expect(lint()).toEqual(['packages/new: no direction is set for this package']);
  });
});

describe('translators', () => {
  it('do not import one another', () => {
    file('xlators/src/cluster/a/index.ts', "import { x } from '../b/x.ts';");
    file('xlators/src/cluster/b/x.ts', 'export const x = 1;');
    file('xlators/src/cluster/c/index.ts', "import { y } from '@mortar/xlators/cluster/b/x.ts';");
    expect(lint()).toEqual([
      'packages/xlators/src/cluster/a/index.ts:1: translator cluster/a must not import translator cluster/b',
      'packages/xlators/src/cluster/c/index.ts:1: translator cluster/c must not import translator cluster/b',
    ]);
  });

  it('share what is in lib', () => {
    file('xlators/src/lib/x.ts', 'export const x = 1;');
    file('xlators/src/cluster/a/index.ts', "import { x } from '../../lib/x.ts';");
    expect(lint()).toEqual([]);
  });
});

describe('ports', () => {
  it.each([
    ["import { readFileSync } from 'node:fs';", 'node:fs'],
    ["import net from 'net';", 'net'],
    ['const t = Date.now();', 'Date.now'],
    ['const t = new Date();', 'new Date()'],
    ['const r = Math.random();', 'Math.random'],
    ['setTimeout(() => {}, 1);', 'timers'],
    ['const t = performance.now();', 'performance.now'],
  ])('are not gone around: %s', (text, name) => {
    file('xlators/src/cluster/a/index.ts', text);
    expect(lint()).toEqual([`packages/xlators/src/cluster/a/index.ts:1: ${name} is reached only through ports here`]);
    rmSync(join(root, 'packages/xlators/src/cluster'), { recursive: true });
    for (const path of ['libc/src/a.ts', 'rpc/src/transports/a.ts', 'xlators/src/storage/posix/a.ts', 'host/src/a.ts'])
      file(path, text);
    expect(lint()).toEqual([]);
  });

  it.each([
    '// Date.now() is not to be called',
    "import type { Stats } from 'node:fs';",
    'clock.setTimeout(1);',
    'new Date(ms);',
  ])('are not meant by: %s', (text) => {
    file('core/src/a.ts', text);
    expect(lint()).toEqual([]);
  });
});

describe('cycles', () => {
  it('are found across folders', () => {
    file('core/src/a/x.ts', "import { y } from '../b/y.ts';");
    file('core/src/b/y.ts', "import { x } from '../a/x.ts';");
    expect(lint()).toEqual(['cycle of imports: core/src/a/x.ts -> core/src/b/y.ts -> core/src/a/x.ts']);
  });

  it('of types, and within a folder, are none', () => {
    file('core/src/a/x.ts', "import type { Y } from '../b/y.ts';");
    file('core/src/b/y.ts', "import { x } from '../a/x.ts';\nimport { z } from './z.ts';");
    file('core/src/b/z.ts', "import { y } from './y.ts';");
    expect(lint()).toEqual([]);
  });
});

it('reads every form of import', () => {
  const text = [
    "import a from 'a';",
    "import {\n  b,\n  type c,\n} from 'b';",
    "import * as d from 'd';",
    "import 'e';",
    "export { f } from 'f';",
    "export * from 'g';",
    "import type { h } from 'h';",
    "const i = await import('i');",
    "const no = 'import x from y';",
  ].join('\n');
  expect(importsOf(text).map((found: { specifier: string }) => found.specifier)).toEqual([...'abdefghi']);
});
