/**
 * What became of a session's recent requests. A request that comes again after a reconnection gets the answer of its
 * first run. The client says with each request below which number it has all answers; the rest is bounded.
 */
export interface Outcome {
  readonly op: number;
  readonly status: number;
  readonly meta: Uint8Array;
  readonly payloads: readonly Uint8Array[] | null;
  /** Fds that the request opened. */
  readonly fdIds: readonly number[] | null;
}

export interface OutcomeLimits {
  entries: number;
  bytes: number;
}

/** Estimated cost of an entry beyond its bytes. */
const entryBytes = 128;

export class OutcomeMemory {
  readonly #limits: OutcomeLimits;
  readonly #outcomes = new Map<number, Outcome>();
  #bytes = 0;
  #acknowledged = 1;
  #evictedTo = 0;

  constructor(limits: OutcomeLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#outcomes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The client has the answers of all requests below `sequence`. */
  acknowledge(sequence: number): void {
    if (sequence <= this.#acknowledged) return;
    if (sequence - this.#acknowledged > 2 * this.#outcomes.size + 64) {
      for (const known of this.#outcomes.keys()) if (known < sequence) this.forget(known);
    } else {
      for (let at = this.#acknowledged; at < sequence; at++) this.forget(at);
    }
    this.#acknowledged = sequence;
  }

  remember(sequence: number, outcome: Outcome): void {
    this.#outcomes.set(sequence, outcome);
    this.#bytes += sizeOf(outcome);
    if (this.#outcomes.size <= this.#limits.entries && this.#bytes <= this.#limits.bytes) return;
    for (const oldest of this.#outcomes.keys()) {
      if (this.#outcomes.size <= this.#limits.entries && this.#bytes <= this.#limits.bytes) return;
      this.#evictedTo = Math.max(this.#evictedTo, oldest);
      this.forget(oldest);
    }
  }

  find(sequence: number): Outcome | undefined {
    return this.#outcomes.get(sequence);
  }

  /** Whether a request with this number may have run without a trace left here. */
  mayHaveForgotten(sequence: number): boolean {
    return sequence <= this.#evictedTo || sequence < this.#acknowledged;
  }

  forget(sequence: number): void {
    const outcome = this.#outcomes.get(sequence);
    if (!outcome) return;
    this.#outcomes.delete(sequence);
    this.#bytes -= sizeOf(outcome);
  }
}

function sizeOf(outcome: Outcome): number {
  let bytes = entryBytes + outcome.meta.length;
  if (outcome.payloads) for (const payload of outcome.payloads) bytes += payload.length;
  return bytes;
}
