#!/usr/bin/env node
// The whole way in one go: a replica 3 volume on this machine, a real tree copied into it, a brick killed in the middle,
// healed, and proof that the mount and all three bricks hold the same. Everything lives in one temporary
// directory and on one loopback address; it leaves nothing behind, also when interrupted.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bin = (name) => path.join(root, 'bin', name);
const minimumFiles = 5200;
const volume = 'demo';
/** A loopback address of our own: the ports of another glusterd on this machine stay untouched. */
const address = `127.${20 + (process.pid % 200)}.${1 + (Math.floor(process.pid / 200) % 250)}.1`;
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mortar-demo-'));
const at = (name) => path.join(home, name);
const bricks = ['b1', 'b2', 'b3'].map((name) => at(`bricks/${name}`));
const mountPoint = at('mnt');
let stopping = false;
const started = Date.now();

function say(text) {
  const seconds = ((Date.now() - started) / 1000).toFixed(1).padStart(6);
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  process.stdout.write(`${seconds}s  ${text}\n`);
}

function progress(text) {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K         ${text}`);
}

const glusterdOptions = {
  'working-directory': at('lib'),
  'run-directory': at('run'),
  'logging-directory': at('log'),
  'glusterd-sockfile': at('run/glusterd.socket'),
  'transport.socket.bind-address': address,
};

function run(command, args, options = {}) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}

function gluster(...words) {
  return run(bin('gluster'), [
    '--mode=script',
    `--glusterd-sock=${at('run/glusterd.socket')}`,
    `--log-file=${at('log/cli.log')}`,
    ...words,
  ]);
}

/** Every file, directory and link below the given directories, as paths relative to them, directories first. */
function listTree(directory, wanted = () => true) {
  const entries = [];
  const walk = (relative) => {
    for (const entry of fs.readdirSync(path.join(directory, relative), { withFileTypes: true })) {
      const name = path.join(relative, entry.name);
      if (!wanted(name)) continue;
      const type = entry.isDirectory()
        ? 'directory'
        : entry.isSymbolicLink()
          ? 'symlink'
          : entry.isFile()
            ? 'file'
            : undefined;
      if (!type) continue;
      entries.push({ name, type });
      if (type === 'directory') walk(name);
    }
  };
  walk('');
  return entries;
}

/** What is copied: this project with its node_modules, filled up from the machine's headers and documents. */
function collect() {
  const skip = /^(\.git|dist)$|^node_modules\/(\.[^/]+|@mortar)$/;
  const sources = [
    { from: root, to: 'mortar', entries: listTree(root, (name) => !skip.test(name)) },
    ...['/usr/include', '/usr/share/doc']
      .filter((from) => fs.existsSync(from))
      .map((from) => ({ from, to: path.basename(from), entries: undefined })),
  ];
  const plan = [];
  let files = 0;
  for (const source of sources) {
    if (files >= minimumFiles) break;
    source.entries ??= listTree(source.from);
    plan.push({ from: source.from, to: source.to, name: '', type: 'directory' });
    for (const entry of source.entries) {
      if (files >= minimumFiles + 800 && entry.type !== 'directory') continue;
      if (entry.type === 'file' && fs.statSync(path.join(source.from, entry.name)).size > 20 * 2 ** 20) continue;
      plan.push({ ...entry, from: source.from, to: source.to });
      if (entry.type === 'file') files++;
    }
  }
  return { plan, files };
}

async function copyEntry(entry) {
  const from = path.join(entry.from, entry.name);
  const to = path.join(mountPoint, entry.to, entry.name);
  if (entry.type === 'directory') await fs.promises.mkdir(to, { recursive: true });
  else if (entry.type === 'symlink') {
    entry.target = await fs.promises.readlink(from);
    await fs.promises.symlink(entry.target, to);
  } else {
    // Read once: what is compared later is what was copied, also if the source changes meanwhile.
    const data = await fs.promises.readFile(from);
    entry.digest = createHash('sha256').update(data).digest('hex');
    await fs.promises.writeFile(to, data);
    const { mode, atime, mtime } = await fs.promises.stat(from);
    await fs.promises.chmod(to, mode & 0o7777);
    await fs.promises.utimes(to, atime, mtime);
  }
}

/** Copies in order, four at a time; `halfway` is called once when half of it is done. */
async function copyAll(plan, halfway) {
  // Directories first: a file's copy must not wait for another worker's directory.
  const directories = plan.filter((entry) => entry.type === 'directory');
  for (const entry of directories) await copyEntry(entry);
  const rest = plan.filter((entry) => entry.type !== 'directory');
  const half = Math.floor(rest.length / 2);
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < rest.length && !stopping) {
      await copyEntry(rest[next++]);
      done++;
      if (done % 25 === 0) progress(`${directories.length + done} of ${plan.length} copied`);
      if (done === half) halfway();
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  if (stopping) throw new Error('interrupted');
}

/** One line a file: type, mode, size, checksum or target, name. What GlusterFS keeps for itself is left out. */
async function manifest(directory) {
  const hidden = /^\.glusterfs($|\/|-anonymous-inode)/;
  const entries = listTree(directory, (name) => !hidden.test(name));
  const lines = [];
  for (const { name, type } of entries) {
    if (stopping) throw new Error('interrupted');
    lines.push(await describe(directory, name, type));
    if (lines.length % 100 === 0) progress(`reading ${directory}: ${lines.length} of ${entries.length}`);
  }
  return lines.sort();
}

async function describe(directory, name, type) {
  const file = path.join(directory, name);
  const { mode, size } = await fs.promises.lstat(file);
  const bits = (mode & 0o7777).toString(8);
  if (type === 'symlink') return `symlink ${await fs.promises.readlink(file)} ${name}`;
  if (type === 'directory') return `directory ${bits} ${name}`;
  const digest = createHash('sha256').update(await fs.promises.readFile(file));
  return `file ${bits} ${size} ${digest.digest('hex')} ${name}`;
}

/** What was read from the sources when it was copied. */
function sourceManifest(plan) {
  return plan
    .map(({ to, name, type, target, digest }) => {
      const copy = path.join(to, name);
      if (type === 'symlink') return `symlink ${target} ${copy}`;
      if (type === 'directory') return `directory ${copy}`;
      return `file ${digest} ${copy}`;
    })
    .sort();
}

/** The mount's manifest without what the source's has not: modes of directories and sizes. */
function comparable(lines) {
  return lines.map((line) => line.replace(/^directory \d+ /, 'directory ').replace(/^file \d+ \d+ /, 'file ')).sort();
}

function compare(what, expected, found) {
  const missing = expected.filter((line) => !found.includes(line));
  if (expected.length === found.length && JSON.stringify(expected) === JSON.stringify(found)) return;
  const seen = new Set(found);
  const lost = expected.filter((line) => !seen.has(line)).slice(0, 5);
  throw new Error(
    `${what} differs: ${expected.length} entries expected, ${found.length} found; e.g. ${lost.join(' | ') || missing.join(' | ')}`,
  );
}

function pidOf(brick) {
  const file = at(`run/vols/${volume}/${address}${brick.replaceAll('/', '-')}.pid`);
  return Number(fs.readFileSync(file, 'utf8').trim());
}

/** What heal info counts, over all bricks. */
function pendingHeals() {
  const text = gluster('volume', 'heal', volume, 'info');
  const counts = [...text.matchAll(/^Number of entries: (\S+)$/gm)].map((match) => match[1]);
  if (counts.length !== bricks.length || counts.includes('-')) return undefined;
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

async function waitForHeal() {
  let calm = 0;
  for (let i = 0; i < 1200 && !stopping; i++) {
    const pending = pendingHeals();
    progress(`${pending ?? '?'} entries to heal`);
    calm = pending === 0 ? calm + 1 : 0;
    if (calm >= 2) return;
    await sleep(500);
  }
  throw new Error(stopping ? 'interrupted' : `healing did not finish: ${pendingHeals()} entries are left`);
}

function isMounted() {
  return fs.readFileSync('/proc/mounts', 'utf8').includes(` ${mountPoint} `);
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return !/^State:\s*Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** All processes that were started with our directory in their arguments. */
function ourProcesses() {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return words.includes(home) && /gluster/.test(words);
      } catch {
        return false;
      }
    });
}

async function cleanUp() {
  try {
    if (isMounted()) run('umount', ['-l', mountPoint]);
  } catch {
    // Reported below if it is still there.
  }
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    const pids = ourProcesses();
    for (const pid of pids) if (alive(pid)) process.kill(pid, signal);
    for (let i = 0; i < 60 && pids.some(alive); i++) await sleep(100);
  }
  const left = [
    ...ourProcesses()
      .filter(alive)
      .map((pid) => `process ${pid}`),
    ...(isMounted() ? [`mount ${mountPoint}`] : []),
  ];
  if (left.length === 0) fs.rmSync(home, { recursive: true, force: true });
  return left;
}

async function demo() {
  for (const directory of [...bricks.map((brick) => path.dirname(brick)), mountPoint, at('lib'), at('run'), at('log')])
    fs.mkdirSync(directory, { recursive: true });
  say(`starting glusterd on ${address} (everything is below ${home})`);
  const options = Object.entries(glusterdOptions).flatMap(([key, value]) => [
    '--xlator-option',
    `management.${key}=${value}`,
  ]);
  run(bin('glusterd'), [...options, `--log-file=${at('log/glusterd.log')}`, `--pid-file=${at('run/glusterd.pid')}`]);
  say('gluster volume create demo replica 3 ...');
  gluster('volume', 'create', volume, 'replica', '3', ...bricks.map((brick) => `${address}:${brick}`), 'force');
  gluster('volume', 'start', volume);
  say('gluster volume status demo');
  process.stdout.write(gluster('volume', 'status', volume).replace(/^/gm, '           '));
  process.stdout.write('\n');
  run(bin('glusterfs'), [
    `--volfile-server=${address}`,
    `--volfile-id=/${volume}`,
    `--log-file=${at('log/mount.log')}`,
    mountPoint,
  ]);
  say(`mounted at ${mountPoint}`);

  const { plan, files } = collect();
  say(`copying ${plan.length} entries, ${files} of them files`);
  const victim = bricks[1];
  let killed = false;
  const copyStart = Date.now();
  await copyAll(plan, () => {
    const pid = pidOf(victim);
    process.kill(pid, 'SIGKILL');
    killed = true;
    say(`killed the brick ${victim} (process ${pid}) with SIGKILL in the middle of it`);
  });
  if (!killed) throw new Error('the copy ended before the brick was killed');
  const copySeconds = (Date.now() - copyStart) / 1000;
  say('copying went on and is finished');

  gluster('volume', 'start', volume, 'force');
  say('brick started again; healing');
  const healStart = Date.now();
  await waitForHeal();
  const healSeconds = (Date.now() - healStart) / 1000;
  say('healed');

  const seen = await manifest(mountPoint);
  compare('the mount', sourceManifest(plan), comparable(seen));
  run('umount', [mountPoint]);
  say('unmounted; comparing the bricks');
  for (const brick of bricks) compare(brick, seen, await manifest(brick));
  gluster('volume', 'stop', volume);
  gluster('volume', 'delete', volume);
  return { files, entries: plan.length, copySeconds, healSeconds };
}

async function main() {
  if (process.getuid() !== 0) throw new Error('the demo mounts a file system and sets trusted xattrs: run it as root');
  const report = await demo();
  say('the mount and all three bricks hold the same files, byte for byte');
  return report;
}

let interrupted;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    interrupted = signal;
    // The terminal may be gone (SIGHUP).
    process.stdout.on('error', () => {});
    process.stdout.write(`\n${signal}: cleaning up\n`);
  });
}

let failure;
let report;
try {
  report = await main();
} catch (error) {
  failure = error;
}
// Ctrl-C ends the command that is being waited for, too; that it came is heard of a moment later.
await sleep(20);
if (failure && !interrupted) {
  const detail = failure.stderr ? `\n${failure.stderr}` : '';
  process.stderr.write(`\ndemo failed: ${failure.message}${detail}\n`);
  if (process.env.MORTAR_DEMO_KEEP) {
    process.stderr.write(`kept for inspection: ${home}\n`);
    process.exit(1);
  }
}
const left = await cleanUp();
if (left.length > 0) process.stderr.write(`left behind: ${left.join(', ')}\n`);
if (report) {
  process.stdout.write(
    `\nReport\n  ${report.files} files in ${report.entries} entries copied, one of three bricks killed in the middle\n` +
      `  copying took ${report.copySeconds.toFixed(1)} s, healing ${report.healSeconds.toFixed(1)} s\n` +
      '  checksums: source = mount = brick 1 = brick 2 = brick 3\n' +
      (left.length === 0 ? '  nothing is left running or mounted\n' : ''),
  );
}
process.exit(interrupted && !report ? 130 : failure || left.length > 0 ? 1 : 0);
