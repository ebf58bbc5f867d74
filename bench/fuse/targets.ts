/** The file systems that are compared: ours, libfuse's low-level loop in C, and tmpfs without FUSE. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The CPU that servers are bound to; undefined: any. */
export type Pin = number | undefined;

export interface Target {
  readonly name: string;
  readonly mountPoint: string;
  /** Null: served by the kernel. */
  readonly server: ChildProcess | null;
}

export function pinned(command: string, args: readonly string[], pin: Pin): [string, string[]] {
  return pin === undefined ? [command, [...args]] : ['taskset', ['-c', `${pin}`, command, ...args]];
}

async function appeared(mountPoint: string, device: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (statSync(mountPoint).dev !== device) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing was mounted on ${mountPoint}`);
}

/** Starts a server that mounts `@` and waits until it has. */
export async function serve(
  folder: string,
  name: string,
  command: string,
  args: readonly string[],
  pin: Pin,
): Promise<Target> {
  const mountPoint = join(folder, name);
  mkdirSync(mountPoint);
  const before = statSync(mountPoint).dev;
  const words = args.map((arg) => (arg === '@' ? mountPoint : arg));
  const server = spawn(...pinned(command, words, pin), { stdio: ['ignore', 'ignore', 'inherit'] });
  await appeared(mountPoint, before);
  sameReadAhead(mountPoint);
  return { name, mountPoint, server };
}

/** Ours sets it to 1 MiB; a comparison needs it for all. */
function sameReadAhead(mountPoint: string): void {
  const { dev } = statSync(mountPoint);
  const attribute = `/sys/class/bdi/${dev >> 8}:${dev & 0xff}/read_ahead_kb`;
  if (existsSync(attribute)) writeFileSync(attribute, '1024\n');
}

export function tmpfs(folder: string): Target {
  const mountPoint = join(folder, 'tmpfs');
  mkdirSync(mountPoint);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1G', 'mortar-bench', mountPoint]);
  return { name: 'tmpfs', mountPoint, server: null };
}

export async function end({ mountPoint, server }: Target): Promise<void> {
  try {
    execFileSync('umount', ['-l', mountPoint], { stdio: 'ignore' });
  } catch {
    // The server ended first and took its mount along.
  }
  if (!server || server.exitCode !== null) return;
  server.kill('SIGTERM');
  await new Promise((resolve) => server.once('exit', resolve));
}
