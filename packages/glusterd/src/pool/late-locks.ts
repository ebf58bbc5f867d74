/**
 * A lock goes with the connection that it was taken over: one that comes late, out of the buffers of a link that was cut,
 * would else be given back by nobody.
 */
import type { ManagementCaller } from '@mortar/rpc';

export type LockCaller = Pick<ManagementCaller, 'onClose'>;

interface Last {
  id: string;
  ballot: unknown;
  isClosed: boolean;
}

export class LateLocks {
  readonly #last = new WeakMap<LockCaller, Last>();
  readonly #giveBack: (id: string, ballot: unknown) => void;

  constructor(giveBack: (id: string, ballot: unknown) => void) {
    this.#giveBack = giveBack;
  }

  /** Told when a lock was answered: the connection may have ended meanwhile, with several locks under way. */
  taken(caller: LockCaller, id: string, ballot: unknown): void {
    const known = this.#last.get(caller);
    if (known?.isClosed) {
      this.#giveBack(id, ballot);
      return;
    }
    if (known) {
      known.id = id;
      known.ballot = ballot;
      return;
    }
    const last: Last = { id, ballot, isClosed: false };
    this.#last.set(caller, last);
    caller.onClose(() => {
      last.isClosed = true;
      this.#giveBack(last.id, last.ballot);
    });
  }
}
