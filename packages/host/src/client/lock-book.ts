/** The locks that this mount holds on a file: what close must give back and a new graph must take again. */
import { LockBook as Book, type OwnedRange } from '@mortar/core';

export interface HeldLock extends OwnedRange {
  readonly pid: number;
  readonly family?: 'flock';
  /** The handle through which it was taken. */
  readonly fh: number;
}

export class LockBook extends Book<HeldLock> {
  of(fh: number): readonly HeldLock[] {
    return this.all.filter((lock) => lock.fh === fh);
  }
}
