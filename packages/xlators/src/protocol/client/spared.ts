/** What the brick need not hear of, or only together with something else. */
import {
  type Args,
  type Call,
  compoundStep,
  Errno,
  type FopName,
  type Fops,
  locOf,
  type Reply,
  replyOfStep,
} from '@mortar/core';
import type { RemoteFds } from './fds.ts';
import { Lockers } from './lockers.ts';

export interface SparingHost {
  readonly fds: RemoteFds;
  /** Whether the brick is there and refuses nobody to open a directory. */
  readonly opensLate: () => boolean;
  /** Whether nothing is to be done through a descriptor whose locks the brick lacks. */
  readonly isStrict: () => boolean;
}

/** `sent`: how each fop goes to the brick. The result is what callers get instead, for some of them. */
export function sparedFops({ fds, opensLate, isStrict }: SparingHost, sent: Fops): Partial<Fops> {
  const lockers = new Lockers(fds);
  const done: Promise<{ ok: true }> = Promise.resolve({ ok: true });
  return {
    /** Goes with the first page. Most directories are read in one; many are opened only to work in them. */
    opendir(call, args) {
      if (!opensLate()) return sent.opendir(call, args);
      fds.openLater(args.fd);
      return done;
    },
    readdir: (call, args) =>
      fds.takeUnread(args.fd) ? openedWith(fds, sent, 'readdir', call, args) : sent.readdir(call, args),
    readdirp: (call, args) =>
      fds.takeUnread(args.fd) ? openedWith(fds, sent, 'readdirp', call, args) : sent.readdirp(call, args),
    flush(call, args) {
      fds.unlocked(args.fd, call.lockOwner);
      return lockers.flushes(args.fd.gfid, call.lockOwner) ? sent.flush(call, args) : done;
    },
    async lk(call, args) {
      const isElsewhere = args.xdata?.heldElsewhere === true;
      if (!isElsewhere || isStrict()) lockers.note(args);
      const reply = await sent.lk(call, args);
      lockers.unlocked(args, reply.ok);
      if (!reply.ok && isElsewhere && isStrict()) fds.missed(args.fd, reply.errno !== Errno.ENOTCONN);
      return reply;
    },
    compound(call, args) {
      for (const step of args.steps) if (step.fop === 'lk') lockers.note(step.args as Args<'lk'>);
      return sent.compound(call, args);
    },
  };
}

/** The first page of a directory that the brick has not opened yet. */
async function openedWith<N extends 'readdir' | 'readdirp'>(
  fds: RemoteFds,
  sent: Fops,
  fop: N,
  call: Call,
  args: Args<'readdir'> & Args<N>,
): Promise<Reply<N>> {
  const { fd } = args;
  const steps = [compoundStep('opendir', { loc: locOf(fd.gfid), fd }), compoundStep<FopName>(fop, args)];
  const reply = await sent.compound(call, { steps });
  const replies = reply.ok ? reply.replies : [reply];
  const opened = replyOfStep('opendir', replies, 0)!;
  if (opened.ok) return replyOfStep(fop, replies, 1)!;
  fds.stillUnread(fd);
  return opened;
}
