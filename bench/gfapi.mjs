#!/usr/bin/env node
// Small files through the library and through a mount of the same volume, in one run on one machine, as ratios. The same
// calls of the same shape (node:fs/promises) are made on both, in turn, so that a busy machine hits both. As root:
//
//   node bench/gfapi.mjs [--files N] [--runs N] [--parallel N] [--bricks 1|3]
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values: flags } = parseArgs({
  options: {
    files: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '3' },
    parallel: { type: 'string', default: '16' },
    bricks: { type: 'string', default: '3' },
  },
});
const [files, runs, parallel, bricks] = [flags.files, flags.runs, flags.parallel, flags.bricks].map(Number);

execFileSync(process.execPath, [path.join(root, 'scripts/build.mjs'), '--if-stale'], { stdio: 'inherit' });
const bundle = path.join(root, 'dist/bench/gfapi-library.mjs');
await build({
  entryPoints: [path.join(root, 'packages/gfapi/src/index.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['koffi', 'level', 'classic-level', 'msgpackr'],
  banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  logLevel: 'error',
});
const { connect } = await import(pathToFileURL(bundle).href);

const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mortar-bench-gfapi-'));
const at = (...names) => path.join(home, ...names);
const address = `127.${1 + (process.pid % 250)}.77.1`;
const env = { ...process.env, MORTAR_LOG_DIRECTORY: at('log'), MORTAR_RUN_DIRECTORY: at('run') };
const run = (program, ...words) =>
  execFileSync(path.join(root, 'bin', program), words, { env, stdio: ['ignore', 'pipe', 'inherit'], timeout: 120_000 });
const gluster = (...words) => run('gluster', '--mode=script', `--glusterd-sock=${at('run/glusterd.socket')}`, ...words);

function start() {
  for (const name of ['lib', 'run', 'log', 'bricks', 'mnt']) fs.mkdirSync(at(name));
  const options = {
    'working-directory': at('lib'),
    'run-directory': at('run'),
    'logging-directory': at('log'),
    'glusterd-sockfile': at('run/glusterd.socket'),
    'transport.socket.bind-address': address,
  };
  const words = Object.entries(options).flatMap(([key, value]) => ['--xlator-option', `management.${key}=${value}`]);
  run('glusterd', ...words, `--log-file=${at('log/glusterd.log')}`, `--pid-file=${at('run/glusterd.pid')}`);
  const names = Array.from({ length: bricks }, (_, i) => `${address}:${at(`bricks/${i}`)}`);
  gluster('volume', 'create', 'v', ...(bricks > 1 ? ['replica', `${bricks}`] : []), ...names, 'force');
  gluster('volume', 'start', 'v');
  run('glusterfs', `--volfile-server=${address}`, '--volfile-id=/v', `--log-file=${at('log/mnt.log')}`, at('mnt'));
}

function end() {
  try {
    execFileSync('umount', [at('mnt')]);
    gluster('volume', 'stop', 'v', 'force');
    process.kill(Number(fs.readFileSync(at('run/glusterd.pid'), 'utf8')), 'SIGTERM');
  } finally {
    fs.rmSync(home, { recursive: true, force: true });
  }
}

/** `parallel` at a time over all names. */
async function each(names, work) {
  const left = [...names];
  const worker = async () => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) await work(name);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

const text = Buffer.alloc(4096, 'mortar ');
const steps = {
  create: (to, name) => to.writeFile(name, text),
  stat: (to, name) => to.stat(name),
  read: (to, name) => to.readFile(name),
  unlink: (to, name) => to.unlink(name),
};

async function measure(to, folder) {
  await to.mkdir(folder, { recursive: true });
  const names = Array.from({ length: files }, (_, i) => `${folder}/f${i}`);
  const times = {};
  for (const [step, work] of Object.entries(steps)) {
    const begun = performance.now();
    await each(names, (name) => work(to, name));
    times[step] = performance.now() - begun;
  }
  await to.rmdir(folder);
  return times;
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

start();
try {
  const volume = await connect({ volume: 'v', servers: [{ host: address }] });
  const results = { library: [], mount: [] };
  for (let i = 0; i <= runs; i++) {
    const one = {
      library: await measure(volume, `/library-${i}`),
      mount: await measure(fs.promises, at('mnt', `mount-${i}`)),
    };
    // The first one warms both up.
    if (i > 0) for (const name of Object.keys(results)) results[name].push(one[name]);
  }
  await volume.close();
  console.log(`${files} files of 4 KiB, ${parallel} at a time, ${bricks} brick(s); median of ${runs} runs`);
  for (const step of Object.keys(steps)) {
    const [library, mount] = ['library', 'mount'].map((name) => median(results[name].map((times) => times[step])));
    const rate = (ms) => `${Math.round((files * 1000) / ms)}/s`;
    console.log(
      `${step.padEnd(7)} library ${rate(library).padStart(8)}  mount ${rate(mount).padStart(8)}  library/mount ${(mount / library).toFixed(2)}x`,
    );
  }
} finally {
  end();
}
