/**
 * Files that were opened here and not on the bricks, which have promised to ask before anybody changes them (docs/delegations.md).
 * What is not answered from what is kept needs them open there: then they are opened late.
 */
import type { Args, Call, Clock, Fd, Fop, Gfid, Timer } from '@mortar/core';

interface LocalOpen {
  readonly call: Call;
  readonly args: Args<'open'>;
  /** Until the bricks would soon not ask any more. */
  readonly timer: Timer;
  /** It is being opened on the bricks. */
  opening?: Promise<void>;
}

export class LocalOpens {
  readonly #open: Fop<'open'>;
  readonly #clock: Clock;
  readonly #fds = new Map<Fd, LocalOpen>();

  /** `open`: on the bricks. */
  constructor(open: Fop<'open'>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  get size(): number {
    return this.#fds.size;
  }

  /**
   * From now on the fd is open, as far as its user can tell. Nobody asks after `untilMs`: before the name may go unasked, what is open still is opened on
   * the bricks, so early that there is time for it; most are closed by then.
   */
  add({ uid, gid, groups, pid, clientId, time }: Call, args: Args<'open'>, untilMs: number): void {
    const { fd } = args;
    const call: Call = { uid, gid, groups, pid, lockOwner: '', clientId, time };
    const timer = this.#clock.after((untilMs - this.#clock.nowMs()) / 2, () => {
      // An exception is told to who waits for it, too.
      this.settle(fd)?.catch(() => {});
    });
    this.#fds.set(fd, { call, args, timer });
    fd.onRelease(() => {
      timer.cancel();
      this.#fds.delete(fd);
    });
  }

  /** Opens it on the bricks. Where that fails it is served by gfid, as on a brick that was away. */
  settle(fd: Fd): Promise<void> | undefined {
    const local = this.#fds.get(fd);
    if (!local) return undefined;
    local.opening ??= this.#opened(fd, local);
    return local.opening;
  }

  async #opened(fd: Fd, { call, args, timer }: LocalOpen): Promise<void> {
    timer.cancel();
    // It must not be closed here before it is open there.
    fd.hold();
    try {
      await this.#open(call, args);
    } finally {
      this.#fds.delete(fd);
      fd.unhold();
    }
  }

  /** All of a file. */
  settleFile(gfid: Gfid): Promise<void>[] {
    return [...this.#fds.keys()].filter((fd) => fd.gfid === gfid).map((fd) => this.settle(fd)!);
  }

  settleAll(): Promise<void>[] {
    return [...this.#fds.keys()].map((fd) => this.settle(fd)!);
  }
}
