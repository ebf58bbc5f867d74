/** flock(2) and open-file-description locks. */
import { F_OFD_GETLK, F_OFD_SETLK, F_UNLCK } from './constants.ts';
import { assertOffset, bind, Memory, outcome } from './native.ts';

const native = {
  flock: bind('flock', 'int', ['int', 'int']),
  fcntlLock: bind('fcntl', 'int', ['int', 'int', 'void *']),
  fcntl: bind('fcntl', 'int', ['int', 'int', 'int64_t']),
};

/** `operation`: LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB unless the thread may block. */
export function flock(fd: number, operation: number): number {
  return outcome(native.flock(fd, operation));
}

export function fcntl(fd: number, command: number, argument = 0): number {
  return outcome(native.fcntl(fd, command, argument));
}

/** A byte range; `length` 0 reaches to the end of the file. `type`: F_RDLCK, F_WRLCK, F_UNLCK. */
export interface RangeLock {
  type: number;
  start: number;
  length: number;
}

/** struct flock, 64-bit. */
const memory = new Memory(32);

function put({ type, start, length }: RangeLock): void {
  assertOffset(start, 'lock start');
  assertOffset(length, 'lock length');
  memory.bytes.fill(0);
  memory.setU16(0, type);
  memory.setI64(8, start);
  memory.setI64(16, length);
}

/** Takes or frees a lock of this open file description; EAGAIN when another holds it. */
export function setOfdLock(fd: number, lock: RangeLock): number {
  put(lock);
  return outcome(native.fcntlLock(fd, F_OFD_SETLK, memory.bytes));
}

/** The first lock in the way, null if there is none, or the negative errno. */
export function getOfdLock(fd: number, lock: RangeLock): RangeLock | null | number {
  put(lock);
  const result = outcome(native.fcntlLock(fd, F_OFD_GETLK, memory.bytes));
  if (result < 0) return result;
  const type = memory.u16(0);
  return type === F_UNLCK ? null : { type, start: memory.i64(8), length: memory.i64(16) };
}
