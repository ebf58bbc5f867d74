#!/usr/bin/env node
// Bundles and runs the simulation of replica sets: `npm run sim -- --seeds N [--from S] [--trace]` (docs/simulation.md);
// with `pool` as the first word that of the management's pool (docs/pool.md), with `volume` that of a distributed volume.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdir = join(root, 'node_modules', '.cache', 'mortar-sim');
mkdirSync(outdir, { recursive: true });
// One file a run: several may be under way.
const outfile = join(outdir, `sim-${process.pid}.mjs`);
const words = process.argv.slice(2);
const others = { pool: 'pool-sim', volume: 'volume-sim' };
const folder = others[words[0]] ?? 'sim';
if (folder !== 'sim') words.shift();
await build({
  absWorkingDir: root,
  entryPoints: [`packages/testing/src/${folder}/main.ts`],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  sourcemap: 'inline',
  external: ['koffi'],
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
process.exitCode =
  spawnSync(process.execPath, ['--enable-source-maps', ...process.execArgv, outfile, ...words], {
    stdio: 'inherit',
  }).status ?? 1;
