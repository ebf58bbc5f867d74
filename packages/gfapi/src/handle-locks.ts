/** Locks of open files, of the family of fcntl(2)'s. */
import { Errno, type Flock, type Reply } from '@mortar/core';
import type { ServedGraph } from '@mortar/host';
import type { CallOptions } from './client.ts';
import { argumentError, fsError, must } from './errors.ts';
import { canRead, canWrite } from './flags.ts';
import type { GraphFile } from './graph-file.ts';
import { checkedOffset } from './offsets.ts';

export interface LockOptions extends CallOptions {
  type: 'read' | 'write';
  start?: number;
  /** 0: to the end of the file. */
  length?: number;
  /** Waits until it is granted; else EAGAIN if someone else has it. */
  wait?: boolean;
  /** Hex text; who it belongs to. Absent: this handle. */
  owner?: string;
}

/** A lock on a range, of the family of fcntl(2)'s. Given back by `unlock`, and when the handle is closed. */
export async function lock(raw: GraphFile, flags: number, options: LockOptions): Promise<void> {
  const flock = flockOf(raw, options, options.type);
  const mayNot = options.type === 'write' ? !canWrite(flags) : !canRead(flags);
  if (mayNot) throw fsError(Errno.EBADF, 'fcntl');
  const { start, owner, pid } = flock;
  for (let isAgain = false; ; isAgain = true) {
    const { graph } = raw;
    must(await lk(raw, flock, options.wait ? 'wait' : 'set', options, isAgain), 'fcntl');
    raw.lockTaken({ type: options.type, owner, start, end: endOf(flock), pid });
    // The graph was replaced meanwhile: the lock must stand on the new one too, to which the one before hands it over.
    if (isStill(raw, graph)) return;
  }
}

export async function unlock(raw: GraphFile, options: Omit<LockOptions, 'type' | 'wait'> = {}): Promise<void> {
  const flock = flockOf(raw, options, 'unlock');
  for (;;) {
    const { graph } = raw;
    must(await lk(raw, flock, 'set', options), 'fcntl');
    raw.lockGiven(flock.owner, flock.start, endOf(flock));
    // The graph was replaced meanwhile: the new one may have taken the lock again before it was given back.
    if (isStill(raw, graph)) return;
  }
}

/** Whether what was done in a graph was done in the one that serves the file from now on. */
function isStill(raw: GraphFile, graph: ServedGraph): boolean {
  return graph === raw.graph && graph === raw.client.files.graphs.current;
}

/** The lock that is in the way of such a one; null if none is. */
export async function lockInTheWay(raw: GraphFile, options: Omit<LockOptions, 'wait'>): Promise<Flock | null> {
  const { flock } = must(await lk(raw, flockOf(raw, options, options.type), 'get', options), 'fcntl');
  return flock.type === 'unlock' ? null : flock;
}

function lk(
  raw: GraphFile,
  flock: Flock,
  command: 'get' | 'set' | 'wait',
  options: CallOptions,
  handsOver = false,
): Promise<Reply<'lk'>> {
  const { owner } = flock;
  const args = { command, flock, ...(handsOver && { xdata: { handsOver } }) };
  if (command === 'wait')
    return raw.client.waitOn(raw, owner, options, (top, call, fd) => top.lk(call, { fd, ...args }));
  return raw.run((top, call, fd) => top.lk({ ...call, lockOwner: owner }, { fd, ...args }), options);
}

function endOf({ start, length }: Flock): number {
  return length === 0 ? Number.POSITIVE_INFINITY : start + length;
}

function flockOf(raw: GraphFile, { start = 0, length = 0, owner }: Partial<LockOptions>, type: Flock['type']): Flock {
  checkedOffset(start + length, 'start and length');
  if (owner !== undefined && !/^([0-9a-f]{2}){1,64}$/.test(owner)) throw argumentError('owner', 'hex digits', owner);
  return { type, start, length, owner: owner ?? ownerOfHandle(raw.id), pid: process.pid };
}

/** Eight bytes, as the kernel's owners have. */
function ownerOfHandle(id: number): string {
  return (id + 2 ** 40).toString(16).padStart(16, '0');
}
