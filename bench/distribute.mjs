#!/usr/bin/env node
// The same work on a mount of GlusterFS and on a mount of Mortar, as ratios: distribute 3, default options on both sides, on this
// machine, on one XFS image. As root, after `npm run build`:
//
//   node bench/distribute.mjs [--runs N] [--files N] [--only OP,OP] [--alone] [--fresh] [--on DIR] [--json FILE]
//
// `rebalance`: a fourth brick is added, and the files (10,000 of 4 KiB by default) that hash to it now move there. Else as
// bench/replica.mjs.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { at, compare, inNamespaces, load, timed, Volume } from './peer.mjs';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '1' },
    files: { type: 'string', default: '10000' },
    only: { type: 'string' },
    alone: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    on: { type: 'string', default: os.tmpdir() },
    json: { type: 'string' },
  },
});
const files = Number(flags.files);

await inNamespaces(flags.on);

/** Each takes a volume, and gives the seconds of its timed part. In this order, each finds what those before left. */
const operations = {
  create: (v) => load('create', `${v.mountPoint}/s`, files),
  'stat cold': (v) => load('stat', `${v.cold()}/s`, files),
  untar: (v) => timed('tar', ['xf', at('data', 'tree.tar'), '--one-top-level=t', '-C', v.mountPoint]),
  'ls -lR cold': (v) => timed('ls', ['-lR', v.cold()]),
  'find cold': (v) => timed('find', [v.cold(), '-name', 'nothing']),
  'rm -rf cold': (v) => timed('rm', ['-rf', `${v.cold()}/t`]),
  rebalance,
};

async function rebalance(v) {
  const added = path.join(path.dirname(v.bricks[0]), 'added');
  v.system.cli('volume', 'add-brick', v.name, `${v.system.host}:${added}`, 'force');
  const begun = process.hrtime.bigint();
  v.system.cli('volume', 'rebalance', v.name, 'start', 'force');
  for (;;) {
    const said = v.system.cli('volume', 'rebalance', v.name, 'status');
    if (/ failed /.test(said)) throw new Error(said);
    if (/ completed /.test(said)) break;
    await sleep(250);
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  const moved = fs.readdirSync(path.join(added, 's', 'p0')).length;
  process.stderr.write(`  ${v.kind} rebalance: ${moved} names are on the brick that was added\n`);
  return seconds;
}

/** What an operation needs of earlier ones when --only leaves them out. */
const needs = {
  'stat cold': ['create'],
  'ls -lR cold': ['create', 'untar'],
  'find cold': ['create', 'untar'],
  'rm -rf cold': ['untar'],
  rebalance: ['create'],
};
const only = flags.only?.split(',');
const chosen = Object.keys(operations).filter(
  (name) => !only || only.includes(name) || only.some((other) => needs[other]?.includes(name)),
);
await compare({
  runs: Number(flags.runs),
  alone: flags.alone,
  json: flags.json,
  make: (kind, number) => new Volume(kind, number, 3, { fresh: flags.fresh }),
  operations,
  chosen,
});
