/** A pid file: one decimal number and a newline; held as long as the process named in it lives. */
import { linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export class PidFileError extends Error {
  readonly code = 'EPIDFILE';
}

/** The pid in the file, or undefined when there is no file or no number in it. */
export function readPidFile(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether a process lives (a zombie does not) and is a program of this name: a pid is soon another's. */
export function isRunning(pid: number, name: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, comm, state] = /\((.*)\) (\w)/s.exec(stat)!;
    return comm === name.slice(0, 15) && state !== 'Z' && state !== 'X';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return false;
    throw error;
  }
}

/** Takes the file for this process; throws PidFileError when a live process of the same name holds it. */
export function takePidFile(path: string, name: string): PidFile {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, `${process.pid}\n`, { mode: 0o644 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      if (tryLink(own, path)) return new PidFile(path);
      const holder = readPidFile(path);
      if (holder !== undefined && holder !== process.pid && isRunning(holder, name))
        throw new PidFileError(`pidfile ${path} is held by the running ${name} with pid ${holder}`);
      removeStale(path, own, holder);
    }
    throw new PidFileError(`pidfile ${path} could not be taken: other processes keep taking it`);
  } finally {
    unlinkSync(own);
  }
}

/** Writes this process's pid, whoever's was there: for a file that no other process would take. Makes its folder. */
export function claimPidFile(path: string): PidFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const own = `${path}.${process.pid}`;
  writeFileSync(own, `${process.pid}\n`, { mode: 0o644 });
  renameSync(own, path);
  return new PidFile(path);
}

export class PidFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Whether it is still this process's. */
  get isOwn(): boolean {
    return readPidFile(this.path) === process.pid;
  }

  /** Removes the file unless another process has taken it since. */
  release(): void {
    if (this.isOwn) unlinkSync(this.path);
  }
}

/** Makes the file only if there is none, complete at once. */
function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a dead process's file away; puts it back if it turns out to be one that was made in between. */
function removeStale(path: string, own: string, dead: number | undefined): void {
  const away = `${own}.stale`;
  try {
    renameSync(path, away);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (readPidFile(away) !== dead) tryLink(away, path);
  unlinkSync(away);
}
