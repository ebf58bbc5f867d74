// What the measurements against GlusterFS share: both systems side by side in namespaces of their own, on one disk image, and
// the table of what came of it.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Runs the program again in mount, network and process namespaces of its own, which end with it; then goes on there. */
export async function inNamespaces(folder) {
  if (process.env.MORTAR_BENCH_HOME !== undefined) return;
  if (process.getuid() !== 0) throw new Error('mounts file systems: run it as root');
  const home = fs.mkdtempSync(path.join(folder, 'mortar-bench-'));
  const words = ['-m', '-n', '-p', '-f', '--mount-proc', '--kill-child', '--propagation', 'private'];
  const child = spawn('unshare', [...words, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, MORTAR_BENCH_HOME: home },
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill('SIGKILL'));
  const code = await new Promise((done) => child.on('exit', done));
  fs.rmSync(home, { recursive: true, force: true });
  process.exit(code ?? 1);
}

export const at = (...names) => path.join(process.env.MORTAR_BENCH_HOME, ...names);
const timeout = 600_000;
const address = { gluster: '10.99.0.1', mortar: '10.99.0.2' };

export function run(program, words, options = {}) {
  return execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout, ...options });
}

export const installed = (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** Namespaces, a disk for the bricks, inputs. */
function prepare() {
  run('ip', ['link', 'set', 'lo', 'up']);
  for (const own of Object.values(address)) run('ip', ['addr', 'add', `${own}/32`, 'dev', 'lo']);
  for (const name of ['disk', 'mnt', 'data', 'private']) fs.mkdirSync(at(name));
  fs.writeFileSync(at('image'), '');
  fs.truncateSync(at('image'), 12 * 2 ** 30);
  const disk = installed('mkfs.xfs') ? ['mkfs.xfs', '-q', '-i', 'size=512'] : ['mkfs.ext4', '-q', '-I', '512'];
  run(disk[0], [...disk.slice(1), at('image')]);
  run('mount', ['-o', 'loop,noatime', at('image'), at('disk')]);
  for (const folder of ['/var/lib/glusterd', '/var/log/glusterfs', '/run']) {
    if (!fs.existsSync(folder)) continue;
    const own = at('private', folder.replaceAll('/', '_'));
    if (folder === '/var/lib/glusterd') fs.cpSync(folder, own, { recursive: true });
    else fs.mkdirSync(own);
    run('mount', ['--bind', own, folder]);
  }
  fs.mkdirSync('/run/gluster', { recursive: true });
  run('cc', ['-O2', '-o', at('data', 'small-files'), path.join(root, 'bench', 'c', 'small-files.c')]);
  makeTree();
}

/** A source tree of its own making, the same every time: sizes as in a source tree, about 2,900 files in 160 folders. */
function makeTree() {
  let seed = 42;
  const random = () => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed / 0x7fffffff;
  };
  const tree = at('data', 'tree');
  for (let i = 0; i < 2900; i++) {
    const folder = path.join(tree, `d${Math.floor(random() * 20)}`, `e${Math.floor(random() * 8)}`);
    fs.mkdirSync(folder, { recursive: true });
    const normal = Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(2 * Math.PI * random());
    fs.writeFileSync(path.join(folder, `f${i}.h`), `line ${i}\n`.repeat(Math.ceil(Math.exp(8 + 1.3 * normal) / 9)));
  }
  run('tar', ['cf', at('data', 'tree.tar'), '-C', tree, '.']);
  const git = (...words) => run('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', '-C', tree, ...words]);
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-q', '-m', 'x');
  run('git', ['clone', '-q', '--bare', tree, at('data', 'repository.git')]);
}

/** How each of the two is started, told things and mounted. */
export const systems = {
  gluster: {
    start() {
      // Its own listening address, so that both have the port they are used to.
      const volfile = at('data', 'glusterd.vol');
      const bind = `    option transport.socket.bind-address ${address.gluster}\nend-volume`;
      fs.writeFileSync(volfile, fs.readFileSync('/etc/glusterfs/glusterd.vol', 'utf8').replace('end-volume', bind));
      run('glusterd', ['-f', volfile]);
    },
    cli: (...words) => run('gluster', ['--mode=script', ...words]),
    mount: (volume, place) => run('glusterfs', ['-s', address.gluster, `--volfile-id=/${volume}`, place]),
    host: address.gluster,
  },
  mortar: {
    start() {
      for (const name of ['lib', 'run', 'log']) fs.mkdirSync(at('private', `mortar-${name}`));
      const settings = {
        'working-directory': at('private', 'mortar-lib'),
        'run-directory': at('private', 'mortar-run'),
        'logging-directory': at('private', 'mortar-log'),
        'glusterd-sockfile': at('private', 'mortar-run', 'glusterd.socket'),
        'transport.socket.bind-address': address.mortar,
      };
      const options = Object.entries(settings).flatMap(([key, value]) => [
        '--xlator-option',
        `management.${key}=${value}`,
      ]);
      run(path.join(root, 'bin', 'glusterd'), [
        ...options,
        `--log-file=${at('private', 'mortar-log', 'glusterd.log')}`,
        `--pid-file=${at('private', 'mortar-run', 'glusterd.pid')}`,
      ]);
    },
    cli: (...words) =>
      run(path.join(root, 'bin', 'gluster'), [
        '--mode=script',
        `--glusterd-sock=${at('private', 'mortar-run', 'glusterd.socket')}`,
        `--log-file=${at('private', 'mortar-log', 'cli.log')}`,
        ...words,
      ]),
    mount: (volume, place) =>
      run(path.join(root, 'bin', 'glusterfs'), [
        `--volfile-server=${address.mortar}`,
        `--volfile-id=/${volume}`,
        `--log-file=${at('private', 'mortar-log', 'mount.log')}`,
        place,
      ]),
    host: address.mortar,
  },
};

/** What a mount has done before it is measured. */
const useFiles = 800;

export class Volume {
  /** `type`: what stands before the bricks on the command line; `settings`: `KEY=VALUE`, of Mortar's volumes. */
  constructor(kind, number, brickCount, { type = [], fresh = false, settings = [] } = {}) {
    this.kind = kind;
    this.fresh = fresh;
    this.system = systems[kind];
    this.name = `${kind}${number}`;
    this.mountPoint = at('mnt', this.name);
    this.type = type;
    this.settings = kind === 'mortar' ? settings : [];
    this.bricks = Array.from({ length: brickCount }, (_, i) => at('disk', this.name, `b${i}`));
  }

  create() {
    fs.mkdirSync(this.mountPoint);
    for (const brick of this.bricks) fs.mkdirSync(path.dirname(brick), { recursive: true });
    const bricks = this.bricks.map((brick) => `${this.system.host}:${brick}`);
    this.system.cli('volume', 'create', this.name, ...this.type, ...bricks, 'force');
    for (const [key, value] of this.settings.map((one) => one.split('=')))
      this.system.cli('volume', 'set', this.name, key, value);
    this.system.cli('volume', 'start', this.name);
    this.mount();
  }

  mount() {
    this.system.mount(this.name, this.mountPoint);
    for (let i = 0; ; i++) {
      try {
        fs.writeFileSync(path.join(this.mountPoint, '.ready'), 'x');
        return;
      } catch (error) {
        if (i > 100) throw error;
        spawnSync('sleep', ['0.1']);
      }
    }
  }

  /**
   * The mount point, mounted anew: the client knows nothing of the files, the bricks' caches are as they were. A mount is there for
   * months, so it has done other work before the clock starts (`fresh`: none).
   */
  cold() {
    run('umount', [this.mountPoint]);
    this.mount();
    if (!this.fresh) this.use();
    this.counted = this.cpu();
    return this.mountPoint;
  }

  /** Work on files of no other use. */
  use() {
    const folder = path.join(this.mountPoint, '.use');
    for (const op of ['create', 'stat', 'read', 'chmod', 'setxattr']) load(op, folder, useFiles);
    run('ls', ['-lR', folder]);
    run('rm', ['-rf', folder]);
  }

  remove() {
    run('umount', [this.mountPoint]);
    this.system.cli('volume', 'stop', this.name);
    this.system.cli('volume', 'delete', this.name);
    fs.rmSync(path.dirname(this.bricks[0]), { recursive: true, force: true });
  }

  processes() {
    const bricks = path.dirname(this.bricks[0]).replaceAll('/', '-');
    const found = [];
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('/', '-');
        if (words.includes(`${bricks}-`)) found.push({ pid, part: 'bricks' });
        else if (words.includes(this.mountPoint.replaceAll('/', '-'))) found.push({ pid, part: 'mount' });
      } catch {
        // It ended meanwhile.
      }
    }
    return found;
  }

  /** CPU seconds so far: of all bricks, and of the mount (which begins anew with every remount). */
  cpu() {
    const sum = { bricks: 0, mount: 0 };
    for (const { pid, part } of this.processes()) {
      try {
        const words = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
        sum[part] += (Number(words[11]) + Number(words[12])) / 100;
      } catch {
        // It ended meanwhile.
      }
    }
    return sum;
  }
}

export function load(op, folder, count, writers = 1, size = 4096) {
  const words = [op, folder, count, writers, size].map(String);
  return Number(run(at('data', 'small-files'), words).trim());
}

export function timed(program, words) {
  const begun = process.hrtime.bigint();
  run(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  return Number(process.hrtime.bigint() - begun) / 1e9;
}

async function measure(volume, operations, chosen) {
  volume.create();
  await sleep(1000);
  if (!volume.fresh) volume.use();
  const times = {};
  for (const name of chosen) {
    volume.counted = volume.cpu();
    const seconds = await operations[name](volume);
    const after = volume.cpu();
    const bricks = after.bricks - volume.counted.bricks;
    const mount = after.mount - volume.counted.mount;
    times[name] = { seconds, bricks, mount };
    const cpu = `bricks ${bricks.toFixed(2)} s, mount ${mount.toFixed(2)} s CPU`;
    process.stderr.write(`  ${volume.kind} ${name}: ${seconds.toFixed(2)} s (${cpu})\n`);
  }
  volume.remove();
  return times;
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Seconds and CPU seconds (bricks and mount together), and how many times as long and as much the peer takes. */
function report(results, chosen) {
  const cpuOf = (times) => times.bricks + times.mount;
  const cell = (value, width = 8) => value.toFixed(2).padStart(width);
  const rows = chosen.map((name) => {
    const of = (kind) => results[kind].map((times) => times[name]);
    const ours = of('mortar');
    const cells = [cell(median(ours.map((t) => t.seconds))), cell(median(ours.map(cpuOf)))];
    if (results.gluster.length > 0) {
      const theirs = of('gluster');
      const ratios = ours.map((times, i) => theirs[i].seconds / times.seconds);
      const cpuRatios = ours.map((times, i) => cpuOf(theirs[i]) / cpuOf(times));
      cells.push(cell(median(theirs.map((t) => t.seconds)), 10), cell(median(theirs.map(cpuOf))));
      cells.push(cell(Math.min(...ratios)), cell(median(ratios)), cell(median(cpuRatios)));
    }
    return name.padEnd(18) + cells.join('');
  });
  const peer = results.gluster.length > 0 ? '   gluster     cpu     min  median     cpu' : '';
  console.log(`operation           mortar     cpu${peer}`);
  console.log(rows.join('\n'));
}

/** Runs alternate between the two. `make`: a volume of a kind. */
export async function compare({ runs, alone, json, make, operations, chosen }) {
  prepare();
  const peer = !alone && installed('glusterd');
  if (!peer && !alone) console.log('skipped: GlusterFS (glusterfs-server is not installed); Mortar alone is measured');
  if (peer) systems.gluster.start();
  systems.mortar.start();
  await sleep(1000);
  const results = { gluster: [], mortar: [] };
  for (let number = 0; number < runs; number++)
    for (const kind of peer ? ['gluster', 'mortar'] : ['mortar']) {
      process.stderr.write(`run ${number + 1} of ${runs}: ${kind}\n`);
      results[kind].push(await measure(make(kind, number), operations, chosen));
    }
  report(results, chosen);
  if (json !== undefined) fs.writeFileSync(json, JSON.stringify(results, null, 1));
  process.exit(0);
}
