/**
 * How far a directory may be listed ahead of those who look its names up one by one (README, Listing ahead). Pure: it
 * lists nothing, and is told the time.
 */

/** Names of one directory that had to be asked for within a second, before it is listed. */
export const missesBefore = 3;
const burstMs = 1000;
/** Entries that are listed on trust, where no listing before was of use. */
export const trust = 256;
/** What a lookup that needs no asking is worth, in entries listed. */
export const perHit = 8;
const creditMax = 4096;
const restMinMs = 2000;
const restMaxMs = 300_000;

/** Of one directory. */
export class Credit {
  #misses = 0;
  #burstMs = Number.NEGATIVE_INFINITY;
  #begunMs = Number.NEGATIVE_INFINITY;
  #restMs = 0;
  #left = 0;
  /** Entries that the next listing begins with. */
  #trust = trust;
  #listed = 0;
  #hits = 0;

  /** A name had to be asked for. Whether to begin a listing; what the last one found is believed for `validMs`. */
  missed(nowMs: number, validMs: number): boolean {
    if (nowMs - this.#burstMs > burstMs) {
      this.#burstMs = nowMs;
      this.#misses = 0;
    }
    this.#misses++;
    // While they are believed, what is asked for is what a listing cannot tell.
    if (this.#misses < missesBefore || nowMs - this.#begunMs < validMs) return false;
    this.#judge();
    return nowMs - this.#begunMs >= this.#restMs;
  }

  /** The last listing is over and will not be asked any more: was it worth it? */
  #judge(): void {
    if (this.#listed === 0) return;
    const useful = this.#hits * perHit >= this.#listed;
    this.#restMs = useful ? 0 : Math.min(restMaxMs, Math.max(restMinMs, this.#restMs * 2));
    // Whoever takes longer than a listing is believed goes on as he did; if he is done, half is all that is listed for nobody.
    this.#trust = useful ? Math.min(creditMax, Math.max(trust, this.#listed / 2)) : trust;
    this.#listed = 0;
  }

  begin(nowMs: number): void {
    this.#begunMs = nowMs;
    this.#left = this.#trust;
    this.#listed = 0;
    this.#hits = 0;
  }

  /** Entries were listed. */
  spend(entries: number): void {
    this.#listed += entries;
    this.#left -= entries;
  }

  /** One of them was looked up. */
  earn(): void {
    this.#hits++;
    this.#left = Math.min(creditMax, this.#left + perHit);
  }

  get isLeft(): boolean {
    return this.#left > 0;
  }
}
