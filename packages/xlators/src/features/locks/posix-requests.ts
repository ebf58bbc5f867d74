/** The fop `lk`: POSIX locks of open files. */
import {
  type Args,
  type Call,
  type Clock,
  Errno,
  type Fd,
  type Flock,
  fail,
  type Gfid,
  type Reply,
} from '@mortar/core';
import { clientProcess } from '../../lib/client-process.ts';
import type { InodeLocks, LockTable } from './lock-table.ts';
import { Pending } from './pending.ts';
import { type Holder, type PosixLock, sameHolder } from './posix-locks.ts';
import { type PosixWaiter, WaitGraph } from './posix-queue.ts';
import { lengthOf, type Range, rangeOf } from './ranges.ts';

/** An fd's state here: open, or open and with locks that go when it is released. */
type FdState = 'open' | 'tied' | undefined;

/** A waiting request, with what ends it. */
interface Waiter extends PosixWaiter {
  refuse(errno: Errno): void;
}

export class PosixRequests {
  readonly #table: LockTable;
  readonly #clock: Clock;
  readonly #slot: number;
  readonly #graph = new WaitGraph();

  constructor(table: LockTable, clock: Clock, slot: number) {
    this.#table = table;
    this.#clock = clock;
    this.#slot = slot;
  }

  /** Locks taken through an fd that was opened here end with it; those through an anonymous one do not. */
  opened(fd: Fd): void {
    fd.slots[this.#slot] ??= 'open' satisfies FdState;
  }

  /** Whether the owner has a lock on the file, wherever in it. */
  hasLocks(gfid: Gfid, { clientId }: Call, { owner }: Flock): boolean {
    const held = this.#table.find(gfid)?.posix.locks.held;
    return held?.some((lock) => sameHolder(lock, { clientId, owner })) === true;
  }

  request(call: Call, { fd, command, flock, xdata }: Args<'lk'>): Reply<'lk'> | Promise<Reply<'lk'>> {
    const range = rangeOf(flock);
    if (!range) return fail(Errno.EINVAL);
    const holder: Holder = { clientId: call.clientId, owner: flock.owner };
    if (flock.type === 'unlock')
      return command === 'get' ? fail(Errno.EINVAL) : this.#unlock(fd.gfid, holder, range, flock);
    const wanted: PosixLock = {
      ...range,
      ...holder,
      type: flock.type,
      pid: flock.pid,
      family: flock.family ?? 'fcntl',
      fd,
    };
    if (command === 'get') return this.#get(fd.gfid, wanted, flock);
    const locks = this.#table.enter(fd.gfid, call.clientId);
    if (xdata?.handsOver) handOver(locks, wanted);
    const answer = this.#take(call, locks, wanted, flock, command === 'wait');
    this.#table.settle(locks);
    return answer;
  }

  #get(gfid: Gfid, wanted: PosixLock, flock: Flock): Reply<'lk'> {
    const other = this.#table.find(gfid)?.posix.locks.conflicts(wanted)[0];
    if (!other) return { ok: true, flock: { ...flock, type: 'unlock' } };
    const { type, start, owner, pid, family } = other;
    const found: Flock = { type, start, length: lengthOf(other), owner, pid };
    return { ok: true, flock: family === 'flock' ? { ...found, family } : found };
  }

  #unlock(gfid: Gfid, holder: Holder, range: Range, flock: Flock): Reply<'lk'> {
    const locks = this.#table.find(gfid);
    if (locks?.posix.locks.full && !coversWhole(locks, holder, range)) return fail(Errno.ENOLCK);
    if (locks) {
      locks.posix.unlock(holder, range);
      this.#table.settle(locks);
    }
    return { ok: true, flock };
  }

  #take(
    call: Call,
    locks: InodeLocks,
    wanted: PosixLock,
    flock: Flock,
    wait: boolean,
  ): Reply<'lk'> | Promise<Reply<'lk'>> {
    const { posix } = locks;
    if (posix.locks.full) return fail(Errno.ENOLCK);
    if (posix.try(wanted)) {
      this.#tie(wanted.fd);
      return { ok: true, flock };
    }
    if (!wait) return fail(Errno.EAGAIN);
    if (call.signal?.aborted) return fail(Errno.EINTR);
    // flock(2) knows no EDEADLK: who waits in a circle waits.
    if (wanted.family === 'fcntl' && this.#graph.wouldDeadlock(wanted, posix)) return fail(Errno.EDEADLK);
    const leave = () => {
      this.#graph.remove(waiter);
      posix.waiting = posix.waiting.filter((other) => other !== waiter);
    };
    const pending = new Pending<Reply<'lk'>>(call, this.#clock, () => {
      leave();
      this.#table.settle(locks);
    });
    const waiter: Waiter = {
      wanted,
      queue: posix,
      granted: () => {
        this.#graph.remove(waiter);
        this.#tie(wanted.fd);
        pending.settle({ ok: true, flock });
      },
      refuse: (errno) => {
        leave();
        pending.settle(fail(errno));
      },
    };
    posix.waiting.push(waiter);
    this.#graph.add(waiter);
    return pending.answer;
  }

  #tie(fd: Fd | null): void {
    if (fd?.slots[this.#slot] !== 'open') return;
    fd.slots[this.#slot] = 'tied' satisfies FdState;
    fd.onRelease(() => {
      this.#refuse(fd.gfid, ({ wanted }) => wanted.fd === fd, Errno.EBADF);
      this.#release(fd.gfid, (lock) => lock.fd === fd);
    });
  }

  releaseOwner(gfid: Gfid, holder: Holder): void {
    this.#release(gfid, (lock) => sameHolder(lock, holder));
  }

  releaseClient(locks: InodeLocks, clientId: string): void {
    this.#refuse(locks.gfid, ({ wanted }) => wanted.clientId === clientId, Errno.ENOTCONN);
    locks.posix.releaseWhere((lock) => lock.clientId === clientId);
  }

  /** For clear-locks: waiters (EINTR) whose wish overlaps, in this file. */
  clearWaiting(locks: InodeLocks, chosen: (wanted: PosixLock) => boolean): number {
    return this.#refuse(locks.gfid, ({ wanted }) => chosen(wanted), Errno.EINTR);
  }

  #refuse(gfid: Gfid, chosen: (waiter: PosixWaiter) => boolean, errno: Errno): number {
    const waiters = (this.#table.find(gfid)?.posix.waiting ?? []).filter(chosen) as Waiter[];
    for (const waiter of waiters) waiter.refuse(errno);
    return waiters.length;
  }

  #release(gfid: Gfid, gone: (lock: PosixLock) => boolean): void {
    const locks = this.#table.find(gfid);
    if (!locks) return;
    locks.posix.releaseWhere(gone);
    this.#table.settle(locks);
  }
}

/**
 * A graph that is replaced has its locks by a session of its own, which would be in the way of the next one's. They change hands in one step, or others who wait would get
 * them in between. Nothing does where somebody else is in the way as well.
 */
function handOver({ posix: { locks } }: InodeLocks, wanted: PosixLock): void {
  const process = clientProcess(wanted.clientId);
  const isOurs = (lock: PosixLock) => lock.owner === wanted.owner && clientProcess(lock.clientId) === process;
  const inTheWay = locks.conflicts(wanted);
  if (inTheWay.every(isOurs)) for (const lock of inTheWay) locks.release(lock, wanted);
}

/** Whether an unlock only takes whole locks away, so that it cannot make more of them. */
function coversWhole(locks: InodeLocks, holder: Holder, range: Range): boolean {
  return locks.posix.locks.held.every(
    (lock) => !sameHolder(lock, holder) || lock.start >= range.start || lock.end <= range.end,
  );
}
