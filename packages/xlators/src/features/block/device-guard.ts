/** The epoch of one device on this brick: who is let in, who is out, and when the last of those who are out has ended. */
import { Errno, type Failure, fail, type Gfid } from '@mortar/core';

export interface GuardPorts {
  /** The epoch that is on the disk; there may be no such directory here (yet). */
  read(): Promise<number | 'absent' | Failure>;
  write(epoch: number): Promise<{ ok: true } | Failure>;
  /** Locks on the device's files that are not of this epoch are given up. */
  revoke(epoch: number): Promise<{ ok: true } | Failure>;
}

export class DeviceGuard {
  readonly device: Gfid;
  readonly #ports: GuardPorts;
  /** Whoever comes with less is refused. */
  #epoch = 0;
  /** What is known to be on the disk. */
  #stored = 0;
  #isLoaded = false;
  /** Requests under way, by the epoch they came with. */
  readonly #running = new Map<number, number>();
  #drained: (() => void)[] = [];
  /** Changes of the epoch, one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(device: Gfid, ports: GuardPorts) {
    this.device = device;
    this.#ports = ports;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get isIdle(): boolean {
    return this.#running.size === 0;
  }

  /** Whether a request needs neither the disk nor a new epoch. */
  isPlain(epoch: number): boolean {
    return this.#isLoaded && epoch === this.#epoch && epoch === this.#stored;
  }

  enter(epoch: number): void {
    this.#running.set(epoch, (this.#running.get(epoch) ?? 0) + 1);
  }

  leave(epoch: number): void {
    const left = this.#running.get(epoch)! - 1;
    if (left > 0) {
      this.#running.set(epoch, left);
      return;
    }
    this.#running.delete(epoch);
    const waiting = this.#drained;
    this.#drained = [];
    for (const wake of waiting) wake();
  }

  /** Null when a request with this epoch may run; it must have been entered by then. A granted epoch that is new here is kept first. */
  async admit(epoch: number, isRaising: boolean): Promise<Failure | null> {
    const failed = await this.#load();
    // Whoever makes the directory here comes with an epoch, too.
    if (failed) return failed === 'absent' ? null : failed;
    if (epoch < this.#epoch) return fail(Errno.EKEYREVOKED);
    if (isRaising || (epoch === this.#epoch && epoch === this.#stored)) return null;
    const kept = await this.raise(epoch, () => this.#ports.write(epoch));
    if (!kept.ok) return kept;
    return epoch < this.#epoch ? fail(Errno.EKEYREVOKED) : null;
  }

  /** Lets nobody in any more who comes with less, waits until those inside have ended, and keeps it. */
  raise<R extends { ok: boolean }>(epoch: number, store: () => Promise<R>): Promise<R | Failure> {
    return this.#inTurn(async () => {
      const failed = await this.#load();
      if (failed) return failed === 'absent' ? fail(Errno.ESTALE) : failed;
      if (epoch < this.#epoch) return fail(Errno.EKEYREVOKED);
      if (epoch > this.#epoch || this.#stored < epoch) {
        this.#epoch = epoch;
        const revoked = await this.#ports.revoke(epoch);
        if (!revoked.ok) return revoked;
      }
      await this.#untilDrained(epoch);
      const reply = await store();
      if (reply.ok) this.#stored = epoch;
      return reply;
    });
  }

  /** What heal or a rebalance found to be right, higher or lower. */
  replaced(epoch: number): void {
    this.#epoch = epoch;
    this.#stored = epoch;
    this.#isLoaded = true;
  }

  async #load(): Promise<'absent' | Failure | null> {
    if (this.#isLoaded) return null;
    const epoch = await this.#ports.read();
    if (typeof epoch !== 'number') return epoch;
    if (this.#isLoaded) return null;
    this.#isLoaded = true;
    this.#epoch = epoch;
    this.#stored = epoch;
    return null;
  }

  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #untilDrained(epoch: number): Promise<void> {
    while ([...this.#running.keys()].some((older) => older < epoch))
      await new Promise<void>((resolve) => this.#drained.push(resolve));
  }
}
