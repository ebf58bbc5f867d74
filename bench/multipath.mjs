#!/usr/bin/env node
// A device over 1, 2, 4 and 8 links of 1 Gbit/s between two network namespaces:
//   node bench/multipath.mjs [SECONDS of a cell] [NUMBERS OF LINKS, 1,2,4,8]
// Needs root, ip, tc and nsenter. Prints MB/s and processor cores of client and server; rssrv is the one of dist/ (npm run build).
// `plain TCP` is what the links carry in the same minute without us: other load on the machine slows the kernel's part, too. To be reached: 115 MB/s a link up to 4, 880 with 8, 0.5 cores.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { canMakeNetworks, Networks } from './networks.mjs';

const seconds = process.argv[2] ?? '3';
const numbers = (process.argv[3] ?? '1,2,4,8').split(',').map(Number);
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..');
const port = 5000;
const ticksPerSecond = 100;

if (!canMakeNetworks()) {
  console.error('multipath: needs root, and a kernel with network namespaces, veth and tbf; and ip, tc, nsenter');
  process.exit(1);
}

const box = mkdtempSync(join(tmpdir(), 'mortar-multipath-'));
const bundles = join(root, 'node_modules', '.cache', 'mortar-bench');
mkdirSync(bundles, { recursive: true });
const client = join(bundles, 'multipath-client.mjs');
await build({
  absWorkingDir: here,
  entryPoints: ['multipath-client.ts'],
  outfile: client,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['koffi'],
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Processor time of a process so far, in seconds. */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function serve(net) {
  const faces = Array.from(
    { length: net.links },
    (_, i) => `[interface if${i}]\naddress=${net.serverAddress(i)}\nport=${port}\n`,
  );
  const file = join(box, 'rssrvcfg');
  const log = join(box, 'log');
  writeFileSync(
    file,
    `[namespace bench]\n[server s]\n${faces.join('')}[nbd]\nlisten=no\n[device memory]\ntype=memory\nsize=256m\n`,
  );
  rmSync(log, { force: true });
  const words = ['-N', '-c', file, '-l', log, '-p', join(box, 'pid')];
  const [program, ...rest] = net.inside(net.server, join(root, 'bin', 'rssrv'), words);
  const env = { ...process.env, MORTAR_RUN_DIRECTORY: box, MORTAR_LOG_DIRECTORY: box };
  const child = spawn(program, rest, { stdio: 'ignore', env });
  for (let i = 0; i < 400; i++) {
    await pause(50);
    if (child.exitCode !== null) throw new Error(`rssrv ended: ${readFileSync(log, 'utf8')}`);
    try {
      const text = readFileSync(log, 'utf8');
      if ((text.match(/RSIO clients are served/g) ?? []).length === net.links) return child;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  child.kill('SIGKILL');
  throw new Error('rssrv does not listen');
}

function measure(net, server, what, bytes, depth) {
  const pairs = Array.from({ length: net.links }, (_, i) => `${net.clientAddress(i)}>${net.serverAddress(i)}`).join(
    ',',
  );
  const words = [client, pairs, String(port), what, String(bytes), String(depth), seconds];
  const [program, ...rest] = net.inside(net.client, process.execPath, words);
  const cpu = cpuOf(server.pid);
  const began = performance.now();
  const { status, stdout, stderr } = spawnSync(program, rest, { encoding: 'utf8', timeout: 120_000 });
  const serverCores = (cpuOf(server.pid) - cpu) / ((performance.now() - began) / 1000);
  if (status !== 0) throw new Error(`the client failed: ${stderr}`);
  return { ...JSON.parse(stdout), serverCores };
}

/** What the links carry at this moment without us: one connection each, from one process to another. */
const plainServer = `
const data = Buffer.alloc(1 << 18);
for (const host of process.argv.slice(1))
  require('node:net').createServer((s) => { s.on('error', () => {}); const go = () => { while (s.write(data)); }; s.on('drain', go); go(); }).listen(${port + 1}, host);
console.log('ready');`;
const plainClient = `
let bytes = 0;
for (const pair of process.argv.slice(2)) {
  const [localAddress, host] = pair.split('>');
  require('node:net').connect({ host, port: ${port + 1}, localAddress, onread: { buffer: Buffer.alloc(1 << 18), callback: (n) => { bytes += n; return true; } } });
}
setTimeout(() => {
  const [before, began, cpu] = [bytes, performance.now(), process.cpuUsage()];
  setTimeout(() => {
    const [ms, used] = [performance.now() - began, process.cpuUsage(cpu)];
    console.log(JSON.stringify({ bytes: bytes - before, count: 0, ms, cores: (used.user + used.system) / 1000 / ms }));
    process.exit(0);
  }, 1000 * process.argv[1]);
}, 500);`;

async function measurePlain(net) {
  const links = Array.from({ length: net.links }, (_, i) => i);
  const hosts = links.map((i) => net.serverAddress(i));
  const [program, ...rest] = net.inside(net.server, process.execPath, ['-e', plainServer, ...hosts]);
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const cpu = cpuOf(child.pid);
    const began = performance.now();
    const pairs = links.map((i) => `${net.clientAddress(i)}>${net.serverAddress(i)}`);
    const words = net.inside(net.client, process.execPath, ['-e', plainClient, seconds, ...pairs]);
    const { status, stdout, stderr } = spawnSync(words[0], words.slice(1), { encoding: 'utf8', timeout: 120_000 });
    if (status !== 0) throw new Error(`the plain client failed: ${stderr}`);
    return { ...JSON.parse(stdout), serverCores: (cpuOf(child.pid) - cpu) / ((performance.now() - began) / 1000) };
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

function show(links, label, { bytes, count, ms, cores, serverCores }) {
  const rate = bytes / 1000 / ms;
  const line = [
    String(links).padStart(5),
    ` ${label.padEnd(11)}`,
    rate.toFixed(0).padStart(6),
    (rate / links).toFixed(1).padStart(13),
    (count === 0 ? '-' : (count / ms).toFixed(1)).padStart(9),
    cores.toFixed(2).padStart(14),
    serverCores.toFixed(2).padStart(14),
  ];
  console.log(line.join(' '));
}

const cells = [
  ['read', 'read 128k', 131_072, 16],
  ['write', 'write 128k', 131_072, 16],
  ['read', 'read 8k', 8192, 32],
];
console.log('links  what          MB/s   MB/s a link     kIOPS   client cores   server cores');
try {
  for (const links of numbers) {
    const net = new Networks(links);
    let server = null;
    try {
      server = await serve(net);
      show(links, 'plain TCP', await measurePlain(net));
      for (const [what, label, bytes, depth] of cells) show(links, label, measure(net, server, what, bytes, depth));
    } finally {
      if (server) {
        const ended = new Promise((resolve) => server.once('exit', resolve));
        server.kill('SIGTERM');
        await ended;
      }
      net.end();
    }
  }
} finally {
  rmSync(box, { recursive: true, force: true });
}
