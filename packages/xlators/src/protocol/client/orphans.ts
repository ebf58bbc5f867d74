/**
 * Locks that were given back while the brick was away. If the session lives on there they are held still, by nobody: they are
 * given back before any other request passes again. With a session that is lost they are gone.
 */
import { type Args, type Call, Errno, type FopName, type Reply } from '@mortar/core';

interface Orphan {
  readonly fop: FopName;
  readonly call: Call;
  readonly args: Args<FopName>;
}

/** Sent at a time. */
const atATime = 64;
const orphansMax = 16_384;

export class Orphans {
  #orphans: Orphan[] = [];
  /** How many sessions were lost. */
  #losses = 0;

  /** False: there are too many of them, and it is better to part with the session. */
  add(fop: FopName, call: Call, args: Args<FopName>): boolean {
    const { signal: _given, ...rest } = call;
    this.#orphans.push({ fop, call: rest, args });
    return this.#orphans.length <= orphansMax;
  }

  /** The session is lost, and all of its locks. */
  clear(): void {
    this.#orphans = [];
    this.#losses++;
  }

  /** What comes while it is under way as well. */
  async giveBack(send: (fop: FopName, call: Call, args: Args<FopName>) => Promise<Reply<FopName>>): Promise<void> {
    const losses = this.#losses;
    while (this.#orphans.length > 0) {
      const some = this.#orphans.splice(0, atATime);
      const replies = await Promise.all(some.map(({ fop, call, args }) => send(fop, call, args)));
      // In the next session the same lock is one that somebody holds.
      if (this.#losses !== losses) return;
      // Any other refusal means that it is not held.
      const unsent = some.filter((_, i) => isAway(replies[i]!));
      this.#orphans.unshift(...unsent);
      if (unsent.length > 0) return;
    }
  }
}

function isAway(reply: Reply<FopName>): boolean {
  return !reply.ok && (reply.errno === Errno.ENOTCONN || reply.errno === Errno.ETIMEDOUT);
}
