#!/usr/bin/env node
// Bundles and runs main.ts: `node bench/fuse/run.mjs [--rounds N] [--seconds S] [--pin same|cross] [--only TEXT]`.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
// Below node_modules, so that koffi is found from there.
const outdir = join(here, '..', '..', 'node_modules', '.cache', 'mortar-bench-fuse');
mkdirSync(outdir, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: ['main.ts', 'server.ts'],
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['koffi'],
  logLevel: 'warning',
});
const args = [join(outdir, 'main.mjs'), join(outdir, 'server.mjs'), join(here, '..', 'c'), ...process.argv.slice(2)];
process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
