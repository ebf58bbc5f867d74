/** Loop devices over FUSE files, by losetup; what of them there is, by sysfs. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Clock } from '@mortar/core';
import { AttachError } from './attach-error.ts';
import type { RunProgram } from './run-program.ts';

const goneMs = 3000;
const goneStepMs = 20;

/** The file below a loop device; null: it is free. */
export function backingFile(loop: string): string | null {
  try {
    return readFileSync(`/sys/block/${nameOf(loop)}/loop/backing_file`, 'utf8').replace(/\n$/, '');
  } catch {
    return null;
  }
}

/** All that have a file below them, as `/dev/loopN`, and the file. */
export function loops(): { loop: string; file: string }[] {
  let names: string[];
  try {
    names = readdirSync('/sys/block').filter((name) => /^loop\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const file = backingFile(name);
    return file === null ? [] : [{ loop: `/dev/${name}`, file }];
  });
}

const nameOf = (device: string) => device.slice(device.lastIndexOf('/') + 1);

export async function makeLoop(
  run: RunProgram,
  file: string,
  { readOnly, sectorBytes }: { readOnly: boolean; sectorBytes: number },
): Promise<string> {
  // Without partscan the kernel refuses to read a new partition table (BLKRRPART: EINVAL), as fdisk asks it to.
  const words = ['--find', '--partscan', '--show', '--direct-io=on', `--sector-size=${sectorBytes}`];
  const { code, stdout, stderr } = await run('losetup', [...words, ...(readOnly ? ['--read-only'] : []), file]);
  const loop = stdout.trim();
  if (code === 0 && /^\/dev\/loop\d+$/.test(loop)) return loop;
  throw new AttachError(`losetup makes no loop device: ${stderr || `it ended with ${code}`}`);
}

/** False: somebody still uses it. It then goes with its last user. */
export async function removeLoop(run: RunProgram, clock: Clock, loop: string, file: string): Promise<boolean> {
  if (backingFile(loop) !== file) return true;
  const { code, stderr } = await run('losetup', ['--detach', loop]);
  if (code === null) throw new AttachError(`${loop} is not detached: ${stderr}`);
  for (const untilMs = clock.nowMs() + goneMs; clock.nowMs() < untilMs; await clock.sleep(goneStepMs))
    if (backingFile(loop) !== file) return true;
  return false;
}

/** The file below it has grown. */
export async function growLoop(run: RunProgram, loop: string): Promise<void> {
  const { code, stderr } = await run('losetup', ['--set-capacity', loop]);
  if (code !== 0) throw new AttachError(`${loop} does not learn the new size: ${stderr}`);
}

/**
 * Who uses a block device, for a person: file systems and other claims, devices over it, processes that have it open. The open
 * is left to the pool: it may read the device, which this thread serves.
 */
export async function usersOf(device: string): Promise<string[]> {
  const users: string[] = [];
  try {
    const file = await open(device, 0o200); // O_RDONLY | O_EXCL
    await file.close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EBUSY') users.push('a file system, or a device over it');
  }
  return [...users, ...processesWith(device)];
}

/** Only names are compared: nothing here may touch a file system that this process serves. */
function processesWith(device: string): string[] {
  const isIt = (target: string) => target === device || new RegExp(`^${device}p\\d+$`).test(target);
  const has = (pid: string) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => {
        try {
          return isIt(readlinkSync(`/proc/${pid}/fd/${fd}`));
        } catch {
          return false;
        }
      });
    } catch {
      return false;
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return pids.filter(has).map((pid) => `process ${pid}`);
}
