/** What each walk of a rebalance over the volume needs of it. */
import type { Call } from '@mortar/core';
import type { Distribute } from './distribute.ts';

export interface Walk {
  readonly d: Distribute;
  isStopping(): boolean;
  /** What is to be waited for before a directory is looked at; undefined: nothing. */
  rest(): Promise<void> | undefined;
  call(): Call;
  /** Ends the rebalance; tells why. */
  fail(reason: string): 'failed';
}
