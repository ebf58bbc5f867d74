#!/usr/bin/env node
// The same work on a mount of GlusterFS and on a mount of Mortar, as ratios: replica 3 (or one brick), default options on
// both sides, on this machine, on one XFS image. As root, after `npm run build`:
//
//   node bench/replica.mjs [--runs N] [--files N] [--bricks 1|3] [--only OP,OP] [--alone] [--fresh] [--set KEY=VALUE]
//     [--on DIR] [--json FILE]
//
// A mount has done some other work before it is measured (--fresh: none, then a runtime's warming up is in every row). Runs
// alternate between the two. Without glusterfs-server (or with --alone) only Mortar is measured. Everything lives in
// mount, network and process namespaces of its own, which end with it.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { at, compare, inNamespaces, load, timed, Volume } from './peer.mjs';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    files: { type: 'string', default: '2000' },
    bricks: { type: 'string', default: '3' },
    only: { type: 'string' },
    alone: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    on: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
});
const runs = Number(flags.runs);
const files = Number(flags.files);
const brickCount = Number(flags.bricks);

await inNamespaces(flags.on);

/** Each takes a volume, and gives the seconds of its timed part. In this order, each finds what those before left. */
const operations = {
  create: (v) => load('create', `${v.mountPoint}/s`, files),
  create4: (v) => load('create', `${v.mountPoint}/s4`, files, 4),
  chmod: (v) => load('chmod', `${v.mountPoint}/s`, files),
  setxattr: (v) => load('setxattr', `${v.mountPoint}/s`, files),
  'stat cold': (v) => load('stat', `${v.cold()}/s`, files),
  'read cold': (v) => load('read', `${v.cold()}/s`, files),
  append: (v) => load('append', `${v.mountPoint}/s`, files),
  rename: (v) => load('rename', `${v.mountPoint}/s4`, files, 4),
  unlink: (v) => load('unlink', `${v.mountPoint}/s`, files),
  mkdir: (v) => load('mkdir', `${v.mountPoint}/m`, files / 2),
  rmdir: (v) => load('rmdir', `${v.mountPoint}/m`, files / 2),
  untar: (v) => timed('tar', ['xf', at('data', 'tree.tar'), '--one-top-level=t', '-C', v.mountPoint]),
  'rm -rf': (v) => timed('rm', ['-rf', `${v.cold()}/t`]),
  'git clone': (v) =>
    timed('git', ['clone', '-q', '--no-hardlinks', at('data', 'repository.git'), `${v.mountPoint}/g`]),
  'write 1M': (v) => load('fill', `${v.mountPoint}/b`, 512, 1, 2 ** 20),
  'read 1M': (v) => load('scan', `${v.cold()}/b`, 512, 1, 2 ** 20),
  'overwrite 4K': (v) => load('overwrite', `${v.mountPoint}/b`, files * 2),
  'overwrite 4K x4': (v) => {
    load('fill', `${v.mountPoint}/b4`, 256, 4, 2 ** 20);
    return load('overwrite', `${v.mountPoint}/b4`, files * 2, 4);
  },
  'fsync append': (v) => load('fsync', `${v.mountPoint}/f`, 200),
  heal: (v) => heal(v),
};

/** What an operation needs of earlier ones when --only leaves them out. */
const needs = {
  chmod: ['create'],
  setxattr: ['create'],
  'stat cold': ['create'],
  'read cold': ['create'],
  append: ['create'],
  unlink: ['create'],
  rename: ['create4'],
  rmdir: ['mkdir'],
  'rm -rf': ['untar'],
  'read 1M': ['write 1M'],
  'overwrite 4K': ['write 1M'],
};

/** New small files while one brick is down: seconds until the heal daemon has brought them to it. */
async function heal(v) {
  if (brickCount < 3) return Number.NaN;
  const victim = v.bricks[1];
  const status = v.system.cli('volume', 'status', v.name, '--xml');
  const pid = Number(
    [...status.matchAll(/<path>([^<]*)<\/path>[\s\S]*?<pid>(\d+)<\/pid>/g)].find((match) => match[1] === victim)[2],
  );
  process.kill(pid, 'SIGTERM');
  await sleep(500);
  load('create', `${v.mountPoint}/h`, files);
  const begun = process.hrtime.bigint();
  v.system.cli('volume', 'start', v.name, 'force');
  const wanted = files;
  for (;;) {
    try {
      v.system.cli('volume', 'heal', v.name);
    } catch {
      // The brick or the heal daemon is not there yet.
    }
    for (let i = 0; i < 10; i++) {
      await sleep(200);
      if (healed(victim) >= wanted) return Number(process.hrtime.bigint() - begun) / 1e9;
    }
  }
}

/** How many files of the heal's folder the brick has whole. */
function healed(brick) {
  try {
    const folder = path.join(brick, 'h', 'p0');
    return fs.readdirSync(folder).filter((name) => fs.statSync(path.join(folder, name)).size === 4096).length;
  } catch {
    return 0;
  }
}

const only = flags.only?.split(',');
const chosen = Object.keys(operations).filter(
  (name) => !only || only.includes(name) || only.some((other) => needs[other]?.includes(name)),
);

const type = brickCount > 1 ? ['replica', String(brickCount)] : [];
const make = (kind, number) => new Volume(kind, number, brickCount, { type, fresh: flags.fresh, settings: flags.set });
await compare({ runs, alone: flags.alone, json: flags.json, make, operations, chosen });
