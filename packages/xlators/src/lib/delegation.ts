/** What clients and bricks say to each other about delegations (docs/delegations.md). */
import type { Gfid, GraphEvent } from '@mortar/core';

/** ipc, client to brick, with a gfid as text: the client does not rely on the file's being unchanged any more. */
export const letGoOperation = 'delegation.let-go';

type Recalled = Extract<GraphEvent, { type: 'upcall' }>;

/**
 * A brick wants a file back: those above are told, and when all that they have to do first is done, the brick hears of it.
 * `letGo` sends `letGoOperation`.
 */
export async function answerRecall(
  event: Recalled,
  propagate: (event: Recalled) => void,
  letGo: (gfid: Gfid) => Promise<unknown>,
): Promise<void> {
  const waits: Promise<unknown>[] = [];
  propagate({ ...event, waits });
  await Promise.allSettled(waits);
  await letGo(event.gfid);
}
