/** What clients and bricks say to each other about delegations (docs/delegations.md). */
import { type Args, type Gfid, type GraphEvent, isGfid } from '@mortar/core';

/** ipc, client to brick: the client does not rely on the file's being unchanged any more. */
export const letGoOperation = 'delegation.let-go';

/** `GFID SERIAL`, as text. */
const letGoForm = /^([0-9a-f-]{36}) (\d{1,15})$/;

export function decodeLetGo(data: Uint8Array): { gfid: Gfid; serial: number } | undefined {
  const [, gfid = '', serial] = letGoForm.exec(Buffer.from(data.subarray(0, 64)).toString('latin1')) ?? [];
  return isGfid(gfid) ? { gfid, serial: Number(serial) } : undefined;
}

type Recalled = Extract<GraphEvent, { type: 'upcall' }>;

/**
 * A brick wants a file back: those above are told, and when all that they have to do first is done, the brick hears of it.
 * `send`: an ipc to the brick.
 */
export async function answerRecall(
  event: Recalled,
  propagate: (event: Recalled) => void,
  send: (args: Args<'ipc'>) => Promise<unknown>,
): Promise<void> {
  const waits: Promise<unknown>[] = [];
  propagate({ ...event, waits });
  await Promise.allSettled(waits);
  await send({ operation: letGoOperation, data: Buffer.from(`${event.gfid} ${event.domain}`, 'latin1') });
}
