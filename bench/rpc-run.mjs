#!/usr/bin/env node
// Bundles and runs a benchmark of the RPC: `node bench/rpc-run.mjs echo [SECONDS]`, `node bench/rpc-run.mjs soak [FRAMES]`.
// Node's own flags go before it: `node --cpu-prof bench/rpc-run.mjs echo` profiles both ends.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const outdir = join(here, '..', 'node_modules', '.cache', 'mortar-bench');
mkdirSync(outdir, { recursive: true });
const [name = 'echo', ...rest] = process.argv.slice(2);
const outfile = join(outdir, `rpc-${name}.mjs`);
await build({
  absWorkingDir: here,
  entryPoints: [`rpc-${name}.ts`],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
process.exitCode =
  spawnSync(process.execPath, [...process.execArgv, outfile, ...rest], { stdio: 'inherit' }).status ?? 1;
