/** A machine with attached volumes for tests: nothing of it may be left, neither loop devices nor mounts nor processes. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, hasProgram } from './cluster.ts';
import { commandLine, ensureBuilt, isAlive, type Outcome, Sandbox, until } from './sandbox.ts';

export const attachLack =
  process.getuid?.() !== 0
    ? 'root is needed'
    : !existsSync('/dev/fuse')
      ? 'there is no /dev/fuse'
      : !existsSync('/dev/loop-control')
        ? 'there is no /dev/loop-control'
        : null;

export interface Ended {
  readonly code: number | null;
  readonly text: string;
}

/** Runs a program while the test goes on; `kill` after `timeoutMs`. */
export function runProgram(program: string, args: readonly string[], timeoutMs = 90_000): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    const timer = setTimeout(() => {
      text += `\n${program} did not end within ${timeoutMs} ms`;
      child.kill('SIGKILL');
      resolve({ code: null, text });
    }, timeoutMs);
    const more = (chunk: Buffer) => {
      text += chunk;
    };
    child.stdout.on('data', more);
    child.stderr.on('data', more);
    child.on('error', (error) => resolve({ code: null, text: error.message }));
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, text });
    });
  });
}

/** As `runProgram`; throws what it said unless it ends with 0. */
export async function must(program: string, ...args: string[]): Promise<string> {
  const { code, text } = await runProgram(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${text}`);
  return text;
}

/** Loop devices over files below a directory. */
export function loopsBelow(directory: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(`${directory}/`);
      } catch {
        return false;
      }
    })
    .map((name) => `/dev/${name}`);
}

export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}

/** Processes of programs of that name that have the directory in their words. */
export function processesOf(name: string, directory: string): number[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .map(Number)
    .filter((pid) => {
      const words = commandLine(pid);
      return words[0] === name && words.some((word) => word.includes(directory)) && isAlive(pid);
    });
}

/** Takes away whatever is left below a directory, and says what there was. */
export async function clearBelow(directory: string): Promise<string[]> {
  const left = [
    ...mountsBelow(directory).map((path) => `mount ${path}`),
    ...loopsBelow(directory).map((loop) => `loop device ${loop}`),
    ...processesOf('rsiod-keeper', directory).map((pid) => `process ${pid}`),
  ];
  for (const path of mountsBelow(directory).filter((one) => !one.includes('.files/')))
    await runProgram('umount', ['-l', path], 10_000);
  for (const loop of loopsBelow(directory)) await runProgram('losetup', ['-d', loop], 10_000);
  for (const path of mountsBelow(directory)) await runProgram('umount', ['-l', path], 10_000);
  for (const pid of processesOf('rsiod-keeper', directory)) process.kill(pid, 'SIGKILL');
  return left;
}

/** Nothing is left below a directory; waits a moment for what goes by itself. */
export async function nothingBelow(directory: string): Promise<void> {
  const isClear = () =>
    mountsBelow(directory).length === 0 &&
    loopsBelow(directory).length === 0 &&
    processesOf('rsiod-keeper', directory).length === 0;
  await until(isClear, 30_000);
  const left = await clearBelow(directory);
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
}

/** fio with checksums on a device: every block is read back and compared. */
export function fioVerify(device: string, ...more: string[]): string[] {
  const usual = ['--name=v', `--filename=${device}`, '--direct=1', '--ioengine=libaio', '--iodepth=16', '--bs=4k'];
  return [
    ...usual,
    '--rw=randwrite',
    '--verify=crc32c',
    '--do_verify=1',
    '--verify_fatal=1',
    '--verify_state_save=0',
    ...more,
  ];
}

/** fio with checksums, again and again while `work` is under way: no round may fail. How many there were. */
export async function verifyDuring(device: string, sizeMiB: number, work: () => Promise<void>): Promise<number> {
  let isOver = false;
  const rounds = (async () => {
    for (let round = 1; ; round++) {
      const { code, text } = await runProgram('fio', fioVerify(device, `--size=${sizeMiB}m`), 280_000);
      if (code !== 0) throw new Error(`fio's round ${round} ended with ${code}: ${text}`);
      if (isOver) return round;
    }
  })();
  try {
    await Promise.race([work(), rounds.then(() => undefined)]);
  } finally {
    isOver = true;
  }
  return rounds;
}

export const fromEnvironment = (name: string, usual: number): number => Number(process.env[name] ?? usual);

/** Programs of administrators are not in every PATH. */
export const hasTool = (name: string): boolean => hasProgram(name) || existsSync(`/usr/sbin/${name}`);

/** A server of one machine and the daemon of another, which attaches its volumes. */
export class AttachBox {
  readonly box = new Sandbox();
  server = 0;
  daemon = 0;
  #serverConfig = '';
  #place = '';

  /** `devices` are sections of the server's configuration. */
  async start(devices: string): Promise<void> {
    ensureBuilt();
    const config = (port: string) =>
      `[namespace osl]\n[server big-9]\nserverid=1\n[interface if0]\naddress=127.0.0.1\nport=${port}\n` +
      `[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n${devices}`;
    const { box } = this;
    this.#serverConfig = box.file('rssrvcfg', config('0'));
    await this.startServer();
    const [, port] = /RSIO clients are served on if0: [\d.]+:(\d+)/.exec(box.log('rssrv.log'))!;
    // The next run of the server has the same port.
    this.#serverConfig = box.file('rssrvcfg', config(port!));
    this.#place = `[server big-9]\naddress=127.0.0.1\nport=${port}\n`;
    await this.startDaemon('attach=loop');
  }

  async startServer(): Promise<void> {
    this.server = await this.box.daemonAsync('rssrv', 'rssrv.pid', '-c', this.#serverConfig);
  }

  /** With another configuration than before, if these are given: lines of two of its sections. */
  async startDaemon(defaults?: string, namespace = ''): Promise<void> {
    const { box } = this;
    const known = 'nodename=big-2\nnodekey=0xbig2';
    if (defaults !== undefined)
      box.file('rscltcfg', `[defaults]\n${defaults}\n[namespace osl]\n${known}\n${namespace}\n${this.#place}`);
    const words = ['-c', join(box.path, 'rscltcfg'), '-D', join(box.path, 'av0')];
    words.push('-s', join(box.run, 'rsiod.socket'), '-e', join(box.run, 'rsiod.nbd'));
    this.daemon = await box.daemonAsync('rsiod', 'rsiod.pid', ...words);
  }

  async kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(pid, signal);
    await eventually(`process ${pid} is gone`, () => !isAlive(pid));
  }

  /** Of an attached volume. */
  node(name: string): string {
    return join(this.box.path, 'av0', name);
  }

  rsconfig(...words: string[]): Promise<Outcome> {
    return this.box.commandAsync('rsconfig', '-s', join(this.box.run, 'rsiod.socket'), ...words);
  }

  /** Exit code and all it said. */
  async said(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.rsconfig(...words);
    return `${status} ${stdout}${stderr}`;
  }

  get keepers(): number[] {
    return processesOf('rsiod-keeper', this.box.path);
  }

  /** Ends all; throws if anything of it is left. */
  async end(): Promise<void> {
    for (const pid of [this.server, this.daemon].filter((one) => one > 0 && isAlive(one))) process.kill(pid, 'SIGCONT');
    try {
      if (isAlive(this.daemon)) await this.rsconfig('-d', '-f');
      if (isAlive(this.daemon)) await this.kill(this.daemon, 'SIGTERM');
      await nothingBelow(this.box.path);
    } finally {
      await clearBelow(this.box.path);
      await this.box.end();
    }
  }
}
