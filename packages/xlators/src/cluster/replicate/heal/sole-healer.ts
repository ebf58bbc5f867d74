/**
 * Every node has a heal daemon, and all of them heal. Between two leases another one could heal the file to its end, and it could be
 * accused anew by as much as before: who was in the middle would take that off without having looked at what it is about. So a
 * heal that takes several leases is one healer's alone.
 */
import type { Lease } from '../lease.ts';
import type { HealClaim } from '../leases.ts';
import type { Replica } from '../replica.ts';

export class SoleHealer {
  readonly #replica: Replica;
  #claim: HealClaim | undefined;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** Under the first lease. False: another one heals it. */
  async begin(lease: Lease): Promise<boolean> {
    this.#claim = await this.#replica.leases.claimHeal(lease);
    return this.#claim !== undefined;
  }

  /** Whether another one may have healed it since. */
  get isOver(): boolean {
    return this.#claim === undefined || this.#claim.isLost();
  }

  async end(): Promise<void> {
    await this.#claim?.release();
  }
}
