/**
 * Files that were opened here and not on the bricks, which have promised to ask before anybody changes them (docs/delegations.md).
 * What is not answered from what is kept needs them open there: then they are opened late.
 */
import type { Args, Call, Fd, Fop, Gfid } from '@mortar/core';

interface LocalOpen {
  readonly call: Call;
  readonly args: Args<'open'>;
  /** It is being opened on the bricks. */
  opening?: Promise<void>;
}

export class LocalOpens {
  readonly #open: Fop<'open'>;
  readonly #fds = new Map<Fd, LocalOpen>();

  /** `open`: on the bricks. */
  constructor(open: Fop<'open'>) {
    this.#open = open;
  }

  get size(): number {
    return this.#fds.size;
  }

  /** From now on the fd is open, as far as its user can tell. */
  add({ uid, gid, groups, pid, clientId, time }: Call, args: Args<'open'>): void {
    const call: Call = { uid, gid, groups, pid, lockOwner: '', clientId, time };
    this.#fds.set(args.fd, { call, args });
    args.fd.onRelease(() => this.#fds.delete(args.fd));
  }

  /** Opens it on the bricks. Where that fails it is served by gfid, as on a brick that was away. */
  settle(fd: Fd): Promise<void> | undefined {
    const local = this.#fds.get(fd);
    if (!local) return undefined;
    local.opening ??= this.#opened(fd, local);
    return local.opening;
  }

  async #opened(fd: Fd, { call, args }: LocalOpen): Promise<void> {
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
