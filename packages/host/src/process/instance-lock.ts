/** A lock that a process holds on a file for its life, so that there is one of its kind. The kernel frees it, however the process ends; the file stays. */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '@mortar/core/errno.ts';
import { flock, LOCK_EX, LOCK_NB } from '@mortar/libc';

export class InstanceLockError extends Error {
  readonly code = 'EINSTANCE';
}

/** Makes the file and its folder. Throws InstanceLockError while another process holds it. */
export function takeInstanceLock(path: string): InstanceLock {
  return new InstanceLock(path);
}

export class InstanceLock {
  readonly path: string;
  #fd: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = open(path);
  }

  /** Takes it anew if somebody removed the file: the lock on what has no name keeps nobody away. Throws as `takeInstanceLock`. */
  renew(): void {
    if (isAt(this.#fd, this.path)) return;
    const former = this.#fd;
    this.#fd = open(this.path);
    closeSync(former);
  }

  release(): void {
    closeSync(this.#fd);
  }
}

function open(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  for (;;) {
    // Only its owner may open it: who can, can lock it.
    const fd = openSync(path, 'a+', 0o600);
    try {
      const result = flock(fd, LOCK_EX | LOCK_NB);
      if (result === -Errno.EAGAIN) throw new InstanceLockError(`another is running: ${holderOf(path)} holds ${path}`);
      if (result < 0) throw new InstanceLockError(`cannot lock ${path}: error ${-result}`);
      if (!isAt(fd, path)) {
        closeSync(fd);
        continue;
      }
      ftruncateSync(fd);
      writeSync(fd, `${process.pid}\n`);
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

function isAt(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const own = fstatSync(fd);
  return there !== undefined && there.dev === own.dev && there.ino === own.ino;
}

/** What it wrote there; a word for people. */
function holderOf(path: string): string {
  const pid = readFileSync(path, 'utf8').trim();
  return /^\d+$/.test(pid) ? `the process ${pid}` : 'a process';
}
