/**
 * Locks of callers, asked of all replicas together. What is in use is waited for on one replica at a time, with no other held meanwhile: one that was started again,
 * and is asked before its holder has claimed the lock there again, would be kept from him by who waits for the others.
 */
import { type Args, type Call, Errno, type Reply } from '@mortar/core';
import type { Replica } from './replica.ts';
import { isAbsence, type Replies } from './replica-set.ts';

export interface Asked {
  readonly replies: Replies<'lk'>;
  /** Sessions of the children when they were asked. */
  readonly since: readonly number[];
}

export async function askForLock(replica: Replica, call: Call, args: Args<'lk'>): Promise<Asked> {
  const { set, heldLocks } = replica;
  const since = heldLocks.sessions();
  const replies = await set.wind(set.up, 'lk', call, () => asTry(args));
  if (args.command !== 'wait' || !replies.some(isInUse)) return { replies, since };
  await takeBack(replica, call, args, replies);
  return waitInTurn(replica, call, args);
}

/** In the order of the children, so that of those who ask at once the first child decides. */
async function waitInTurn(replica: Replica, call: Call, args: Args<'lk'>): Promise<Asked> {
  const { set, heldLocks } = replica;
  let got: Replies<'lk'> = set.children.map(() => undefined);
  for (;;) {
    const since = heldLocks.sessions();
    const { replies, inUse } = await tryInTurn(replica, call, args, got);
    if (inUse === undefined) return { replies, since };
    await takeBack(replica, call, args, replies);
    const reply = await set.windOne(inUse, 'lk', call, args);
    got = set.children.map((_, child) => (child === inUse ? reply : undefined));
    const isOver = !reply.ok && (!isAbsence(reply.errno) || !set.suffices(set.up));
    if (isOver) return { replies: got, since };
  }
}

/** `got`: by who was waited for; he is asked again with the others. `inUse`: the first child on which it is. */
async function tryInTurn(
  replica: Replica,
  call: Call,
  args: Args<'lk'>,
  got: Replies<'lk'>,
): Promise<{ replies: Replies<'lk'>; inUse?: number }> {
  const { set } = replica;
  const replies = [...got];
  for (const child of set.up) {
    const reply = await set.windOne(child, 'lk', call, asTry(args));
    replies[child] = reply;
    if (isInUse(reply)) return { replies, inUse: child };
    if (!reply.ok && !isAbsence(reply.errno)) break;
  }
  return { replies };
}

/** Each replica is left with what the owner had before. Who has not answered may give it yet: that comes behind. */
export async function takeBack(
  { set, heldLocks }: Replica,
  call: Call,
  { fd, flock }: Args<'lk'>,
  replies: Replies<'lk'>,
): Promise<void> {
  const undone = set.children.map(async (_, child) => {
    const reply = replies[child];
    if (!reply || (!reply.ok && !isAbsence(reply.errno))) return;
    const undoing = heldLocks.restore(child, call, fd, flock);
    if (reply.ok) await undoing;
  });
  await Promise.all(undone);
}

function asTry(args: Args<'lk'>): Args<'lk'> {
  return { ...args, command: 'set' };
}

function isInUse(reply: Reply<'lk'> | undefined): boolean {
  return reply?.ok === false && reply.errno === Errno.EAGAIN;
}
