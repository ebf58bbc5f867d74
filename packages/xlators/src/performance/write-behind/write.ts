import {
  type Call,
  emptyIatt,
  type Fd,
  freshBytes,
  type Reply,
  retainBytes,
  returnBytes,
  type Success,
} from '@mortar/core';

/** One request to the child: one write of a program, or several that continue one another. */
export class Write {
  readonly fd: Fd;
  readonly call: Call;
  readonly offset: number;
  end: number;
  /** What the writes are made of, in their order: used on after they were answered (docs/payloads.md). */
  readonly pieces: Uint8Array[];
  /** Whether its callers were told that it is done. */
  isAnswered = false;
  /** Somebody waits for it: it is not held back for more. */
  isWanted = false;
  /** Tells a caller who waits for room. */
  answer: ((reply: Reply<'writev'>) => void) | null = null;
  readonly #waiting: (() => void)[] = [];

  constructor(fd: Fd, call: Call, offset: number, data: Uint8Array) {
    this.fd = fd;
    this.call = call;
    this.offset = offset;
    this.end = offset + data.length;
    this.pieces = [data];
    retainBytes(data);
  }

  get size(): number {
    return this.end - this.offset;
  }

  overlaps(start: number, end: number): boolean {
    return this.offset < end && start < this.end;
  }

  /** Whether `data` of such a caller may go with it. */
  isContinuedBy(fd: Fd, call: Call, offset: number): boolean {
    const { uid, gid, lockOwner, pid } = this.call;
    const isSameCaller = uid === call.uid && gid === call.gid && lockOwner === call.lockOwner && pid === call.pid;
    return this.isAnswered && this.fd === fd && this.end === offset && isSameCaller;
  }

  append(data: Uint8Array): void {
    this.pieces.push(data);
    retainBytes(data);
    this.end += data.length;
  }

  /** What is to be written, in one piece; whoever sends it gives it back. */
  takeData(): Uint8Array {
    const [only] = this.pieces;
    if (only && this.pieces.length === 1) return only;
    const all = freshBytes(this.size);
    let at = 0;
    for (const piece of this.pieces) {
      all.set(piece, at);
      at += piece.length;
      returnBytes(piece);
    }
    return all;
  }

  /** Resolves when it has succeeded or failed. */
  over(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  ended(): void {
    for (const wake of this.#waiting) wake();
  }
}

/** Who asks, without what ends with the request: the write goes on when its caller has been answered. */
export function lastingCall({ signal: _signal, deadlineMs: _deadline, ...rest }: Call): Call {
  return { ...rest };
}

/** The answer ahead: nobody knows the attributes yet. */
export function answeredAhead(written: number): Success<'writev'> {
  return { ok: true, written, pre: emptyIatt(), post: emptyIatt() };
}
