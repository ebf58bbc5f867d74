#!/usr/bin/env node
// What single things cost, each beside the bare one in the same run: a stat that goes through the mount to the brick beside
// one of the brick's own file system, `gluster volume info` beside a start of Node, and the memory of an idle brick and mount
// beside that of an idle Node. As root, after `npm run build`: node bench/processes.mjs [--rounds N]
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { at, inNamespaces, run, systems } from './peer.mjs';

const { values: flags } = parseArgs({ options: { rounds: { type: 'string', default: '20' } } });
const rounds = Number(flags.rounds);
await inNamespaces(os.tmpdir());
const { mortar } = systems;
const glusterfs = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'bin', 'glusterfs');
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Microseconds that each call takes. */
function micros(calls, call) {
  const times = [];
  for (let i = 0; i < calls; i++) {
    const start = process.hrtime.bigint();
    call();
    times.push(Number(process.hrtime.bigint() - start) / 1e3);
  }
  return times;
}

function row(what, ours, bare, unit) {
  const figure = (value) => `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`.padStart(12);
  console.log(`${what.padEnd(44)}${figure(ours)}${figure(bare)}${(ours / bare).toFixed(1).padStart(9)}`);
}

const residentMiB = (pid) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) / 1024;

async function idleNode() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await sleep(3000);
  const size = residentMiB(child.pid);
  child.kill();
  return size;
}

/** Without what would answer in place of the brick: the translators that know attributes, the kernel's timeouts. */
function start() {
  run('ip', ['link', 'set', 'lo', 'up']);
  run('ip', ['addr', 'add', `${mortar.host}/32`, 'dev', 'lo']);
  for (const name of ['brick', 'mnt', 'private']) fs.mkdirSync(at(name));
  mortar.start();
  mortar.cli('volume', 'create', 'v', `${mortar.host}:${at('brick', 'b')}`, 'force');
  mortar.cli('volume', 'set', 'v', 'performance.stat-prefetch', 'off');
  mortar.cli('volume', 'start', 'v');
  run(glusterfs, [
    `--volfile-server=${mortar.host}`,
    '--volfile-id=/v',
    '--attribute-timeout=0',
    '--entry-timeout=0',
    `--pid-file=${at('mount.pid')}`,
    `--log-file=${at('private', 'mortar-log', 'mount.log')}`,
    at('mnt'),
  ]);
}

function stats() {
  fs.writeFileSync(at('mnt', 'f'), 'x');
  const ours = fs.openSync(at('mnt', 'f'));
  const bare = fs.openSync(at('brick', 'b', 'f'));
  micros(3000, () => fs.fstatSync(ours));
  row(
    'fstat, median',
    median(micros(rounds * 250, () => fs.fstatSync(ours))),
    median(micros(5000, () => fs.fstatSync(bare))),
    'us',
  );
  const [byName, bareName] = [at('mnt', 'f'), at('brick', 'b', 'f')];
  row(
    'stat by name, no timeouts, median',
    median(micros(rounds * 250, () => fs.statSync(byName))),
    median(micros(5000, () => fs.statSync(bareName))),
    'us',
  );
  fs.closeSync(ours);
  fs.closeSync(bare);
}

start();
await sleep(3000);
const brick = Number(/^Pid\s*:\s*(\d+)/im.exec(mortar.cli('volume', 'status', 'v', 'detail'))[1]);
const idle = await idleNode();
console.log(`${''.padEnd(44)}${'mortar'.padStart(12)}${'bare'.padStart(12)}${'ratio'.padStart(9)}`);
row('memory of an idle brick', residentMiB(brick), idle, 'MiB');
row('memory of an idle mount', residentMiB(Number(fs.readFileSync(at('mount.pid'), 'utf8'))), idle, 'MiB');
stats();
const startOfNode = () => spawnSync(process.execPath, ['-e', '0']);
row(
  'gluster volume info, median',
  median(micros(rounds, () => mortar.cli('volume', 'info'))) / 1e3,
  median(micros(rounds, startOfNode)) / 1e3,
  'ms',
);
run('umount', [at('mnt')]);
mortar.cli('volume', 'stop', 'v');
