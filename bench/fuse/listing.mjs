#!/usr/bin/env node
// `ls -l` of one directory with very many files on a volume of one brick, cold, and what the mount's memory grows by for an
// inode that the kernel has cached. Needs root and a build (`npm run build`). Run: `node bench/fuse/listing.mjs [FILES]`.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const bin = (name) => path.join(root, 'bin', name);
const files = Number(process.argv[2] ?? 100_000);
const rounds = 5;
const home = mkdtempSync(path.join(os.tmpdir(), 'mortar-listing-'));
const at = (name) => path.join(home, name);
const mountPoint = at('mnt');
/** A loopback address of our own: the ports of another glusterd on this machine stay untouched. */
const address = `127.${20 + (process.pid % 200)}.${1 + (Math.floor(process.pid / 200) % 250)}.2`;

const run = (command, args) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const gluster = (...words) =>
  run(bin('gluster'), [
    '--mode=script',
    `--glusterd-sock=${at('run/glusterd.socket')}`,
    `--log-file=${at('cli.log')}`,
    ...words,
  ]);

for (const name of ['lib', 'run', 'log', 'mnt', 'brick']) mkdirSync(at(name));
const options = {
  'working-directory': at('lib'),
  'run-directory': at('run'),
  'logging-directory': at('log'),
  'glusterd-sockfile': at('run/glusterd.socket'),
  'transport.socket.bind-address': address,
};
/** Bytes that the process `pid` keeps resident. */
function resident(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) * 1024;
}

const dropKernelCaches = (what) => writeFileSync('/proc/sys/vm/drop_caches', `${what}\n`);
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

function timed(command, args) {
  const start = process.hrtime.bigint();
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], maxBuffer: 1 << 30 });
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** Seconds that all threads of a process have been on a CPU. */
function cpuSeconds(pid) {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]) / 1e9)
    .reduce((sum, seconds) => sum + seconds, 0);
}

/** Cold: neither the kernel nor the mount knows the files; the brick's own file system keeps its caches. */
async function coldListings(mountPid, brickPid) {
  const seconds = [];
  const [mountBefore, brickBefore] = [cpuSeconds(mountPid), cpuSeconds(brickPid)];
  for (let round = 0; round < rounds; round++) {
    dropKernelCaches(2);
    await sleep(1500);
    seconds.push(timed('ls', ['-l', path.join(mountPoint, 'many')]));
  }
  const micros = (pid, before) => (((cpuSeconds(pid) - before) / rounds / files) * 1e6).toFixed(1);
  console.log(`CPU us a file: mount ${micros(mountPid, mountBefore)}, brick ${micros(brickPid, brickBefore)}`);
  return seconds;
}

try {
  const words = Object.entries(options).flatMap(([key, value]) => ['--xlator-option', `management.${key}=${value}`]);
  run(bin('glusterd'), [...words, `--log-file=${at('log/glusterd.log')}`, `--pid-file=${at('glusterd.pid')}`]);
  gluster('volume', 'create', 'listing', `${address}:${at('brick/b')}`, 'force');
  gluster('volume', 'start', 'listing');
  const pidFile = at('mount.pid');
  run(bin('glusterfs'), [
    `--volfile-server=${address}`,
    '--volfile-id=/listing',
    `--pid-file=${pidFile}`,
    `--log-file=${at('log/mount.log')}`,
    mountPoint,
  ]);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  const brickPid = Number(/^Pid\s*:\s*(\d+)/im.exec(gluster('volume', 'status', 'listing', 'detail'))?.[1]);
  mkdirSync(path.join(mountPoint, 'many'));
  // xargs and touch: the mount's own caches of names play no part.
  execFileSync('sh', [
    '-c',
    `cd "$1" && seq -f f%.0f ${files} | xargs -P 4 -n 2000 touch`,
    'sh',
    path.join(mountPoint, 'many'),
  ]);
  dropKernelCaches(2);
  await sleep(3000);
  const listings = await coldListings(pid, brickPid);
  console.log(
    `ls -l of ${files} files, cold: median ${median(listings).toFixed(2)} s of ${listings.map((s) => s.toFixed(2)).join(' ')}`,
  );
  dropKernelCaches(2);
  await sleep(3000);
  const before = resident(pid);
  timed('ls', ['-l', path.join(mountPoint, 'many')]);
  await sleep(2000);
  const full = resident(pid);
  dropKernelCaches(2);
  await sleep(5000);
  const after = resident(pid);
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  console.log(
    `mount: ${mib(before)} resident before, ${mib(full)} with all inodes cached, ${mib(after)} after the kernel forgot`,
  );
  console.log(`bytes an inode: ${((full - before) / files).toFixed(0)}`);
} finally {
  try {
    run('umount', ['-l', mountPoint]);
    gluster('volume', 'stop', 'listing', 'force');
  } catch {
    // What did not start needs no end.
  }
  if (existsSync(at('glusterd.pid'))) process.kill(Number(readFileSync(at('glusterd.pid'), 'utf8')), 'SIGTERM');
  await sleep(500);
  rmSync(home, { recursive: true, force: true });
}
