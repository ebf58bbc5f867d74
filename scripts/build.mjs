#!/usr/bin/env node
// Bundles the programs into dist/. With --if-stale does nothing when dist/ is newer than all sources.
// Files are put in place by rename and old chunks are kept for a day: a running daemon may still load one.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { writeRegistry } from './generate-registry.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const stamp = join(dist, '.built');
const keepChunksMs = 24 * 3600 * 1000;

/** Daemons share chunks, and load translators when a volfile names them. */
const daemons = {
  glusterd: 'packages/glusterd/src/main.ts',
  glusterfsd: 'packages/brick/src/main.ts',
  glusterfs: 'packages/fuse-mount/src/main.ts',
  rssrv: 'packages/block/src/server/main.ts',
  rsiod: 'packages/block/src/client/main.ts',
};
/** Commands that start often and end soon: one file each. */
const commands = {
  gluster: 'packages/cli/src/main.ts',
  'mount.glusterfs': 'packages/fuse-mount/src/mount-helper.ts',
  gf_attach: 'packages/brick/src/gf-attach.ts',
  rsslogcat: 'packages/block/src/server/rsslogcat.ts',
  rsclogcat: 'packages/block/src/client/rsclogcat.ts',
  rsconfig: 'packages/block/src/client/rsconfig.ts',
  crsio: 'packages/block/src/crsio/main.ts',
  // Started by rsiod.
  'rsiod-keeper': 'packages/block/src/attach/keeper/main.ts',
};

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Kept names would cost a defineProperty each time a closure is made; without minifying, names stay anyway.
  sourcemap: 'linked',
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  // Native parts, or found by their own means at run time.
  external: ['koffi', 'level', 'classic-level', 'msgpackr', 'fuse-native'],
  // CommonJS dependencies in an ESM bundle ask for `require`.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
  write: false,
};

function newestSource() {
  let newest = 0;
  const visit = (path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    else if (!path.endsWith('.test.ts')) newest = Math.max(newest, stat.mtimeMs);
  };
  for (const name of readdirSync(join(root, 'packages'))) visit(join(root, 'packages', name, 'src'));
  for (const file of ['scripts/build.mjs', 'scripts/generate-registry.mjs', 'package-lock.json'])
    visit(join(root, file));
  return newest;
}

function isStale() {
  const built = statSync(stamp, { throwIfNoEntry: false });
  return !built || built.mtimeMs < newestSource();
}

function present(entries) {
  return Object.fromEntries(
    Object.entries(entries).filter(([name, source]) => {
      if (existsSync(join(root, source))) return true;
      console.error(`build: ${name} is left out: ${source} does not exist`);
      return false;
    }),
  );
}

function put({ path, contents }) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}

function removeOldChunks(current) {
  const folder = join(dist, 'chunks');
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat && !current.has(path) && Date.now() - stat.mtimeMs > keepChunksMs) unlinkSync(path);
  }
}

async function main() {
  if (process.argv.includes('--if-stale') && !isStale()) return;
  writeRegistry();
  const begun = new Date();
  const results = await Promise.all([
    build({ ...common, entryPoints: present(daemons), splitting: true, chunkNames: 'chunks/[name]-[hash]' }),
    ...Object.entries(present(commands)).map(([name, source]) => build({ ...common, entryPoints: { [name]: source } })),
  ]);
  const files = results.flatMap((result) => result.outputFiles);
  // Chunks before the programs that name them.
  const isProgram = (file) => dirname(file.path) === dist;
  for (const file of files.filter((file) => !isProgram(file))) put(file);
  for (const file of files.filter(isProgram)) put(file);
  removeOldChunks(new Set(files.map((file) => file.path)));
  put({ path: stamp, contents: `${begun.toISOString()}\n` });
  // What was edited while the build ran counts as newer.
  utimesSync(stamp, begun, begun);
  const programs = files.filter((file) => isProgram(file) && file.path.endsWith('.mjs'));
  console.log(`built ${programs.map((file) => relative(dist, file.path)).join(' ')}`);
}

try {
  await main();
} catch (error) {
  // esbuild has printed what is wrong with the sources.
  if (!Array.isArray(error?.errors)) throw error;
  console.error(`build: failed with ${error.errors.length} error(s); dist/ is as it was`);
  process.exit(1);
}
