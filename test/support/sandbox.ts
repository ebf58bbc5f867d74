/** Real processes for tests: a directory of their own for logs, sockets and pid files, and an end for all of them. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Builds dist/ if the sources are newer. Cheap when they are not. */
export function ensureBuilt(): void {
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), '--if-stale'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export const canMount = process.getuid?.() === 0 && existsSync('/dev/fuse');

export class Sandbox {
  readonly path = mkdtempSync(join(tmpdir(), 'mortar-test-'));
  readonly logs = join(this.path, 'log');
  readonly run = join(this.path, 'run');
  readonly env: NodeJS.ProcessEnv;
  readonly #pids = new Set<number>();
  readonly #mounts = new Set<string>();

  constructor() {
    mkdirSync(this.logs);
    mkdirSync(this.run);
    this.env = { ...process.env, MORTAR_LOG_DIRECTORY: this.logs, MORTAR_RUN_DIRECTORY: this.run };
  }

  /** Runs a command of bin/ to its end. */
  command(name: string, ...args: string[]): Outcome {
    const { status, stdout, stderr } = spawnSync(join(root, 'bin', name), args, {
      env: this.env,
      cwd: this.path,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    return { status, stdout, stderr };
  }

  /** As `command`, while the test goes on to answer (as a glusterd, or as what the mount talks to). */
  commandAsync(name: string, ...args: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const options = { env: this.env, cwd: this.path, timeout: 60_000 };
      const child = execFile(join(root, 'bin', name), args, options, (_error, stdout, stderr) => {
        resolve({ status: child.exitCode, stdout, stderr });
      });
      child.stdin?.end();
    });
  }

  async daemonAsync(name: string, pidFile: string, ...args: string[]): Promise<number> {
    const path = join(this.run, pidFile);
    return this.#started(name, path, await this.commandAsync(name, '-p', path, ...args));
  }

  /** Output of a shell line; for file operations whose server needs this process's event loop. */
  inMount(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile('bash', ['-c', line], { timeout: 30_000 }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
  }

  /** Starts a daemon with a pid file; throws with its message when it does not start. */
  daemon(name: string, pidFile: string, ...args: string[]): number {
    const path = join(this.run, pidFile);
    return this.#started(name, path, this.command(name, '-p', path, ...args));
  }

  #started(name: string, path: string, { status, stderr }: Outcome): number {
    if (status !== 0) throw new Error(`${name} exited with ${status}: ${stderr}`);
    const pid = Number(readFileSync(path, 'utf8'));
    this.#pids.add(pid);
    return pid;
  }

  file(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text);
    return path;
  }

  folder(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A directory that is unmounted at the end. */
  mountPoint(name = 'mnt'): string {
    const path = this.folder(name);
    this.#mounts.add(path);
    return path;
  }

  log(name: string): string {
    return readFileSync(join(this.logs, name), 'utf8');
  }

  async end(): Promise<void> {
    for (const path of this.#mounts) if (isMounted(path)) spawnSync('umount', ['-l', path]);
    for (const pid of this.#pids) if (isAlive(pid)) process.kill(pid, 'SIGTERM');
    for (const pid of this.#pids) {
      if (!(await until(() => !isAlive(pid), 6000))) process.kill(pid, 'SIGKILL');
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A zombie is not alive; the init of a container may take its time to collect it. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `);
}

/** Children of a process, and theirs. */
export function processesNamed(argument: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isAlive(pid) && commandLine(pid).includes(argument));
}

export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

export async function until(condition: () => boolean, timeoutMs = 20_000): Promise<boolean> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return condition();
}
