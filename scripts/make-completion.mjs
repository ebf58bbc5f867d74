#!/usr/bin/env node
// Writes contrib/bash-completion/gluster from the command line's table of commands. A test compares.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outfile = join(root, 'node_modules', '.cache', 'mortar-completion.mjs');
await build({
  absWorkingDir: root,
  entryPoints: ['packages/cli/src/completion.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['./commands/*', './help.ts'],
  logLevel: 'warning',
});
const { bashCompletion } = await import(pathToFileURL(outfile).href);
const target = join(root, 'contrib', 'bash-completion', 'gluster');
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, bashCompletion());
