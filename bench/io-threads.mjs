#!/usr/bin/env node
// Bundles and runs the benchmark of performance/io-threads: `node bench/io-threads.mjs [SECONDS]`, as root.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..');
const outdir = join(root, 'node_modules', '.cache', 'mortar-bench');
mkdirSync(outdir, { recursive: true });
const outfile = join(outdir, 'io-threads.mjs');
await build({
  absWorkingDir: here,
  entryPoints: ['io-threads.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['koffi'],
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
const seconds = process.argv[2] ?? '5';
process.exitCode =
  spawnSync(process.execPath, [...process.execArgv, outfile, seconds, root], { stdio: 'inherit' }).status ?? 1;
