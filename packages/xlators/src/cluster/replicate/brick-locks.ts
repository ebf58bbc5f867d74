/** The locks behind a lease: asked for, waited for and given back, child by child. */
import {
  type Call,
  compoundStep,
  Errno,
  type Failure,
  type Fd,
  fail,
  type Gfid,
  type Loc,
  locOf,
  type RawReply,
  type RawStep,
  replyOfStep,
  type Xattrs,
} from '@mortar/core';
import { type Changelog, changelogOf, dirtyKey, encodeVector } from './changelog.ts';
import { isAbsence, type ReplicaSet } from './replica-set.ts';

export interface LockHost {
  readonly set: ReplicaSet;
  /** Lock domain: the translator's name. */
  readonly domain: string;
}

interface LockKind extends LockHost {
  /** Whether what is done under them carries their fence: a brick then takes them from who is silent. */
  readonly isLease: boolean;
}

/** A lock on one child, and the changelog under it. */
export interface Grant {
  readonly fence: number;
  readonly contended: boolean;
  readonly changelog: Changelog;
  /** What came of the steps that travelled with the request; none where the changelog says anything, or another client asked lately. */
  readonly rode: readonly RawReply[];
  /** Of our sessions with the child, the one that it was asked for in. */
  readonly session: number;
}

const wholeFile = { start: 0, length: 0, pid: 0 } as const;
const asLease = { isLease: true } as const;

export class BrickLocks {
  readonly #host: LockKind;
  /** By child: locks to be given back while it was away; its session may live on, and the locks with it. */
  readonly #orphans = new Map<number, { gfid: Gfid; call: Call }[]>();
  /** By child: sessions that ended, with all locks that they had. */
  readonly #ended = new Map<number, number>();

  constructor(host: LockKind) {
    this.#host = host;
  }

  /** A child has none of our locks any more. */
  lostOn(child: number): void {
    this.#orphans.delete(child);
    this.#ended.set(child, this.#session(child) + 1);
  }

  /** A lock that was got, and ended with its session while others were waited for. */
  wasLost(child: number, grant: Grant | Failure): boolean {
    return 'fence' in grant && grant.session !== this.#session(child);
  }

  #session(child: number): number {
    return this.#ended.get(child) ?? 0;
  }

  returned(child: number): void {
    const orphans = this.#orphans.get(child) ?? [];
    this.#orphans.delete(child);
    for (const { gfid, call } of orphans) void this.unlock(gfid, call, [child]);
  }

  /** Waits for the lock of one child; not of one that answers nothing at all. */
  async waitFor(child: number, gfid: Gfid, fd: Fd | undefined, call: Call): Promise<Grant | Failure> {
    const lagging: Failure = fail(Errno.ETIMEDOUT);
    const coming = this.lock(child, gfid, fd, call, 'wait');
    const grant = await this.#host.set.laggards.heed<Grant | Failure>(child, coming, lagging);
    // When it comes in the end it is not wanted any more.
    if (grant === lagging) void coming.then((late) => (mayBeHeld(late) ? this.unlock(gfid, call, [child]) : undefined));
    return grant;
  }

  /** The lock and the changelog under it, in one round trip; and `riding` steps, where the changelog says nothing and nobody else asked lately. */
  async lock(
    child: number,
    gfid: Gfid,
    fd: Fd | undefined,
    call: Call,
    command: 'try' | 'wait',
    riding: readonly RawStep[] = [],
  ): Promise<Grant | Failure> {
    const { set } = this.#host;
    const loc = locOf(gfid);
    const want = [dirtyKey, ...set.pendingKeys];
    const xdata = riding.length > 0 ? { ifQuiet: true } : {};
    const steps = [this.step(loc, command), compoundStep('lookup', { loc, want, xdata }), ...riding];
    const session = this.#session(child);
    const reply = await set.windOne(child, 'compound', call, { steps });
    if (!reply.ok) return reply;
    const lock = replyOfStep('inodelk', reply.replies, 0);
    if (!lock?.ok) return fail(lock?.errno ?? Errno.EIO);
    const found = replyOfStep('lookup', reply.replies, 1);
    const xattrs = found?.ok ? found.xattrs : await this.#marksByFd(child, fd, call);
    if (!xattrs) {
      await this.unlock(gfid, call, [child]);
      return fail(found && !found.ok ? found.errno : Errno.EIO);
    }
    return {
      fence: lock.fence ?? 0,
      contended: lock.xdata?.contended === true,
      changelog: changelogOf(xattrs, set.pendingKeys),
      rode: reply.replies.slice(2),
      session,
    };
  }

  /** The changelog of a file that is open but has no name left: adding nothing to it gives what it is. */
  async #marksByFd(child: number, fd: Fd | undefined, call: Call): Promise<Xattrs | undefined> {
    if (!fd) return undefined;
    const { set } = this.#host;
    const nothing = encodeVector([0, 0, 0]);
    const values = Object.fromEntries([dirtyKey, ...set.pendingKeys].map((key) => [key, nothing]));
    const reply = await set.windOne(child, 'fxattrop', call, { fd, operation: 'add32', values });
    return reply.ok ? reply.xattrs : undefined;
  }

  /** A request about the lock as one step of a compound; `owner`: when it is not the whole compound's. */
  step(loc: Loc, command: 'try' | 'wait' | 'unlock', owner = ''): RawStep {
    const type = command === 'unlock' ? 'unlock' : 'write';
    const flock = { type, owner, ...wholeFile } as const;
    const { domain, isLease } = this.#host;
    const xdata = type === 'write' && isLease ? asLease : undefined;
    return compoundStep('inodelk', { loc, domain, command, flock, ...(xdata && { xdata }) });
  }

  /** Given back wherever they may be held; a child that is away gets it when it returns. */
  async unlock(gfid: Gfid, call: Call, children: readonly number[]): Promise<void> {
    const { set } = this.#host;
    const { signal: _given, ...unlockCall } = call;
    const args = {
      loc: locOf(gfid),
      domain: this.#host.domain,
      command: 'unlock' as const,
      flock: { type: 'unlock' as const, owner: '', ...wholeFile },
    };
    const one = async (child: number) => {
      const reply = await set.windOne(child, 'inodelk', unlockCall, args);
      // At once, not when all have answered: the child may be back before that.
      if (!reply.ok && isAbsence(reply.errno)) this.#orphan(child, gfid, call);
    };
    // Who lags gets it behind what it has not answered yet; nobody waits for that.
    for (const child of children) if (!set.isUp(child)) void one(child);
    await Promise.all(children.filter((child) => set.isUp(child)).map(one));
  }

  #orphan(child: number, gfid: Gfid, call: Call): void {
    const orphans = this.#orphans.get(child);
    if (orphans) orphans.push({ gfid, call });
    else this.#orphans.set(child, [{ gfid, call }]);
  }
}

/** A lock that was got, or whose answer was lost: the session that has it may live on. */
export function mayBeHeld(grant: Grant | Failure): boolean {
  return 'fence' in grant || isAbsence(grant.errno);
}
