#!/usr/bin/env node
// Writes contrib/bash-completion/gluster and contrib/zsh-completion/_gluster from the command line's table of commands. A test compares.
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
const { bashCompletion, zshCompletion } = await import(pathToFileURL(outfile).href);
for (const [file, text] of [
  ['bash-completion/gluster', bashCompletion()],
  ['zsh-completion/_gluster', zshCompletion()],
]) {
  const target = join(root, 'contrib', file);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}
