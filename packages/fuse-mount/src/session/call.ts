import type { Call, InternalClient, Timespec } from '@mortar/core';

/** Where the supplementary groups of a caller come from. */
export interface GroupSource {
  groupsOf(pid: number, uid: number): readonly number[];
}

export const noGroups: GroupSource = { groupsOf: () => [] };

/**
 * The caller of a FUSE request. The abort signal is made when somebody first looks at it: most operations never do,
 * and making one costs more than the rest of a request. Who copies a call by spreading loses it, which only means
 * that an interrupt is not passed on; `withOwnSignal` is for operations that must hear of it (lock waits).
 */
export class FuseCall implements Call {
  uid: number;
  gid: number;
  groups: readonly number[];
  pid: number;
  lockOwner: string;
  clientId: string;
  time: Timespec;
  internal?: InternalClient;
  #abort: AbortController | undefined;
  #interrupted = false;

  constructor(uid: number, gid: number, groups: readonly number[], pid: number, clientId: string, time: Timespec) {
    this.uid = uid;
    this.gid = gid;
    this.groups = groups;
    this.pid = pid;
    this.lockOwner = '';
    this.clientId = clientId;
    this.time = time;
  }

  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      if (this.#interrupted) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get interrupted(): boolean {
    return this.#interrupted;
  }

  interrupt(): void {
    this.#interrupted = true;
    this.#abort?.abort();
  }

  /** A plain call with the signal as its own property; `also` aborts it too. */
  withOwnSignal(lockOwner: string, also: AbortSignal): Call {
    const { uid, gid, groups, pid, clientId, time } = this;
    const call = { uid, gid, groups, pid, lockOwner, clientId, time, signal: AbortSignal.any([this.signal, also]) };
    return this.internal ? { ...call, internal: this.internal } : call;
  }
}
