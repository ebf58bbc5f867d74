#!/usr/bin/env node
// rssrv against other servers of NBD on this machine, and against tgt (iSCSI) where it can be started:
//   node bench/block.mjs [SECONDS of a cell] [ROUNDS] [FOLDER of the files, /dev/shm]
//   node bench/block.mjs nodes [SECONDS of a cell] [ROUNDS]     volumes as local devices: rsiod against nbdfuse, a loop device over each (root)
//   CELLS=1M,4k node bench/block.mjs ...     only the cells whose names contain one of these
// Needs fio with its nbd engine, nbdcopy, qemu-img; nbdkit, qemu-nbd and tgtd are left out where they are missing. All servers take
// turns in every cell; what counts are the ratios, and the server's CPU time for a request, which other load disturbs least.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const withNodes = process.argv[2] === 'nodes';
const words = process.argv.slice(withNodes ? 3 : 2);
const seconds = words[0] ?? '2';
const rounds = Number(words[1] ?? 2);
const fileFolder = words[2] ?? '/dev/shm';
const wanted = process.env.CELLS?.split(',');
const isWanted = ({ name }) => !wanted || wanted.some((one) => name.includes(one));
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const box = mkdtempSync(join(tmpdir(), 'mortar-bench-'));
const files = mkdtempSync(join(fileFolder, 'mortar-bench-'));
const started = [];
/** Of the devices; and what of it is used. */
const size = '1g';
const used = 256 * 1024 * 1024;

const has = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function run(program, args, options = {}) {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.error ?? result.stderr}`);
  return result.stdout;
}

function start(program, args, options = {}) {
  const child = spawn(program, args, { stdio: 'ignore', ...options });
  started.push(child);
  return child.pid;
}

/** User and system time of a process so far, in microseconds. */
function cpuMicros(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function makeFile(name) {
  const path = join(files, name);
  run('truncate', ['-s', size, path]);
  return path;
}

async function rssrv() {
  const port = await freePort();
  const path = makeFile('rssrv.img');
  const config = join(box, 'rssrvcfg');
  writeFileSync(
    config,
    `[namespace n]\n[server s]\n[nbd]\nport=${port}\n[device memory]\ntype=memory\nsize=${size}\n[device file]\npath=${path}\n`,
  );
  const pid = start(join(root, 'bin/rssrv'), ['-N', '-c', config, '-l', join(box, 'log'), '-p', join(box, 'pid')], {
    env: { ...process.env, MORTAR_LOG_DIRECTORY: box, MORTAR_RUN_DIRECTORY: box },
  });
  return ['memory', 'file'].map((name) => ({ name: `rssrv ${name}`, uri: `nbd://127.0.0.1:${port}/${name}`, pid }));
}

async function nbdkit(plugin, ...args) {
  const port = await freePort();
  const pid = start('nbdkit', ['-f', '-i', '127.0.0.1', '-p', `${port}`, plugin, ...args]);
  return { name: `nbdkit ${plugin}`, uri: `nbd://127.0.0.1:${port}/`, pid };
}

async function qemuNbd() {
  const port = await freePort();
  const args = [
    '-t',
    '-e',
    '16',
    '-b',
    '127.0.0.1',
    '-p',
    `${port}`,
    '-f',
    'raw',
    '--cache=writeback',
    makeFile('qemu.img'),
  ];
  return { name: 'qemu-nbd', uri: `nbd://127.0.0.1:${port}/`, pid: start('qemu-nbd', args) };
}

/** Null where it does not start. */
async function tgt() {
  const control = '97';
  const port = await freePort();
  const pid = start('tgtd', ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`]);
  await pause(1000);
  const target = 'iqn.2026-11.lab:bench';
  const admin = (...args) => spawnSync('tgtadm', ['-C', control, '--lld', 'iscsi', ...args]).status === 0;
  const isUp =
    admin('--mode', 'target', '--op', 'new', '--tid', '1', '-T', target) &&
    admin('--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1', '-b', makeFile('tgt.img')) &&
    admin('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL');
  return isUp ? { name: 'tgt', uri: `iscsi://127.0.0.1:${port}/${target}/1`, pid } : null;
}

/** Requests each second, and the server's microseconds of CPU for a request. */
function measure(server, operation) {
  const spent = () => (server.pids ?? [server.pid]).reduce((sum, pid) => sum + cpuMicros(pid), 0);
  const before = spent();
  const { requests, perSecond } = operation(server.uri);
  return { perSecond, micros: (spent() - before) / requests };
}

const undo = [];

/** rssrv, rsiod and what it attaches; the FUSE file comes with the loop device. */
async function rsiodNode() {
  const port = await freePort();
  const config = (name, text) => {
    const path = join(box, name);
    writeFileSync(path, text);
    return path;
  };
  const env = { ...process.env, MORTAR_LOG_DIRECTORY: join(box, 'log'), MORTAR_RUN_DIRECTORY: join(box, 'run') };
  const server = config(
    'nodes-rssrvcfg',
    `[namespace n]\n[server s]\n[interface i]\naddress=127.0.0.1\nport=${port}\n[nbd]\nlisten=no\n[device d]\ntype=memory\nsize=${size}\n`,
  );
  const place = `[server s]\naddress=127.0.0.1\nport=${port}\n`;
  const client = config(
    'nodes-rscltcfg',
    `[defaults]\nattach=loop\ndirectory=${join(box, 'av0')}\n[namespace n]\nnodename=c\n${place}`,
  );
  const pidOf = (name) => Number(readFileSync(join(box, 'run', `${name}.pid`), 'utf8'));
  run(join(root, 'bin/rssrv'), ['-c', server], { env });
  undo.push(() => process.kill(pidOf('rssrv')));
  run(join(root, 'bin/rsiod'), ['-c', client], { env });
  undo.push(async () => {
    spawnSync(join(root, 'bin/rsconfig'), ['-d', '-f'], { env });
    process.kill(pidOf('rsiod'));
    await pause(3000);
  });
  run(join(root, 'bin/rsconfig'), ['-a'], { env });
  return { name: 'rsiod > loop', uri: join(box, 'av0/d'), pids: [pidOf('rssrv'), pidOf('rsiod')] };
}

async function nbdfuseNode() {
  const { uri, pid } = await nbdkit('memory', size);
  await pause(500);
  const file = join(box, 'nbdfuse');
  writeFileSync(file, '');
  const fuse = start('nbdfuse', ['-C', '4', file, uri]);
  undo.push(() => spawnSync('umount', ['-l', file]));
  await pause(1500);
  const loop = run('losetup', ['--find', '--show', '--direct-io=on', file]).trim();
  undo.push(() => spawnSync('losetup', ['-d', loop]));
  return { name: 'nbdfuse > loop', uri: loop, pids: [pid, fuse] };
}

function fioOn(rw, bs, depth) {
  return (device) => {
    const args = ['--name=x', '--ioengine=libaio', '--direct=1', `--filename=${device}`, `--rw=${rw}`, `--bs=${bs}`];
    args.push(`--iodepth=${depth}`, '--time_based', `--runtime=${seconds}`, `--size=${used}`, '--output-format=json');
    const text = run('fio', args);
    const [job] = JSON.parse(text.slice(text.indexOf('{'))).jobs;
    const side = rw.endsWith('read') ? job.read : job.write;
    return { requests: side.total_ios, perSecond: side.iops };
  };
}

const nodeCells = [
  { name: '8k random read, depth 32', run: fioOn('randread', '8k', 32), unit: 'kIOPS', scale: 1e-3 },
  { name: '4k random write, depth 32', run: fioOn('randwrite', '4k', 32), unit: 'kIOPS', scale: 1e-3 },
  { name: '8k random read, depth 1', run: fioOn('randread', '8k', 1), unit: 'kIOPS', scale: 1e-3 },
  { name: '1M sequential read, depth 8', run: fioOn('read', '1m', 8), unit: 'MB/s', scale: 1.048576 },
  { name: '1M sequential write, depth 8', run: fioOn('write', '1m', 8), unit: 'MB/s', scale: 1.048576 },
];

async function compareNodes() {
  const nodes = [await rsiodNode()];
  if (has('nbdkit') && has('nbdfuse')) nodes.push(await nbdfuseNode());
  for (const { uri } of nodes)
    run('dd', ['if=/dev/urandom', `of=${uri}`, 'bs=1M', `count=${used >> 20}`, 'oflag=direct']);
  for (const cell of nodeCells.filter(isWanted)) {
    const results = new Map(nodes.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++)
      for (const node of nodes) results.get(node.name).push(measure(node, cell.run));
    report(cell, results);
  }
}

function fio(rw, bs, depth, jobs) {
  return (uri) => {
    const args = ['--name=x', '--ioengine=nbd', `--uri=${uri}`, `--rw=${rw}`, `--bs=${bs}`, `--iodepth=${depth}`];
    args.push(`--numjobs=${jobs}`, '--thread', '--group_reporting', '--time_based', `--runtime=${seconds}`);
    const text = run('fio', [...args, `--size=${used}`, '--output-format=json']);
    const [job] = JSON.parse(text.slice(text.indexOf('{'))).jobs;
    const side = rw.endsWith('read') ? job.read : job.write;
    return { requests: side.total_ios, perSecond: side.iops };
  };
}

function qemuBench(write, bs, count) {
  return (uri) => {
    const args = ['bench', ...(write ? ['-w'] : []), '-c', `${count}`, '-d', '64', '-s', `${bs}`, '-S', '73728'];
    const text = run('qemu-img', [...args, '-t', 'none', '-f', 'raw', uri]);
    return { requests: count, perSecond: count / Number(/completed in ([\d.]+) seconds/.exec(text)[1]) };
  };
}

const cells = [
  { name: '8k random read, 1 connection, depth 128', run: fio('randread', '8k', 128, 1), unit: 'kIOPS', scale: 1e-3 },
  { name: '8k random read, 1 connection, depth 64', run: fio('randread', '8k', 64, 1), unit: 'kIOPS', scale: 1e-3 },
  {
    name: '8k random read, 4 connections, depth 32 each',
    run: fio('randread', '8k', 32, 4),
    unit: 'kIOPS',
    scale: 1e-3,
  },
  { name: '4k random write, 1 connection, depth 64', run: fio('randwrite', '4k', 64, 1), unit: 'kIOPS', scale: 1e-3 },
  {
    name: '4k random write, 4 connections, depth 16 each',
    run: fio('randwrite', '4k', 16, 4),
    unit: 'kIOPS',
    scale: 1e-3,
  },
  { name: '1M sequential read, depth 8', run: fio('read', '1m', 8, 1), unit: 'MB/s', scale: 1.048576 },
  { name: '1M sequential write, depth 8', run: fio('write', '1m', 8, 1), unit: 'MB/s', scale: 1.048576 },
  {
    name: '8k reads by qemu-img bench, depth 64',
    run: qemuBench(false, 8192, 40_000),
    unit: 'kIOPS',
    scale: 1e-3,
    iscsi: true,
  },
  {
    name: '4k writes by qemu-img bench, depth 64',
    run: qemuBench(true, 4096, 40_000),
    unit: 'kIOPS',
    scale: 1e-3,
    iscsi: true,
  },
];

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

function report(cell, results) {
  console.log(`\n${cell.name}`);
  const of = (name) => {
    const all = results.get(name);
    return all && { perSecond: median(all.map((one) => one.perSecond)), micros: median(all.map((one) => one.micros)) };
  };
  for (const name of results.keys()) {
    const own = of(name);
    const peers = ['nbdkit memory', 'nbdkit file', 'tgt', 'nbdfuse > loop'].filter(
      (peer) => peer !== name && results.has(peer),
    );
    const ratios = peers.map((peer) => {
      const other = of(peer);
      return `${(own.perSecond / other.perSecond).toFixed(2)}x speed ${(own.micros / other.micros).toFixed(2)}x cpu of ${peer}`;
    });
    const speed = (own.perSecond * cell.scale).toFixed(1).padStart(8);
    const cpu = own.micros.toFixed(1).padStart(7);
    console.log(
      `  ${name.padEnd(14)} ${speed} ${cell.unit}  ${cpu} us/request  ${name.startsWith('rs') ? ratios.join(', ') : ''}`,
    );
  }
}

async function main() {
  const servers = await rssrv();
  if (has('nbdkit')) servers.push(await nbdkit('memory', size), await nbdkit('file', makeFile('nbdkit.img')));
  if (has('qemu-nbd')) servers.push(await qemuNbd());
  const target = has('tgtd') && process.getuid() === 0 ? await tgt() : null;
  await pause(1500);
  const image = join(files, 'image');
  run('sh', ['-c', `head -c ${used} /dev/urandom > ${image}`]);
  for (const { uri } of servers) run('nbdcopy', [image, uri]);
  if (target) {
    run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, target.uri]);
    servers.push(target);
  }
  rmSync(image);
  for (const cell of cells.filter(isWanted)) {
    const results = new Map();
    for (let round = 0; round < rounds; round++) {
      for (const server of servers) {
        if (server === target && !cell.iscsi) continue;
        if (!results.has(server.name)) results.set(server.name, []);
        results.get(server.name).push(measure(server, cell.run));
      }
    }
    report(cell, results);
  }
}

async function cleanUp() {
  for (const step of undo.splice(0).reverse()) await step();
  for (const child of started) child.kill();
  await pause(500);
  // tgtd does not end as long as it has a target.
  for (const child of started) child.kill('SIGKILL');
  for (const folder of [box, files]) rmSync(folder, { recursive: true, force: true });
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void cleanUp().then(() => process.exit(1)));
try {
  await (withNodes ? compareNodes() : main());
} finally {
  await cleanUp();
}
