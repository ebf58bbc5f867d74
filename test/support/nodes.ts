/**
 * Several machines on one: each node has a network, mount, process and host name namespace of its own, below one that holds
 * the switch between them. Nothing of the machine is touched; all of it ends with the process that made it.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canMount, ensureBuilt, root, until } from './sandbox.ts';

const defaultNetwork = '10.78.7';
const metricsPort = 9713;
const commandTimeoutMs = 120_000;

/** Why there can be no nodes here, or null. */
export function nodesImpossible(): string | null {
  if (process.getuid?.() !== 0) return 'only root may make namespaces';
  if (!canMount) return 'there is no /dev/fuse';
  const words = ['-n', '-m', '-p', '-f', '-u', '--mount-proc', '--propagation', 'private', 'bash', '-c'];
  const script = 'ip link set lo up && ip link add probe0 type bridge && ip link add v0 type veth peer name v1';
  const { status, stderr } = spawnSync('unshare', [...words, script], { encoding: 'utf8' });
  return status === 0 ? null : `no network namespaces: ${stderr?.trim() ?? 'there is no unshare'}`;
}

interface Said {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, words: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const options = { timeout: commandTimeoutMs, maxBuffer: 64 * 2 ** 20 };
    const child = execFile(program, words, options, (_error, stdout, stderr) => {
      resolve({ exitCode: child.exitCode, stdout, stderr });
    });
    child.stdin?.end();
  });
}

async function must(program: string, ...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(program, words);
  if (exitCode !== 0) throw new Error(`${program} ${words.join(' ')}: exit code ${exitCode}: ${stderr}${stdout}`);
  return stdout;
}

/** Lives as long as its standard input is open; its process 1 reaps whatever is left to it. */
const hold = 'exec 3<&0; cat <&3 >/dev/null & wait $!';
/** A copied mount keeps its server alive after its owner, another test of this machine, has unmounted it. */
const dropCopiedMounts = `awk '$3 ~ /^fuse/ { print $2 }' /proc/mounts | xargs -r umount -l;`;

export class Nodes {
  readonly home = mkdtempSync(join(tmpdir(), 'mortar-nodes-'));
  readonly nodes: readonly ClusterNode[];
  #switch!: ChildProcess;

  /** Node i has the address `prefix` followed by i. */
  constructor(count: number, prefix = `${defaultNetwork}.`) {
    this.nodes = Array.from({ length: count }, (_, i) => new ClusterNode(this.home, i + 1, `${prefix}${i + 1}`));
  }

  async start(): Promise<void> {
    ensureBuilt();
    this.#switch = spawn('unshare', ['-n', 'bash', '-c', hold], { stdio: ['pipe', 'ignore', 'ignore'] });
    const outside = readlinkSync('/proc/self/ns/net');
    const isApart = () => readlinkSync(`/proc/${this.#switch.pid}/ns/net`) !== outside;
    if (!(await until(isApart))) throw new Error('the namespace of the switch did not come up');
    await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'add', 'lan', 'type', 'bridge');
    await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'set', 'lan', 'up');
    writeFileSync(join(this.home, 'hosts'), hosts(this.nodes));
    writeFileSync(join(this.home, 'nsswitch.conf'), 'hosts: files\n');
    for (const node of this.nodes) {
      const pid = await node.enter();
      const plug = `plug${node.index}`;
      const link = ['ip', 'link', 'add', plug, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${pid}`];
      await must('nsenter', ...this.#inSwitch(), ...link);
      await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'set', plug, 'master', 'lan', 'up');
      await node.sh(
        `ip link set lo up; ip addr add ${node.address}/24 dev eth0; ip link set eth0 up; hostname node${node.index};` +
          `mount --bind ${this.home}/hosts /etc/hosts; mount --bind ${this.home}/nsswitch.conf /etc/nsswitch.conf`,
      );
      await node.startGlusterd();
    }
  }

  /** Every node gets a second address, `prefix` followed by its number, in a network of its own, and as a second name `nodeIb`. */
  async addNetwork(prefix: string): Promise<void> {
    await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'add', 'lan2', 'type', 'bridge');
    await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'set', 'lan2', 'up');
    for (const node of this.nodes) {
      const plug = `plug${node.index}b`;
      const link = ['ip', 'link', 'add', plug, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', `${node.processId}`];
      await must('nsenter', ...this.#inSwitch(), ...link);
      await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'set', plug, 'master', 'lan2', 'up');
      await node.sh(`ip addr add ${prefix}${node.index}/24 dev eth1; ip link set eth1 up`);
      this.addNames(`${prefix}${node.index} node${node.index}b`);
    }
  }

  /** Lines of the file of hosts that all nodes have. */
  addNames(...lines: string[]): void {
    appendFileSync(join(this.home, 'hosts'), lines.map((line) => `${line}\n`).join(''));
  }

  #inSwitch(): string[] {
    return ['-t', `${this.#switch.pid}`, '-n', '--'];
  }

  /** The node's plug is pulled, or put in again; `second`: that of the network that was added. */
  async setLink(node: ClusterNode, state: 'up' | 'down', second = false): Promise<void> {
    const plug = `plug${node.index}${second ? 'b' : ''}`;
    await must('nsenter', ...this.#inSwitch(), 'ip', 'link', 'set', plug, state);
  }

  async end(): Promise<void> {
    for (const node of this.nodes) await node.end();
    this.#switch?.stdin?.end();
    rmSync(this.home, { recursive: true, force: true });
  }

  logs(): string {
    return this.nodes.map((node) => node.logs()).join('\n');
  }
}

function hosts(nodes: readonly ClusterNode[]): string {
  const lines = nodes.map(({ address, index }) => `${address} node${index}`);
  return ['127.0.0.1 localhost', ...lines, ''].join('\n');
}

export class ClusterNode {
  readonly index: number;
  readonly address: string;
  readonly home: string;
  /** Variables, NAME=VALUE, of all that is started here. */
  readonly environment: string[] = [];
  #holder: ChildProcess | undefined;
  #pid = 0;

  constructor(home: string, index: number, address: string) {
    this.index = index;
    this.address = address;
    this.home = join(home, `node${index}`);
    for (const name of ['lib', 'run', 'log', 'bricks', 'mnt']) mkdirSync(join(this.home, name), { recursive: true });
  }

  /** Process 1 of the node, by its number outside. */
  get processId(): number {
    return this.#pid;
  }

  at(...names: string[]): string {
    return join(this.home, ...names);
  }

  /** Process 1 of the node, by its number outside. */
  async enter(): Promise<number> {
    const words = ['-n', '-m', '-p', '-u', '-f', '--mount-proc', '--kill-child', '--propagation', 'private'];
    const holder = spawn('unshare', [...words, 'bash', '-c', dropCopiedMounts + hold], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#holder = holder;
    const first = () => Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim());
    const ready = () => {
      try {
        return first() > 0 && readFileSync(`/proc/${first()}/comm`, 'utf8').trim() === 'bash';
      } catch {
        return false;
      }
    };
    if (!(await until(ready))) throw new Error(`the namespaces of node${this.index} did not come up`);
    this.#pid = first();
    return this.#pid;
  }

  /** A command inside. */
  run(...words: string[]): Promise<Said> {
    const places = [`MORTAR_RUN_DIRECTORY=${this.at('run')}`, `MORTAR_LOG_DIRECTORY=${this.at('log')}`];
    const env = [...places, ...this.environment];
    return run('nsenter', ['-t', `${this.#pid}`, '-n', '-m', '-p', '-u', '--', 'env', ...env, ...words]);
  }

  async sh(script: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run('bash', '-euo', 'pipefail', '-c', script);
    if (exitCode !== 0) throw new Error(`node${this.index}: exit code ${exitCode} of: ${script}\n${stderr}${stdout}`);
    return stdout;
  }

  /** `more`: further settings. */
  async startGlusterd(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const options = {
      ...more,
      'working-directory': this.at('lib'),
      'run-directory': this.at('run'),
      'logging-directory': this.at('log'),
      'glusterd-sockfile': this.at('run/glusterd.socket'),
    };
    const words = Object.entries(options).map(([key, value]) => `--xlator-option management.${key}=${value}`);
    const log = `--log-file=${this.at('log/glusterd.log')}`;
    const files = `--metrics-port=${metricsPort} --pid-file=${this.at('run/glusterd.pid')}`;
    await this.sh(`${join(root, 'bin/glusterd')} ${words.join(' ')} ${log} ${files}`);
  }

  /** SIGKILL; resolves when it is gone. */
  async killGlusterd(): Promise<void> {
    const file = this.at('run/glusterd.pid');
    await this.sh(`pid=$(cat ${file}); kill -9 $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done`);
  }

  /** Its disk is new, its name and uuid are those it had; glusterd must not run. Bricks and hooks stay. */
  installAnew(): void {
    const uuid = /^UUID=\S+$/m.exec(readFileSync(this.at('lib/glusterd.info'), 'utf8'))![0];
    rmSync(this.at('lib'), { recursive: true });
    mkdirSync(this.at('lib'));
    writeFileSync(this.at('lib/glusterd.info'), `${uuid}\noperating-version=100000\n`);
  }

  /** SIGSTOP and SIGCONT: it is there, and says nothing. */
  async signalGlusterd(signal: 'STOP' | 'CONT'): Promise<void> {
    await this.sh(`kill -${signal} $(cat ${this.at('run/glusterd.pid')})`);
  }

  /** Whether anything is sent to another node from here. */
  async setRoute(to: ClusterNode, state: 'open' | 'cut'): Promise<void> {
    await this.sh(`ip route ${state === 'cut' ? 'replace' : 'del'} blackhole ${to.address}/32`);
  }

  /** Directories of the bricks that run here. */
  async bricks(): Promise<string[]> {
    const found = await this.sh(
      `for p in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null < $p/cmdline || true; echo; done | grep -o -- '--brick-name /[^ ]*' || true`,
    );
    return [...found.matchAll(/--brick-name (\/[a-zA-Z]\S*)/g)].map(([, path]) => path!).sort();
  }

  /** All that members of a pool have in common, as its text files say it. */
  documents(): string {
    const read = (path: string) => {
      try {
        return readFileSync(this.at('lib', path), 'utf8');
      } catch {
        return '';
      }
    };
    const list = (path: string) => {
      try {
        return readdirSync(this.at('lib', path)).sort();
      } catch {
        return [];
      }
    };
    const own = /UUID=(\S+)/.exec(read('glusterd.info'))?.[1] ?? '';
    const members = [...list('peers').filter((name) => !name.startsWith('.')), own].sort();
    const volumes = list('vols').map((name) => `${name}\n${read(`vols/${name}/info`)}`);
    return [members.join(' '), read('options'), ...volumes].join('\n');
  }

  gluster(...words: string[]): Promise<Said> {
    const socket = `--glusterd-sock=${this.at('run/glusterd.socket')}`;
    return this.run(
      join(root, 'bin/gluster'),
      '--mode=script',
      socket,
      `--log-file=${this.at('log/cli.log')}`,
      ...words,
    );
  }

  /** As `gluster`, for what must succeed. */
  async must(...words: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.gluster(...words);
    if (exitCode !== 0)
      throw new Error(`node${this.index}: gluster ${words.join(' ')}: ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  /** What Prometheus would read here. */
  metrics(): Promise<string> {
    const script = `fetch('http://127.0.0.1:${metricsPort}/metrics').then(async (r) => process.stdout.write(await r.text()))`;
    return this.sh(`node -e "${script}"`);
  }

  /** `name`: of the mount, where a volume is mounted more than once. */
  async mount(
    volume: string,
    servers: readonly Pick<ClusterNode, 'address'>[],
    name = volume,
    options = '',
  ): Promise<string> {
    const place = this.at('mnt', name);
    mkdirSync(place, { recursive: true });
    const from = servers.map(({ address }) => `--volfile-server=${address}`).join(' ');
    await this.sh(
      `${join(root, 'bin/glusterfs')} ${from} --volfile-id=/${volume} --log-file=${this.at('log', `mnt-${name}.log`)} ${options} ${place}`,
    );
    return place;
  }

  /** The text files of a volume that are the same on all nodes. */
  volumeInfo(volume: string): string {
    try {
      return readFileSync(this.at('lib/vols', volume, 'info'), 'utf8');
    } catch {
      return '';
    }
  }

  /** Everything in its namespaces ends with process 1. */
  async end(): Promise<void> {
    const holder = this.#holder;
    if (!holder) return;
    this.#holder = undefined;
    const gone = new Promise((resolve) => holder.once('exit', resolve));
    holder.stdin?.end();
    await gone;
  }

  logs(): string {
    return readdirSync(this.at('log'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => `--- ${path}\n${readFileSync(path, 'utf8').slice(-4000)}`)
      .join('\n');
  }
}
