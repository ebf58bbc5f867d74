/** Attaching a /dev/fuse descriptor to a directory, and taking it away. */
import { spawn } from 'node:child_process';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { byteString, Errno, errnoName, printable } from '@mortar/core';
import {
  AF_UNIX,
  close,
  mount,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  open,
  receiveFds,
  SOCK_STREAM,
  socketpair,
  umount2,
} from '@mortar/libc';

/** mount(2) flags by their names in mount options; null: the default, nothing to set. */
const flagNames: Readonly<Record<string, { set: number } | { clear: number }>> = {
  ro: { set: 1 },
  rw: { clear: 1 },
  nosuid: { set: 2 },
  suid: { clear: 2 },
  nodev: { set: 4 },
  dev: { clear: 4 },
  noexec: { set: 8 },
  exec: { clear: 8 },
  sync: { set: 16 },
  async: { clear: 16 },
  dirsync: { set: 128 },
  noatime: { set: 1024 },
  atime: { clear: 1024 },
  nodiratime: { set: 2048 },
  diratime: { clear: 2048 },
  relatime: { set: 1 << 21 },
  norelatime: { clear: 1 << 21 },
  strictatime: { set: 1 << 24 },
  nostrictatime: { clear: 1 << 24 },
  lazytime: { set: 1 << 25 },
  nolazytime: { clear: 1 << 25 },
};

export const kernelFlagNames: readonly string[] = Object.keys(flagNames);

export function isKernelFlag(name: string): boolean {
  return Object.hasOwn(flagNames, name);
}

export function kernelFlags(names: readonly string[]): number {
  let flags = 0;
  for (const name of names) {
    const effect = flagNames[name];
    if (!effect) throw new MountError('EINVAL', `unknown mount flag '${name}'`);
    flags = 'set' in effect ? flags | effect.set : flags & ~effect.clear;
  }
  return flags;
}

export interface MountRequest {
  /** Real, absolute path of a directory; of a file, if that is what `root` says. */
  mountPoint: string;
  /** What the file system consists of: `file` is one whose root is a file. */
  root?: 'directory' | 'file';
  /** As the mount table shows it: `host:/volume`. */
  source: string;
  subtype: string;
  maxRead: number;
  /** Names of mount(2) flags: `ro`, `nosuid` ... */
  flags: readonly string[];
  /** More options of the fuse file system (`context="..."`). */
  extra: readonly string[];
}

export class MountError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Opens /dev/fuse and mounts it; the descriptor. Ordinary users go through fusermount3. */
export async function mountDevice(request: MountRequest): Promise<number> {
  return process.getuid?.() === 0 ? mountAsRoot(request) : mountWithHelper(request);
}

function mountAsRoot({ mountPoint, root, source, subtype, maxRead, flags, extra }: MountRequest): number {
  const fd = open('/dev/fuse', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    throw new MountError(
      errnoName(-fd),
      `cannot open /dev/fuse: ${errnoName(-fd)}; is the fuse kernel module loaded (modprobe fuse)?`,
    );
  const options = [
    `fd=${fd}`,
    `rootmode=${root === 'file' ? '100000' : '40000'}`,
    'user_id=0',
    'group_id=0',
    'allow_other',
    'default_permissions',
    `max_read=${maxRead}`,
    ...extra,
  ].join(',');
  const result = mount(byteString(source), byteString(mountPoint), `fuse.${subtype}`, kernelFlags(flags), options);
  if (result >= 0) return fd;
  close(fd);
  const why = -result === Errno.EPERM ? 'EPERM (mounting needs CAP_SYS_ADMIN)' : errnoName(-result);
  throw new MountError(errnoName(-result), `cannot mount ${source} on ${mountPoint}: ${why}`);
}

/** fusermount3 mounts for us and hands the descriptor over a socket whose number it finds in its environment. */
async function mountWithHelper({ mountPoint, source, subtype, maxRead, flags, extra }: MountRequest): Promise<number> {
  const pair = socketpair(AF_UNIX, SOCK_STREAM);
  if (typeof pair === 'number')
    throw new MountError(errnoName(-pair), `cannot make a socket pair: ${errnoName(-pair)}`);
  const [ours, theirs] = pair;
  try {
    const options = [
      `fsname=${source.replace(/[\\,]/g, (c) => `\\${c}`)}`,
      `subtype=${subtype}`,
      'default_permissions',
      `max_read=${maxRead}`,
      ...flags,
      ...extra,
    ].join(',');
    const child = spawn('fusermount3', ['-o', options, '--', mountPoint], {
      env: { ...process.env, _FUSE_COMMFD: '3' },
      stdio: ['ignore', 'ignore', 'pipe', theirs],
    });
    const { code, text } = await ended(child);
    if (code !== 0)
      throw new MountError(
        'EMOUNT',
        `cannot mount ${source} on ${mountPoint}: ${text || `fusermount3 ended with ${code}`}`,
      );
    const received = receiveFds(ours, new Uint8Array(1));
    const fd = typeof received === 'number' ? undefined : received.fds[0];
    if (fd === undefined) throw new MountError('EMOUNT', `fusermount3 mounted ${mountPoint} but sent no descriptor`);
    return fd;
  } finally {
    close(ours);
    close(theirs);
  }
}

function ended(child: ReturnType<typeof spawn>): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      if (text.length < 4096) text += chunk.toString();
    });
    child.on('error', (error) => reject(new MountError('ENOENT', `cannot run ${child.spawnfile}: ${error.message}`)));
    child.on('close', (code) => resolve({ code: code ?? -1, text: text.trim() }));
  });
}

/**
 * Unmounts; `lazy` takes the mount out of sight although it is in use. In a process of its own: the kernel may send us
 * requests meanwhile (dirty pages), which this thread has to serve.
 */
export async function unmountDevice(mountPoint: string, lazy: boolean): Promise<void> {
  const root = process.getuid?.() === 0;
  const command = root ? 'umount' : 'fusermount3';
  const args = root
    ? ['-i', ...(lazy ? ['-l'] : []), '--', mountPoint]
    : ['-u', ...(lazy ? ['-z'] : []), '--', mountPoint];
  const outcome = await ended(spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })).catch(() => null);
  if (outcome?.code === 0) return;
  if (!outcome && root) {
    const result = umount2(byteString(mountPoint), lazy ? 2 : 0);
    if (result >= 0) return;
    throw new MountError(errnoName(-result), `cannot unmount ${mountPoint}: ${errnoName(-result)}`);
  }
  const busy = /busy/i.test(outcome?.text ?? '');
  throw new MountError(
    busy ? 'EBUSY' : 'EUMOUNT',
    `cannot unmount ${mountPoint}: ${outcome?.text ?? 'no umount command'}`,
  );
}

interface MountEntry {
  device: string;
  mountPoint: string;
}

/** The mount table; reading it asks no file system. */
function mountEntries(): MountEntry[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const mountPoint = fields[4]!.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
      return { device: fields[2]!, mountPoint };
    });
}

/** `major:minor` of what is mounted on top of a directory. */
export function deviceOf(mountPoint: string): string | undefined {
  const wanted = byteString(mountPoint);
  return mountEntries().findLast((entry) => entry.mountPoint === wanted)?.device;
}

/** Read-ahead of the mount: INIT can only lower it, the bdi's attribute sets it. Needs root; false if it cannot be. */
export function setReadAhead(mountPoint: string, kib: number): boolean {
  const device = deviceOf(mountPoint);
  if (device === undefined) return false;
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, `${kib}\n`);
    return true;
  } catch {
    return false;
  }
}

/** The real path of a directory to mount on; a clear error when it is none. */
export function resolveMountPoint(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO';
    const hint = code === 'ENOTCONN' ? ' (a dead mount is there: umount it first)' : '';
    throw new MountError(code, `mount point ${printable(byteString(path))}: ${code}${hint}`, { cause: error });
  }
}
