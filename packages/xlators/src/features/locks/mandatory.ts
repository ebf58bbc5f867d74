/**
 * Mandatory locking: byte-range locks that also bind those who do not ask for one (docs/locks.md). Nobody is made to
 * wait: who comes across another's lock gets EAGAIN, who lacks the lock that a file demands gets EBUSY.
 */
import {
  type Args,
  type ByteString,
  type Call,
  Errno,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  fail,
  type Gfid,
  type InodeTable,
  type Loc,
  locOf,
  type Reply,
  type Subvolume,
} from '@mortar/core';
import type { LockTable } from './lock-table.ts';
import { own } from './own-call.ts';
import type { PosixLock } from './posix-locks.ts';
import { overlap, type Range } from './ranges.ts';

export interface MandatorySettings {
  /** `file`: of files with set-gid and without group execution. `optimal`: of locks that ask for it, which none can. */
  readonly mode: 'off' | 'file' | 'forced' | 'optimal';
  /** Whether files may demand that who reads or changes them holds a lock there. */
  readonly enforce: boolean;
}

/** On a file that demands it. */
export const enforcedXattr = 'trusted.glusterfs.enforce-mandatory-lock';

const setgid = 0o2000;
const groupExecutes = 0o010;
const truncating = 0o1000;

interface Region extends Range {
  readonly gfid: Gfid;
  readonly writes: boolean;
}

type Bag = Record<string, unknown> & { fd: Fd; loc: Loc; offset: number; size: number };

/** Fops that read or change contents, and which. Where a file ends is not known here: appending is anywhere in it. */
const regions: { readonly [N in FopName]?: (args: Bag) => readonly Region[] } = {
  readv: ({ fd, offset, size }) => [{ gfid: fd.gfid, start: offset, end: offset + size, writes: false }],
  writev: (args) => {
    const { fd, offset, append, data } = args as unknown as Args<'writev'>;
    return append ? whole(fd.gfid) : [{ gfid: fd.gfid, start: offset, end: offset + data.length, writes: true }];
  },
  truncate: ({ loc }) => whole(loc.gfid),
  ftruncate: ({ fd }) => whole(fd.gfid),
  fallocate: written,
  discard: written,
  zerofill: written,
  open: (args) => (((args.flags as number) & truncating) !== 0 ? whole(args.loc.gfid) : []),
  copy_file_range: (args) => {
    const { from, fromOffset, to, toOffset, size } = args as unknown as Args<'copy_file_range'>;
    return [
      { gfid: from.gfid, start: fromOffset, end: fromOffset + size, writes: false },
      { gfid: to.gfid, start: toOffset, end: toOffset + size, writes: true },
    ];
  },
};

function written({ fd, offset, size }: Bag): Region[] {
  return [{ gfid: fd.gfid, start: offset, end: offset + size, writes: true }];
}

function whole(gfid: Gfid | null): Region[] {
  return gfid === null ? [] : [{ gfid, start: 0, end: Number.POSITIVE_INFINITY, writes: true }];
}

export class MandatoryLocks {
  settings: MandatorySettings;
  readonly #table: LockTable;
  readonly #inodes: InodeTable;
  readonly #child: () => Subvolume;
  /** On an inode: whether its file demands locks; undefined: not looked yet. */
  readonly #slot: number;

  constructor(settings: MandatorySettings, table: LockTable, inodes: InodeTable, child: () => Subvolume) {
    this.settings = settings;
    this.#table = table;
    this.#inodes = inodes;
    this.#child = child;
    this.#slot = inodes.allocateSlot();
  }

  around(name: FopName, run: Fop<FopName>): Fop<FopName> {
    const regionsOf = regions[name];
    if (!regionsOf) return run;
    return (call, args) =>
      this.settings.mode === 'off' || call.internal
        ? run(call, args)
        : this.#guarded(run, call, args, regionsOf(args as unknown as Bag));
  }

  async #guarded(run: Fop<FopName>, call: Call, args: Args<FopName>, all: readonly Region[]): Promise<Reply<FopName>> {
    for (const region of all) {
      const refusal = await this.#refusal(call, region);
      if (refusal) return refusal;
    }
    return run(call, args);
  }

  async #refusal(call: Call, region: Region): Promise<Failure | undefined> {
    const { mode, enforce } = this.settings;
    if (enforce && (await this.#isEnforced(region.gfid)))
      return this.#hasLock(call, region) ? undefined : fail(Errno.EBUSY);
    if (mode === 'optimal' || !this.#isInTheWay(call, region)) return undefined;
    if (mode === 'file' && !(await this.#isMarked(region.gfid))) return undefined;
    return this.#isInTheWay(call, region) ? fail(Errno.EAGAIN) : undefined;
  }

  #locksOver(region: Region): PosixLock[] {
    const held = this.#table.find(region.gfid)?.posix.locks.held ?? [];
    return held.filter((lock) => lock.family === 'fcntl' && overlap(lock, region));
  }

  #isInTheWay(call: Call, region: Region): boolean {
    return this.#locksOver(region).some((lock) => (lock.type === 'write' || region.writes) && !isOwn(lock, call));
  }

  #hasLock(call: Call, region: Region): boolean {
    const locks = this.#locksOver(region);
    const covers = (lock: PosixLock) => lock.start <= region.start && region.end <= lock.end;
    return locks.every((lock) => isOwn(lock, call)) && locks.some(covers);
  }

  /** As mount(8)'s `mand` had it. */
  async #isMarked(gfid: Gfid): Promise<boolean> {
    const reply = await this.#child().stat(own, { loc: locOf(gfid) });
    return reply.ok && (reply.iatt.mode & (setgid | groupExecutes)) === setgid;
  }

  async #isEnforced(gfid: Gfid): Promise<boolean> {
    const known = this.#inodes.find(gfid)?.slots[this.#slot] as boolean | undefined;
    if (known !== undefined) return known;
    const reply = await this.#child().getxattr(own, { loc: locOf(gfid), name: enforcedXattr });
    // In doubt it is asked again next time.
    if (reply.ok || reply.errno === Errno.ENODATA) this.#know(gfid, reply.ok);
    return reply.ok;
  }

  #know(gfid: Gfid | null, enforced: boolean): void {
    if (gfid !== null) this.#inodes.get(gfid).slots[this.#slot] = enforced;
  }

  /**
   * Around what sets or removes xattrs: the demand is root's to make, alone and where it would be met. Storage keeps
   * the file system's own xattrs from callers, so it is asked on the file system's behalf.
   */
  async marking<R extends { ok: boolean }>(
    call: Call,
    gfid: Gfid | null,
    { names, demands }: { names: readonly ByteString[]; demands: boolean },
    run: (call: Call) => Promise<R>,
  ): Promise<R | Failure> {
    if (!names.includes(enforcedXattr)) return run(call);
    const { mode, enforce } = this.settings;
    if (!call.internal) {
      if (call.uid !== 0) return fail(Errno.EPERM);
      if (names.length > 1 || mode === 'off' || !enforce) return fail(Errno.EINVAL);
    }
    const reply = await run({ ...call, internal: call.internal ?? own.internal! });
    if (reply.ok) this.#know(gfid, demands);
    return reply;
  }
}

/** Kernels do not say who writes out of their page cache: then any lock of the client is the caller's. */
function isOwn(lock: PosixLock, { clientId, lockOwner }: Call): boolean {
  return lock.clientId === clientId && (lock.owner === lockOwner || /^0*$/.test(lockOwner));
}
