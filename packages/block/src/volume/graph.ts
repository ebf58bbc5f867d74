/** The graph of a volume as devices use it: fops by gfid, in whichever graph serves. */
import type { Call, Clock, Failure, Fops, Log, Random } from '@mortar/core';

/** One graph of several that may follow each other; open files belong to one. */
export interface ServingGraph {
  /** Whether the data of a write may be changed as soon as it was answered (docs/payloads.md). */
  readonly returnsWrites: boolean;
}

export type GraphWork<R extends { ok: boolean }> = (ops: Fops, call: Call, graph: ServingGraph) => Promise<R>;

export interface VolumeGraph {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** As root. */
  run<R extends { ok: boolean }>(work: GraphWork<R>): Promise<R | Failure>;
}

/** Runs tasks, at most `width` at a time; the first failure of all, when none runs any more. */
export async function forEach<T, R extends { ok: boolean }>(
  items: Iterable<T>,
  width: number,
  task: (item: T) => Promise<R>,
): Promise<R | null> {
  const iterator = items[Symbol.iterator]();
  let failed: R | null = null;
  const worker = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      const reply = await task(next.value);
      if (!reply.ok) failed ??= reply;
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return failed;
}
