/**
 * How long a brick's hot directory waits while four clients walk through a cold one on a disk whose every read takes
 * 10 ms, with and without performance/io-threads. `node bench/io-threads.mjs [SECONDS]`, as root, after `npm run build`.
 *
 * The disk is real to the kernel: ext4 on a loop device, without read-ahead, whose file lies in a mount of our own with
 * debug/delay-gen on reads. Each inode has a block of its own, so a walk through the cold directory reads once a name.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  buildGraph,
  type Gfid,
  type Graph,
  gfidFromBytes,
  InodeTable,
  locAt,
  parseVolfile,
  rootCall,
  rootGfid,
  type Services,
  startGraph,
  stopGraph,
  type XlatorType,
} from '@mortar/core';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { xlator as ioThreads } from '@mortar/xlators/performance/io-threads/index.ts';
import { xlator as posix } from '@mortar/xlators/storage/posix/index.ts';

const seconds = Number(process.argv[2] ?? 5);
const root = process.argv[3] ?? process.cwd();
const delayMs = 10;
const walkers = 4;
const hotFiles = 50;
const coldFiles = Math.max(1000, seconds * 1000);
const hotEveryMs = 2;

const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' }).trim();

const folder = mkdtempSync(join(tmpdir(), 'mortar-bench-'));
const image = join(folder, 'image');
const slow = join(folder, 'slow');
const disk = join(folder, 'disk');
const undo: (() => void)[] = [];

const gfid = (kind: number, n: number): Gfid => {
  const bytes = new Uint8Array(16).fill(kind);
  // The first bytes choose the handle's folder: spread, as random ones are.
  bytes[0] = n & 0xff;
  bytes[1] = (n >> 8) & 0xff;
  return gfidFromBytes(bytes);
};
const hot = gfid(1, 0);
const cold = gfid(2, 0);

const services: Services = {
  clock: nodeClock,
  random: nodeRandom,
  log: {
    level: 'WARNING',
    setLevel: () => {},
    write: (level, origin, text) => {
      if (level !== 'INFO' && level !== 'DEBUG' && level !== 'TRACE') console.error(`${level} ${origin}: ${text}`);
    },
  },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: (name) => {
    throw new Error(`no port ${name}`);
  },
};

async function openBrick(decides: boolean): Promise<Graph> {
  const text = `
volume files
  type storage/posix
  option directory ${disk}/brick
  option health-check-interval 0
end-volume
volume placed
  type performance/io-threads
  option pass-through ${decides ? 'off' : 'on'}
  subvolumes files
end-volume
`;
  const types = [posix, ioThreads].map((type) => [type.type, type as unknown as XlatorType] as const);
  const graph = buildGraph(parseVolfile(text, 'bench'), new Map(types), services);
  await startGraph(graph);
  return graph;
}

function attach(file: string, directIo: 'on' | 'off'): () => void {
  const device = run('losetup', `--direct-io=${directIo}`, '--show', '-f', file);
  run('mount', '-o', 'noatime,inode_readahead_blks=0', device, disk);
  return () => {
    run('umount', disk);
    run('losetup', '-d', device);
  };
}

async function fill(): Promise<void> {
  writeFileSync(image, '');
  truncateSync(image, (coldFiles * 3 + 20_000) * 4096);
  run('mkfs.ext4', '-q', '-I', '4096', '-b', '4096', '-N', String(coldFiles * 2 + 1000), image);
  mkdirSync(disk);
  const detach = attach(image, 'off');
  try {
    mkdirSync(join(disk, 'brick'));
    const graph = await openBrick(false);
    const { ops } = graph.top;
    const call = () => rootCall(nodeClock);
    for (const [name, id] of [['hot', hot] as const, ['cold', cold] as const])
      await ops.mkdir(call(), { loc: locAt(rootGfid, name), mode: 0o755, gfid: id });
    const make = (parent: Gfid, kind: number, n: number) =>
      ops.mknod(call(), {
        loc: locAt(parent, `f${n}`),
        mode: 0o100644,
        rdevMajor: 0,
        rdevMinor: 0,
        gfid: gfid(kind, n),
      });
    for (let i = 0; i < hotFiles; i++) await make(hot, 3, i);
    for (let i = 0; i < coldFiles; i++) {
      const made = await make(cold, 4, i);
      if (!made.ok) throw new Error(`making a file: errno ${made.errno}`);
    }
    await stopGraph(graph);
  } finally {
    detach();
  }
}

/** A mount in which every read takes `delayMs`, with a copy of the image. */
function mountSlow(): void {
  const below = join(folder, 'below');
  mkdirSync(below);
  mkdirSync(slow);
  const volfile = join(folder, 'slow.vol');
  writeFileSync(
    volfile,
    `volume files
  type storage/posix
  option directory ${below}
end-volume
volume slow
  type debug/delay-gen
  option delay-duration ${delayMs * 1000}
  option delay-percentage 100%
  option enable readv
  subvolumes files
end-volume
`,
  );
  run(join(root, 'bin/glusterfs'), '-f', volfile, '-l', join(folder, 'slow.log'), slow);
  undo.push(() => run('umount', slow));
  run('cp', '--sparse=always', image, join(slow, 'image'));
}

interface Result {
  latencies: number[];
  coldLookups: number;
}

async function measure(decides: boolean, walking: number): Promise<Result> {
  // Mounted anew: nothing is in the cache.
  const detach = attach(join(slow, 'image'), 'on');
  try {
    const graph = await openBrick(decides);
    const { ops } = graph.top;
    const call = () => rootCall(nodeClock);
    const lookup = async (parent: Gfid, n: number) => {
      const reply = await ops.lookup(call(), { loc: locAt(parent, `f${n}`) });
      if (!reply.ok) throw new Error(`lookup of f${n}: errno ${reply.errno}`);
    };
    for (let i = 0; i < 3 * hotFiles; i++) await lookup(hot, i % hotFiles);
    const until = performance.now() + seconds * 1000;
    let next = 0;
    const walk = async () => {
      while (performance.now() < until && next < coldFiles) {
        await lookup(cold, next++);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const latencies: number[] = [];
    const ask = async () => {
      for (let due = performance.now() + hotEveryMs, i = 0; due < until; due += hotEveryMs, i++) {
        const wait = due - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        // From when it was due: what waits behind a stall has waited since then. (Timers may be early.)
        const begun = Math.min(due, performance.now());
        await lookup(hot, i % hotFiles);
        latencies.push(performance.now() - begun);
      }
    };
    await Promise.all([ask(), ...Array.from({ length: walking }, walk)]);
    await stopGraph(graph);
    return { latencies: latencies.sort((a, b) => a - b), coldLookups: next };
  } finally {
    detach();
  }
}

const at = (values: number[], share: number) => values[Math.min(values.length - 1, Math.floor(values.length * share))]!;

function line(name: string, { latencies, coldLookups }: Result): void {
  const times = [0.5, 0.9, 0.99].map((share) => at(latencies, share).toFixed(2).padStart(9));
  console.log(`${name.padEnd(28)}${times.join('')}${String(Math.round(coldLookups / seconds)).padStart(12)}`);
}

try {
  await fill();
  mountSlow();
  const idle = await measure(true, 0);
  const off = await measure(false, walkers);
  const on = await measure(true, walkers);
  console.log(`hot lookups, ms from when due${'p50'.padStart(8)}${'p90'.padStart(9)}${'p99'.padStart(9)}   cold per s`);
  line('nobody beside it', idle);
  line('cold walk, io-threads off', off);
  line('cold walk, io-threads on', on);
  console.log(`off / on at the median: ${(at(off.latencies, 0.5) / at(on.latencies, 0.5)).toFixed(1)}`);
} finally {
  for (const each of undo.reverse()) each();
  rmSync(folder, { recursive: true, force: true });
}
