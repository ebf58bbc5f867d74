/** What the brick need not hear of, or only together with something else. */
import {
  type Args,
  type Call,
  compoundStep,
  Errno,
  type FopName,
  type Fops,
  locOf,
  type RawStep,
  type Reply,
  replyOfStep,
} from '@mortar/core';
import type { RemoteFds } from './fds.ts';
import { Lockers } from './lockers.ts';

export interface SparingHost {
  readonly fds: RemoteFds;
  /** Whether the brick is there and refuses nobody to open a directory. */
  readonly opensLate: () => boolean;
  /** Whether the brick knows which steps of a compound it must not do where another client works on the file. */
  readonly guardsSteps: () => boolean;
  /** Whether nothing is to be done through a descriptor whose locks the brick lacks. */
  readonly isStrict: () => boolean;
}

/** `sent`: how each fop goes to the brick. The result is what callers get instead, for some of them. */
export function sparedFops({ fds, opensLate, guardsSteps, isStrict }: SparingHost, sent: Fops): Partial<Fops> {
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
      // An older brick does all steps, whoever has the lock: who sent them does without those that it may be asked later.
      return sent.compound(call, guardsSteps() ? args : { ...args, steps: unguarded(args.steps) });
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

/** The steps up to the one that decides whether the others may be done. */
function unguarded(steps: RawStep[]): RawStep[] {
  const decides = steps.findIndex(({ args }) => (args as Args<FopName>).xdata?.ifQuiet);
  return decides < 0 ? steps : steps.slice(0, decides + 1);
}
