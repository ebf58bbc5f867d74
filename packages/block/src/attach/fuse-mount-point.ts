/** Mounts of FUSE files: a file system whose root is a file, mounted over an empty file of ours. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '@mortar/core';
import { MountError, mountDevice } from '@mortar/fuse-mount/device/mount.ts';
import { AttachError } from './attach-error.ts';
import type { RunProgram } from './run-program.ts';

const subtype = 'mortar-block';
const busyStepMs = 50;

/** Mounts over `path`, which is made; the descriptor of /dev/fuse. */
export async function mountFile(path: string, source: string, readOnly: boolean, maxRead: number): Promise<number> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
  const flags = ['nosuid', 'nodev', 'noexec', 'noatime', ...(readOnly ? ['ro'] : [])];
  try {
    return await mountDevice({ mountPoint: path, root: 'file', source, subtype, maxRead, flags, extra: [] });
  } catch (error) {
    unlinkSync(path);
    if (error instanceof MountError) throw new AttachError(error.message, { cause: error });
    throw error;
  }
}

export interface MountedFile {
  readonly path: string;
  /** Number of its FUSE connection: the minor number of its device. */
  readonly connection: number;
}

/** What is mounted below a directory, the newest first. Reading the table asks no file system. */
export function mountedFiles(directory: string): MountedFile[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields.length > 4)
    .map((fields) => ({ path: unescaped(fields[4]!), connection: Number(fields[2]!.split(':')[1]) }))
    .filter(({ path }) => path.startsWith(`${directory}/`))
    .reverse();
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export function connectionOf(path: string): number | undefined {
  return mountedFiles(dirname(path)).find((one) => one.path === path)?.connection;
}

const controlOf = (connection: number) => `/sys/fs/fuse/connections/${connection}`;

/** Requests of a connection that were not answered, also those that were not read yet; undefined: nobody can tell. */
export function waitingOf(connection: number): number | undefined {
  try {
    return Number(readFileSync(`${controlOf(connection)}/waiting`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Ends a connection whoever has its descriptor: all its requests fail. False: the kernel shows no such connection. */
export function abortConnection(connection: number): boolean {
  const path = `${controlOf(connection)}/abort`;
  if (!existsSync(path)) return false;
  writeFileSync(path, '1');
  return true;
}

/** False: it is in use, still after `busyMs`. `lazy`: it goes from sight in any case, and is over with its last user. */
export async function unmountFile(
  run: RunProgram,
  clock: Clock,
  path: string,
  { lazy = false, busyMs = 0 }: { lazy?: boolean; busyMs?: number } = {},
): Promise<boolean> {
  const words = ['-i', ...(lazy ? ['-l'] : []), '--', path];
  let said = '';
  for (const untilMs = clock.nowMs() + busyMs; ; await clock.sleep(busyStepMs)) {
    if (connectionOf(path) === undefined) break;
    const { code, stderr } = await run('umount', words);
    said = stderr;
    if (code === 0) continue;
    if (!/busy/i.test(stderr)) throw new AttachError(`${path} is not unmounted: ${said}`);
    if (clock.nowMs() >= untilMs) return false;
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return true;
}
