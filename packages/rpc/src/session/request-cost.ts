/** What a request costs before it is sent: decides whether it has to queue, and how long it may take. */
import type { Call } from '@mortar/core/call.ts';
import { type Args, type FopName, fops } from '@mortar/core/fops.ts';
import type { Clock } from '@mortar/core/ports.ts';

export function isLockRequest(fop: FopName, args: Args<FopName>): boolean {
  if (fop !== 'compound') return fops[fop].class === 'lock';
  return (args as Args<'compound'>).steps.some((step) => fops[step.fop as FopName].class === 'lock');
}

/** Whether the brick may let it wait for others, so that giving up on it makes sense. Making a signal costs as much as a frame. */
export function mayWait(fop: FopName, args: object): boolean {
  if (fop === 'compound')
    return (args as Args<'compound'>).steps.some((step) => mayWait(step.fop as FopName, step.args));
  const { class: kind } = fops[fop];
  return kind === 'control' || (kind === 'lock' && (args as { command?: string }).command === 'wait');
}

/** Of the request or, for reads, of the reply. */
export function payloadBytes(fop: FopName, args: Args<FopName>): number {
  if (fop === 'writev' || fop === 'put') return (args as unknown as Args<'writev'>).data.length;
  if (fop === 'readv') return (args as unknown as Args<'readv'>).size;
  if (fop !== 'compound') return 0;
  let sum = 0;
  for (const step of (args as Args<'compound'>).steps)
    sum += payloadBytes(step.fop as FopName, step.args as Args<FopName>);
  return sum;
}

/** `timeoutMs`: how long it may take if the call says nothing, 0 for ever. */
export function deadlineOf(call: Call, timeoutMs: number, clock: Clock): number {
  const ownMs = call.deadlineMs ?? Number.POSITIVE_INFINITY;
  return timeoutMs <= 0 ? ownMs : Math.min(ownMs, clock.nowMs() + timeoutMs);
}
