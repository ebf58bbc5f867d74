/** A machine with attached volumes for tests: nothing of it may be left, neither loop devices nor mounts nor processes. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLine, isAlive, until } from './sandbox.ts';

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
  await until(isClear, 10_000);
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

export const fromEnvironment = (name: string, usual: number): number => Number(process.env[name] ?? usual);

export const filesDirectoryOf = (run: string): string => join(run, 'rsiod.socket.files');
