/** Lock fops: enough for one process; a brick has features/locks above its storage. */
import { type Call, Errno, type Fd, type Flock, type Fops, fail, type Loc, type Reply } from '@mortar/core';
import { nameOffset } from '../../lib/name-offset.ts';
import type { MemoryFile } from './file.ts';
import { meant } from './meant.ts';
import type { RangeLock } from './range-locks.ts';
import type { Found, Volume } from './volume.ts';

type LockFops = Pick<Fops, 'lk' | 'inodelk' | 'finodelk' | 'entrylk' | 'fentrylk' | 'lease'>;
type Command = 'try' | 'wait' | 'unlock';

function lockOf(call: Call, flock: Flock): RangeLock {
  const { pid, start, length } = flock;
  const owner = flock.owner || call.lockOwner;
  const end = length === 0 ? Number.POSITIVE_INFINITY : start + length;
  const type = flock.type === 'read' ? 'read' : 'write';
  return { holder: `${call.clientId} ${owner}`, owner, pid, type, start, end };
}

async function take(volume: Volume, file: MemoryFile, call: Call, what: string, lock: RangeLock, wait: boolean) {
  const locks = volume.locks(file, what);
  return wait ? locks.wait(lock, call.signal) : locks.set(lock);
}

async function internal(
  volume: Volume,
  found: Found<MemoryFile>,
  call: Call,
  what: string,
  command: Command,
  lock: RangeLock,
): Promise<Reply<'inodelk'>> {
  if (!found.ok) return found;
  if (command === 'unlock') {
    volume.locks(found.value, what).unlock(lock.holder, lock.start, lock.end);
    return { ok: true };
  }
  const errno = await take(volume, found.value, call, what, lock, command === 'wait');
  return errno === 0 ? { ok: true, fence: volume.nextFence() } : fail(errno as Errno);
}

/** A name is the range of one number, the whole directory is all numbers: they conflict as they must. */
function entryLock(call: Call, name: string | undefined, type: 'read' | 'write'): RangeLock {
  const start = name === undefined ? 0 : nameOffset(name);
  const end = name === undefined ? Number.POSITIVE_INFINITY : start + 1;
  return { holder: `${call.clientId} ${call.lockOwner}`, owner: call.lockOwner, pid: call.pid, type, start, end };
}

export function lockFops(volume: Volume): LockFops {
  const ofLoc = (loc: Loc) => volume.file(loc);
  const ofFd = (fd: Fd) => volume.opened(fd);
  return {
    async lk(call, { fd, command, flock, xdata }) {
      const found = meant(volume.opened(fd), xdata);
      if (!found.ok) return found;
      const lock = lockOf(call, flock);
      const family = flock.family ?? 'fcntl';
      const locks = volume.locks(found.value, family);
      if (command === 'get') {
        const other = locks.conflict(lock);
        if (!other) return { ok: true, flock: { ...flock, type: 'unlock' } };
        const length = other.end === Number.POSITIVE_INFINITY ? 0 : other.end - other.start;
        return {
          ok: true,
          flock: {
            type: other.type,
            start: other.start,
            length,
            owner: other.owner,
            pid: other.pid,
            ...(flock.family ? { family: flock.family } : {}),
          },
        };
      }
      if (flock.type === 'unlock') {
        locks.unlock(lock.holder, lock.start, lock.end);
        return { ok: true, flock };
      }
      const errno = await take(volume, found.value, call, family, lock, command === 'wait');
      return errno === 0 ? { ok: true, flock } : fail(errno as Errno);
    },

    inodelk: (call, { loc, domain, command, flock }) =>
      internal(volume, ofLoc(loc), call, `inode ${domain}`, command, lockOf(call, flock)),
    finodelk: (call, { fd, domain, command, flock }) =>
      internal(volume, ofFd(fd), call, `inode ${domain}`, command, lockOf(call, flock)),
    entrylk: (call, { loc, domain, name, command, type }) =>
      internal(volume, ofLoc(loc), call, `entry ${domain}`, command, entryLock(call, name, type)),
    fentrylk: (call, { fd, domain, name, command, type }) =>
      internal(volume, ofFd(fd), call, `entry ${domain}`, command, entryLock(call, name, type)),

    async lease(call, { loc, command, type, id }) {
      const found = volume.file(loc);
      if (!found.ok) return found;
      const locks = volume.locks(found.value, 'lease');
      const holder = `${call.clientId} ${id}`;
      const lock: RangeLock = { holder, owner: id, pid: call.pid, type, start: 0, end: 1 };
      if (command === 'release') {
        locks.unlock(holder);
        return { ok: true, granted: false };
      }
      if (command === 'get') return { ok: true, granted: locks.conflict(lock) === undefined };
      return locks.set(lock) === 0 ? { ok: true, granted: true } : fail(Errno.EAGAIN);
    },
  };
}
