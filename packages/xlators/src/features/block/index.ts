import {
  type Args,
  type Attachment,
  type Call,
  Errno,
  type Failure,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type Inode,
  type Loc,
  locOf,
  type Reply,
  rootCall,
  rootGfid,
  runSteps,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { blockDirectory, blockEpochXattr, encodeEpoch, epochOf } from '../../lib/block-device.ts';
import { AttachedFiles, mayChangeFiles, mayChangeNames } from './attached-files.ts';
import { DeviceGuard } from './device-guard.ts';
import { options } from './options.ts';

/** Of one page of a listing. */
const pageBytes = 64 * 1024;

type Changing = 'setxattr' | 'fsetxattr';

/** Refuses on a brick what comes from a former holder of a block device. */
export class BlockGuard extends Xlator {
  #refused = 0;
  #raised = 0;
  #unattached = 0;
  readonly #files: AttachedFiles;

  constructor(init: XlatorInit) {
    super(init);
    this.#files = new AttachedFiles(this.services.clock);
  }

  /** Every fop: a holder that was put off neither changes nor reads anything, nor gets locks. */
  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    const isChanging = mayChangeFiles(name);
    const guarded: Fop<FopName> = (call, args) => {
      if (call.attachment === undefined) {
        const errno = isChanging && !call.internal ? this.#refusalOf(call, name, args) : 0;
        return errno === 0 ? bound(call, args) : this.#refuse(errno);
      }
      if (isUnlock(name, args)) return bound(call, args);
      return this.#guarded(call.attachment, name, args, () => bound(call, args));
    };
    return guarded as Fops[N];
  }

  /** For who comes without an attachment: what a device's holder has is not his to change, nor, without being root, where devices are. */
  #refusalOf(call: Call, name: FopName, args: object): Errno | 0 {
    if (!this.#files.isEmpty && this.#files.isHeld(name, args)) return Errno.EBUSY;
    return call.uid !== 0 && namesHome(name, args) ? Errno.EPERM : 0;
  }

  async #refuse(errno: Errno): Promise<Reply<FopName>> {
    this.#unattached++;
    return fail(errno);
  }

  async #guarded(
    attachment: Attachment,
    name: FopName,
    args: object,
    run: () => Promise<Reply<FopName>>,
  ): Promise<Reply<FopName>> {
    const { device, epoch, isRaising } = attachment;
    const inode = this.services.inodes.getHeld(device);
    const guard = this.#guardOf(inode);
    try {
      if (!guard.isPlain(epoch)) {
        const failure = await guard.admit(epoch, isRaising === true);
        // It may have gone up since: whoever enters after a raise looked for older ones would be missed by it.
        const refusal = failure ?? (epoch < guard.epoch ? fail(Errno.EKEYREVOKED) : null);
        if (refusal) {
          if (refusal.errno === Errno.EKEYREVOKED) this.#refused++;
          return refusal;
        }
        // Whose epoch becomes this one needs the directory's lock, which the former holder may have and not give back.
        if (isRaising && epoch > guard.epoch && isLocking(name))
          this.propagate({ type: 'attachment-revoked', device, epoch, gfids: [device] });
      }
      guard.enter(epoch);
      try {
        if (!isRaising && !this.#files.see(device) && epoch === guard.epoch) await this.#learn(device);
        const reply = await run();
        if (reply.ok) this.#files.done(device, name, args);
        return reply;
      } finally {
        guard.leave(epoch);
      }
    } finally {
      this.services.inodes.release(inode);
    }
  }

  #guardOf(inode: Inode): DeviceGuard {
    const known = inode.slots[this.slot] as DeviceGuard | undefined;
    if (known) return known;
    const loc = locOf(inode.gfid);
    const call = (): Call => rootCall(this.services.clock, 'self-heal');
    const guard = new DeviceGuard(inode.gfid, {
      read: async () => {
        const reply = await this.child.getxattr(call(), { loc, name: blockEpochXattr });
        if (reply.ok) return epochOf(reply.xattrs);
        if (reply.errno === Errno.ENODATA) return 0;
        return reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE ? 'absent' : reply;
      },
      write: (epoch) =>
        this.child.setxattr(call(), { loc, xattrs: { [blockEpochXattr]: encodeEpoch(epoch) }, flags: 0 }),
      revoke: async (epoch) => {
        const shards = await this.#filesIn(inode.gfid, call());
        if (!shards.ok) return shards;
        this.#raised++;
        this.#files.take(inode.gfid, shards.gfids);
        const gfids = [inode.gfid, ...shards.gfids];
        this.propagate({ type: 'attachment-revoked', device: inode.gfid, epoch, gfids });
        return { ok: true };
      },
    });
    inode.slots[this.slot] = guard;
    return guard;
  }

  /** This process does not know yet what its holder has: it is new, or the holder was silent. */
  async #learn(device: Gfid): Promise<void> {
    const files = await this.#filesIn(device, rootCall(this.services.clock, 'self-heal'));
    if (files.ok && !this.#files.see(device)) this.#files.take(device, files.gfids);
  }

  async #filesIn(device: Gfid, call: Call): Promise<{ ok: true; gfids: Gfid[] } | Failure> {
    const fd = new Fd(device);
    try {
      const opened = await this.child.opendir(call, { loc: locOf(device), fd });
      if (!opened.ok) return opened;
      const gfids: Gfid[] = [];
      for (let offset = 0; ; ) {
        const page = await this.child.readdirp(call, { fd, size: pageBytes, offset });
        if (!page.ok) return page;
        for (const { name, gfid } of page.entries) if (gfid && name !== '.' && name !== '..') gfids.push(gfid);
        if (page.end || page.entries.length === 0) return { ok: true, gfids };
        offset = page.entries.at(-1)!.offset;
      }
    } finally {
      fd.release();
    }
  }

  setxattr(call: Call, args: Args<'setxattr'>): Promise<Reply<'setxattr'>> {
    return this.#change('setxattr', call, args.loc.gfid, args);
  }

  fsetxattr(call: Call, args: Args<'fsetxattr'>): Promise<Reply<'fsetxattr'>> {
    return this.#change('fsetxattr', call, args.fd.gfid, args);
  }

  async #change<N extends Changing>(name: N, call: Call, gfid: Gfid | null, args: Args<N>): Promise<Reply<N>> {
    const { xattrs } = args as Args<'setxattr'>;
    const run = () => (this.child[name] as Fop<N>)(call, args);
    if (xattrs[blockEpochXattr] === undefined) return run();
    const epoch = epochOf(xattrs);
    if (!gfid || epoch === 0) return fail(Errno.EINVAL);
    const inode = this.services.inodes.getHeld(gfid);
    try {
      const guard = this.#guardOf(inode);
      if (call.internal) {
        const reply = await run();
        if (reply.ok) guard.replaced(epoch);
        return reply;
      }
      const { attachment } = call;
      if (attachment?.device !== gfid || attachment.epoch !== epoch || !attachment.isRaising) return fail(Errno.EPERM);
      return (await guard.raise(epoch, run)) as Reply<N>;
    } finally {
      this.services.inodes.release(inode);
    }
  }

  async removexattr(call: Call, args: Args<'removexattr'>): Promise<Reply<'removexattr'>> {
    if (args.name === blockEpochXattr && !call.internal) return fail(Errno.EPERM);
    return this.child.removexattr(call, args);
  }

  async fremovexattr(call: Call, args: Args<'fremovexattr'>): Promise<Reply<'fremovexattr'>> {
    if (args.name === blockEpochXattr && !call.internal) return fail(Errno.EPERM);
    return this.child.fremovexattr(call, args);
  }

  /** Goes on as one, unless a step is about an epoch. */
  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    const isAboutEpoch = args.steps.some(({ fop, args: given }) => touchesEpoch(fop as FopName, given));
    return isAboutEpoch ? runSteps(this.ops, call, args.steps) : this.child.compound(call, args);
  }

  protected override forget(inode: Inode): void {
    inode.slots[this.slot] = undefined;
  }

  override dump(): Record<string, string | number | boolean> {
    return { refused: this.#refused, raised: this.#raised, unattached: this.#unattached };
  }
}

function touchesEpoch(fop: FopName, args: object): boolean {
  if (fop === 'setxattr' || fop === 'fsetxattr')
    return (args as Args<'setxattr'>).xattrs[blockEpochXattr] !== undefined;
  if (fop === 'removexattr' || fop === 'fremovexattr') return (args as Args<'removexattr'>).name === blockEpochXattr;
  if (fop === 'compound')
    return (args as Args<'compound'>).steps.some((step) => touchesEpoch(step.fop as FopName, step.args));
  return false;
}

/** Whether it changes the name of the directory of all devices. */
function namesHome(name: FopName, args: object): boolean {
  if (name === 'compound')
    return (args as Args<'compound'>).steps.some((step) => namesHome(step.fop as FopName, step.args));
  if (!mayChangeNames(name)) return false;
  const { loc, from, to } = args as { loc?: Loc; from?: Loc; to?: Loc };
  return [loc, from, to].some((one) => one?.parent === rootGfid && one.name === blockDirectory);
}

/** Who was put off may still give back what he has. */
function isUnlock(name: FopName, args: object): boolean {
  if (name === 'lk') return (args as Args<'lk'>).flock.type === 'unlock';
  return isInternalLock(name) && (args as Args<'inodelk'>).command === 'unlock';
}

function isInternalLock(name: FopName): boolean {
  return name === 'inodelk' || name === 'finodelk' || name === 'entrylk' || name === 'fentrylk';
}

function isLocking(name: FopName): boolean {
  return name === 'compound' || isInternalLock(name);
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/block',
  description: 'Keeps former holders of block devices out of a brick.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new BlockGuard(init as XlatorInit),
};
