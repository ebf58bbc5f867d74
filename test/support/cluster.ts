/**
 * A glusterd of its own for a test file: one directory and one loopback address hold everything, nothing of the machine is
 * touched, and the end of the file is a test too: no process, mount, socket or listener may be left.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { commandLine, ensureBuilt, isAlive, root, until } from './sandbox.ts';

export interface Outcome {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export interface MountedVolume {
  readonly path: string;
  readonly pid: number;
  readonly log: string;
}

export interface Brick {
  /** As the command line names it: HOST:/path. */
  readonly name: string;
  readonly path: string;
}

const commandTimeoutMs = 90_000;
const tailBytes = 6000;
let clusters = 0;

/** Call it at the top of a test file (or describe): it starts before the tests and ends, checked, after them. */
export function startCluster(): Cluster {
  const cluster = new Cluster();
  beforeAll(async () => {
    ensureBuilt();
    await cluster.startGlusterd();
  }, 180_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(`logs of '${task.name}':\n${cluster.logTails()}`);
  });
  afterAll(async () => {
    const left = await cluster.end();
    if (left.length > 0) throw new Error(`left behind:\n${left.join('\n')}`);
  }, 120_000);
  return cluster;
}

export class Cluster {
  readonly home = mkdtempSync(join(tmpdir(), 'mortar-e2e-'));
  readonly address = `127.${1 + (process.pid % 250)}.${Math.floor(process.pid / 250) % 250}.${10 + clusters++}`;
  readonly env: NodeJS.ProcessEnv;
  readonly #bricks = new Map<string, Brick[]>();
  #mounts = 0;

  constructor() {
    for (const name of ['lib', 'run', 'log', 'bricks']) mkdirSync(this.at(name));
    this.env = { ...process.env, MORTAR_LOG_DIRECTORY: this.at('log'), MORTAR_RUN_DIRECTORY: this.at('run') };
  }

  at(name: string): string {
    return join(this.home, name);
  }

  /** Runs a program to its end; `stdin` is empty. */
  run(program: string, args: readonly string[], cwd = this.home): Promise<Outcome> {
    const options = { env: this.env, cwd, timeout: commandTimeoutMs, maxBuffer: 64 * 2 ** 20 };
    return new Promise((resolve) => {
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        const killed = error?.killed ? `\n${program} did not end within ${commandTimeoutMs} ms` : '';
        resolve({ exitCode: child.exitCode, stdout, stderr: stderr + killed });
      });
      child.stdin?.end();
    });
  }

  /** A program of bin/. */
  command(name: string, ...args: string[]): Promise<Outcome> {
    return this.run(join(root, 'bin', name), args);
  }

  /** Output of a shell script; throws with all it said when it fails. */
  async sh(script: string, cwd = this.home): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run('bash', ['-euo', 'pipefail', '-c', script], cwd);
    if (exitCode !== 0) throw new Error(`exit code ${exitCode} of: ${script}\n${stderr}${stdout}`);
    return stdout;
  }

  async startGlusterd(): Promise<number> {
    const options = {
      'working-directory': this.at('lib'),
      'run-directory': this.at('run'),
      'logging-directory': this.at('log'),
      'glusterd-sockfile': this.at('run/glusterd.socket'),
      'transport.socket.bind-address': this.address,
    };
    const words = Object.entries(options).flatMap(([key, value]) => ['--xlator-option', `management.${key}=${value}`]);
    const { exitCode, stderr } = await this.command(
      'glusterd',
      ...words,
      `--log-file=${this.at('log/glusterd.log')}`,
      `--pid-file=${this.at('run/glusterd.pid')}`,
    );
    if (exitCode !== 0) throw new Error(`glusterd: exit code ${exitCode}: ${stderr}\n${this.logTails()}`);
    return this.glusterdPid();
  }

  glusterdPid(): number {
    return readPid(this.at('run/glusterd.pid'));
  }

  gluster(...words: string[]): Promise<Outcome> {
    return this.command(
      'gluster',
      '--mode=script',
      `--glusterd-sock=${this.at('run/glusterd.socket')}`,
      `--log-file=${this.at('log/cli.log')}`,
      ...words,
    );
  }

  /** As `gluster`, for what must succeed. */
  async must(...words: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.gluster(...words);
    if (exitCode !== 0) throw new Error(`gluster ${words.join(' ')}: exit code ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  brick(name: string): Brick {
    const path = this.at(`bricks/${name}`);
    return { path, name: `${this.address}:${path}` };
  }

  /** `shape` is what stands before the bricks: ['replica', '3']. */
  async create(volume: string, shape: readonly string[], count: number): Promise<readonly Brick[]> {
    const bricks = Array.from({ length: count }, (_, index) => this.brick(`${volume}-${index}`));
    await this.must('volume', 'create', volume, ...shape, ...bricks.map(({ name }) => name), 'force');
    this.#bricks.set(volume, bricks);
    return bricks;
  }

  async createAndStart(volume: string, shape: readonly string[], count: number): Promise<readonly Brick[]> {
    const bricks = await this.create(volume, shape, count);
    await this.must('volume', 'start', volume);
    return bricks;
  }

  /** A new mount of the volume; `options` are glusterfs's. */
  mount(volume: string, ...options: string[]): Promise<MountedVolume> {
    return this.mountAt(this.mountPoint(), volume, ...options);
  }

  mountPoint(): string {
    const path = this.at(`mnt${++this.#mounts}`);
    mkdirSync(path);
    return path;
  }

  async mountAt(path: string, volume: string, ...options: string[]): Promise<MountedVolume> {
    const pidFile = this.at(`run/${path.slice(path.lastIndexOf('/') + 1)}.pid`);
    const log = this.at(`log/${path.slice(path.lastIndexOf('/') + 1)}.log`);
    const { exitCode, stderr } = await this.command(
      'glusterfs',
      `--volfile-server=${this.address}`,
      `--volfile-id=/${volume}`,
      `--pid-file=${pidFile}`,
      `--log-file=${log}`,
      ...options,
      path,
    );
    if (exitCode !== 0) throw new Error(`mount of ${volume}: exit code ${exitCode}: ${stderr}`);
    return { path, log, pid: readPid(pidFile) };
  }

  /** Unmounts and waits for the end of the process. */
  async unmount({ path, pid }: MountedVolume): Promise<void> {
    await this.sh(`umount ${path}`);
    if (await until(() => !isAlive(pid))) return;
    const holders = mountedFor(path);
    const why = holders.length > 0 ? `, for a copy of the mount is in the namespaces of ${holders.join(', ')}` : '';
    throw new Error(`the process ${pid} of ${path} lives on after umount${why}: ${stateOf(pid)}`);
  }

  brickPid(volume: string, brick: Brick): number {
    return readPid(this.#pidFile(volume, brick));
  }

  #pidFile(volume: string, { path }: Brick): string {
    return this.at(`run/vols/${volume}/${this.address}${path.replaceAll('/', '-')}.pid`);
  }

  brickPids(volume: string): number[] {
    return (this.#bricks.get(volume) ?? []).map((brick) => this.brickPid(volume, brick));
  }

  /** Sends the signal and waits until the process is gone. */
  async kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(pid, signal);
    if (!(await until(() => !isAlive(pid)))) throw new Error(`process ${pid} lives on after ${signal}`);
  }

  /** SIGKILL, and away until `volume start force`: without its pid file it is not one that died (docs/processes.md). */
  async killBrick(volume: string, brick: Brick): Promise<void> {
    const pid = this.brickPid(volume, brick);
    rmSync(this.#pidFile(volume, brick));
    await this.kill(pid);
  }

  async killBricks(volume: string): Promise<void> {
    for (const brick of this.#bricks.get(volume) ?? []) await this.killBrick(volume, brick);
  }

  /** Until `volume heal V info` counts nothing, twice in a row. */
  async healed(volume: string): Promise<void> {
    let calm = 0;
    let last = '';
    for (const end = Date.now() + 60_000; Date.now() < end; await pause(200)) {
      last = await this.must('volume', 'heal', volume, 'info');
      const counts = [...last.matchAll(/^Number of entries: (\S+)$/gm)].map((match) => match[1]);
      calm =
        counts.length === this.#bricks.get(volume)?.length && counts.every((count) => count === '0') ? calm + 1 : 0;
      if (calm === 2) return;
    }
    throw new Error(`${volume} is not healed:\n${last}`);
  }

  /** Unmounts what is mounted of it, stops and deletes the volume and removes its bricks. */
  async destroy(volume: string, ...mounts: MountedVolume[]): Promise<void> {
    for (const mount of mounts) await this.unmount(mount);
    await this.must('volume', 'stop', volume, 'force');
    await this.must('volume', 'delete', volume);
    for (const { path } of this.#bricks.get(volume) ?? []) rmSync(path, { recursive: true, force: true });
    this.#bricks.delete(volume);
  }

  /** Our daemons: all of them have a path of ours in their words. */
  processes(): number[] {
    const daemons = ['glusterd', 'glusterfsd', 'glusterfs'];
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        const words = commandLine(pid);
        return daemons.includes(words[0] ?? '') && words.some((word) => word.includes(this.home)) && isAlive(pid);
      });
  }

  /** What is left of this cluster on the machine, a line each. */
  traces(): string[] {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    const sockets = readFileSync('/proc/net/unix', 'utf8').split('\n');
    return [
      ...this.processes().map((pid) => `process ${pid}: ${commandLine(pid).join(' ')} (${stateOf(pid)})`),
      ...mounts.filter((line) => line.includes(this.home)).map((line) => `mount: ${line}`),
      ...sockets.filter((line) => line.includes(this.home)).map((line) => `socket: ${line}`),
      ...this.listeners().map((port) => `listener: ${this.address}:${port}`),
    ];
  }

  /** TCP ports of our address that someone listens at. */
  listeners(): number[] {
    const hex = this.address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase())
      .reverse()
      .join('');
    return [...readFileSync('/proc/net/tcp', 'utf8').matchAll(new RegExp(`: ${hex}:([0-9A-F]{4}) \\S+ 0A `, 'g'))].map(
      (match) => Number.parseInt(match[1]!, 16),
    );
  }

  logTails(): string {
    return readdirSync(this.at('log'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => `--- ${path}\n${lastWords(readFileSync(path, 'utf8'))}`)
      .join('\n');
  }

  /** Ends all in an orderly way; what had to be forced, or is still there, is returned. */
  async end(): Promise<string[]> {
    const complaints: string[] = [];
    for (const path of this.#mountPoints()) {
      const { exitCode, stderr } = await this.run('umount', [path]);
      if (exitCode === 0) continue;
      complaints.push(`umount ${path}: ${stderr.trim()}`);
      await this.run('umount', ['-l', path]);
    }
    for (const pid of this.processes()) process.kill(pid, 'SIGTERM');
    if (!(await until(() => this.processes().length === 0, 10_000))) {
      complaints.push(...this.processes().map((pid) => `after SIGTERM: ${pid} ${commandLine(pid).join(' ')}`));
      for (const pid of this.processes()) process.kill(pid, 'SIGKILL');
      await until(() => this.processes().length === 0, 5000);
    }
    await until(() => this.traces().length === 0, 5000);
    complaints.push(...this.traces());
    if (this.#mountPoints().length === 0) rmSync(this.home, { recursive: true, force: true });
    return complaints;
  }

  /** Innermost first. */
  #mountPoints(): string[] {
    return readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((path) => path.startsWith(this.home))
      .reverse();
  }
}

/** The complaints of a log, and its last lines. */
function lastWords(text: string): string {
  const lines = text.trimEnd().split('\n');
  return lines
    .filter((line, index) => index >= lines.length - 4 || / [WEC] \[/.test(line))
    .join('\n')
    .slice(-tailBytes);
}

function readPid(path: string): number {
  return Number(readFileSync(path, 'utf8').trim());
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Waits for what a test expects to come true; says what it waited for. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 30_000) {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await pause(50)) if (await condition()) return;
  if (!(await condition())) throw new Error(`in vain waited ${timeoutMs} ms for: ${what}`);
}

/** Processes that still see the mount: one that began a mount namespace of its own meanwhile keeps its copy, and the kernel the session. */
export function mountedFor(path: string): string[] {
  const sees = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(` ${path} `);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && sees(name));
}

/** What a process that should be gone does: sleeps or runs, and whether it was signalled. */
function stateOf(pid: number): string {
  const wanted = /^(State|SigPnd|ShdPnd|SigCgt):/;
  const status = (() => {
    try {
      return readFileSync(`/proc/${pid}/status`, 'utf8');
    } catch {
      return 'State: gone';
    }
  })();
  const lines = status.split('\n').filter((line) => wanted.test(line));
  return lines.map((line) => line.replace(/\s+/g, ' ')).join(', ');
}

export const hasProgram = (name: string): boolean =>
  (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, name)));

export const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
