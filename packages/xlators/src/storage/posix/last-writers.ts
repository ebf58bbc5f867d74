/**
 * Who changed a file's data last. Times of mdata only go forward, and are the clients' own: what a client writes whose clock is behind that of
 * the one before would leave them as they are, and who keeps pages of the file take these for good still. Such a change is told apart.
 */
import { type Gfid, nsBetween, overtakenNs, type Timespec } from '@mortar/core';
import { Lru } from './lru.ts';
import { raiseTimes, stepCtime, stepTimes, type Times } from './mdata.ts';

const knownMax = 16_384;

interface Writer {
  clientId: string;
  /** Its clock is behind the file's times. */
  isBehind: boolean;
}

export class LastWriters {
  readonly #last = new Lru<Gfid, Writer>(knownMax);

  /**
   * A client has changed the data at `time`: moves mtime and ctime forward, to that time or by the least there is. Changes of one client may overtake each
   * other, on one replica and not on the next: what comes late of these, by up to a second, leaves mtime as it is, so that all have the same. It moves ctime
   * alone, for who has read in between.
   */
  raise(times: Times, gfid: Gfid, clientId: string, time: Timespec): void {
    const lateNs = nsBetween(time, { sec: times.mtime, nsec: times.mtimeNsec });
    const moved = raiseTimes(times, time, true);
    if (this.#isHidden(gfid, clientId, lateNs)) stepTimes(times);
    else if (!moved) stepCtime(times);
  }

  #isHidden(gfid: Gfid, clientId: string, lateNs: number): boolean {
    const last = this.#last.get(gfid);
    const isOwn = last?.clientId === clientId && !last.isBehind && lateNs <= overtakenNs;
    const isBehind = lateNs >= 0 && !isOwn;
    if (last) {
      last.clientId = clientId;
      last.isBehind = isBehind;
    } else this.#last.set(gfid, { clientId, isBehind });
    return isBehind;
  }

  forget(gfid: Gfid): void {
    this.#last.delete(gfid);
  }

  clear(): void {
    this.#last.clear();
  }
}
