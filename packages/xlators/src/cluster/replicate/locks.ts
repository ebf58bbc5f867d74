/** Open files and the locks of callers: on every replica that is up, valid with a quorum. */
import { type Args, type Call, Errno, type Failure, type FopName, type Fops, fail, type Reply } from '@mortar/core';
import { open, openEverywhere } from './open.ts';
import { askForLock, takeBack } from './posix-locks.ts';
import type { Replica } from './replica.ts';
import { failureOf, isAbsence, type ReplicaSet, type Replies, succeeded, successAt } from './replica-set.ts';

export type LockFops = Pick<
  Fops,
  'open' | 'opendir' | 'flush' | 'lk' | 'inodelk' | 'finodelk' | 'entrylk' | 'fentrylk'
>;

export function lockFops(replica: Replica): LockFops {
  return {
    open: (call, args) => open(replica, call, args),
    async opendir(call, args) {
      const replies = await replica.set.wind(replica.set.up, 'opendir', call, () => args);
      return succeeded(replies).length > 0 ? { ok: true } : failureOf(replies);
    },
    /** Nothing is held back here that close(2) would have to hear of; locks go by `lk`. */
    flush: async () => ({ ok: true }),
    lk: (call, args) => posixLock(replica, call, args),
    inodelk: (call, args) =>
      internalLock(replica, 'inodelk', call, args, {
        ...args,
        command: 'unlock',
        flock: { ...args.flock, type: 'unlock' },
      }),
    finodelk: (call, args) =>
      internalLock(replica, 'finodelk', call, args, {
        ...args,
        command: 'unlock',
        flock: { ...args.flock, type: 'unlock' },
      }),
    entrylk: (call, args) => internalLock(replica, 'entrylk', call, args, { ...args, command: 'unlock' }),
    fentrylk: (call, args) => internalLock(replica, 'fentrylk', call, args, { ...args, command: 'unlock' }),
  };
}

async function posixLock(replica: Replica, call: Call, args: Args<'lk'>): Promise<Reply<'lk'>> {
  const { set } = replica;
  if (args.flock.type === 'unlock' && args.command !== 'get') return giveBack(replica, call, args);
  if (!set.suffices(set.up)) return fail(Errno.ENOTCONN);
  if (args.command === 'get') {
    const replies = await set.wind(set.up, 'lk', call, () => args);
    const conflict = replies.find((reply) => reply?.ok && reply.flock.type !== 'unlock');
    return (
      conflict ?? (succeeded(replies).length > 0 ? successAt(replies, succeeded(replies)[0]!)! : failureOf(replies))
    );
  }
  await openEverywhere(replica, call, args.fd);
  for (let attempt = 1; ; attempt++) {
    const { reply, isUnsure } = await ask(replica, call, args);
    if (!isUnsure || attempt === attemptsMax) return reply;
  }
}

/** Bricks may be started again while others are waited for. */
const attemptsMax = 3;

/** `isUnsure`: too few have it, but only since some have forgotten it while others were waited for. */
async function ask(
  replica: Replica,
  call: Call,
  args: Args<'lk'>,
): Promise<{ reply: Reply<'lk'>; isUnsure?: boolean }> {
  const { set, heldLocks } = replica;
  const { replies, since } = await askForLock(replica, call, args);
  const granted = succeeded(replies);
  const done = granted.filter((child) => heldLocks.isSameSession(child, since));
  const refusal = refusalIn(replies);
  if (!refusal && set.suffices(done)) {
    const on = heldLocks.took(args.fd, args.flock, done);
    // One that is away does not have it when it is back, and somebody else may get it with its help; nor does one that came while others were waited for.
    const { signal: _given, ...telling } = call;
    const elsewhere: Args<'lk'> = { ...args, command: 'set', xdata: { ...args.xdata, heldElsewhere: true } };
    for (const child of set.children.keys())
      if (!done.includes(child))
        void set.windOne(child, 'lk', telling, elsewhere).then((reply) => (reply.ok ? on.add(child) : undefined));
    return { reply: successAt(replies, done[0]!)! };
  }
  await takeBack(replica, call, args, replies);
  return { reply: refusal ?? fail(Errno.ENOTCONN), isUnsure: !refusal && set.suffices(granted) };
}

/** Also while too few are there: the others would have a lock that nobody holds, for whoever asks for it until the file is closed. */
async function giveBack(replica: Replica, call: Call, args: Args<'lk'>): Promise<Reply<'lk'>> {
  const { set } = replica;
  replica.heldLocks.gave(args.fd.gfid, args.flock);
  tellAbsent(replica, 'lk', call, args);
  const replies = await set.wind(set.up, 'lk', call, () => args);
  const done = succeeded(replies);
  if (set.suffices(done)) return successAt(replies, done[0]!)!;
  return refusalIn(replies) ?? fail(Errno.ENOTCONN);
}

/** Of one that is there. */
function refusalIn(replies: Replies<FopName>): Failure | undefined {
  return replies.find((reply): reply is Failure => reply !== undefined && !reply.ok && !isAbsence(reply.errno));
}

async function inTurn<N extends FopName>(set: ReplicaSet, fop: N, call: Call, args: Args<N>): Promise<Replies<N>> {
  const replies: Replies<N> = set.children.map(() => undefined);
  for (const child of set.up) {
    const reply = await set.windOne(child, fop, call, args);
    replies[child] = reply;
    if (!reply.ok && !isAbsence(reply.errno)) break;
  }
  return replies;
}

/** A replica that is away may have the lock still, if its session lives on: it is given back there when it can be reached. */
function tellAbsent<N extends FopName>({ set }: Replica, fop: N, call: Call, args: Args<N>): void {
  for (const child of set.children.keys()) if (!set.isUp(child)) void set.windOne(child, fop, call, args);
}

/** Who was asked for a lock and has not answered may give it yet: it comes to nothing, since it is given back behind that. */
function tellUnheard<N extends FopName>(
  { set }: Replica,
  fop: N,
  call: Call,
  undo: Args<N>,
  replies: Replies<N>,
): void {
  const { signal: _given, ...undoing } = call;
  for (const [child, reply] of replies.entries())
    if (reply && !reply.ok && isAbsence(reply.errno)) void set.windOne(child, fop, undoing, undo);
}

type Internal = 'inodelk' | 'finodelk' | 'entrylk' | 'fentrylk';

async function internalLock<N extends Internal>(
  replica: Replica,
  fop: N,
  call: Call,
  args: Args<N>,
  unlock: Args<N>,
): Promise<Reply<N>> {
  const { set } = replica;
  const { command } = args as Args<Internal>;
  if (command === 'unlock') tellAbsent(replica, fop, call, args);
  const replies =
    command === 'wait' ? await inTurn(set, fop, call, args) : await set.wind(set.up, fop, call, () => args);
  const done = succeeded(replies);
  const refusal = refusalIn(replies);
  if (command === 'unlock') return done.length > 0 ? successAt(replies, done[0]!)! : failureOf(replies);
  if (!refusal && set.suffices(done)) return { ok: true } as Reply<N>;
  tellUnheard(replica, fop, call, unlock, replies);
  await set.wind(done, fop, call, () => unlock);
  return refusal ?? fail(Errno.ENOTCONN);
}
