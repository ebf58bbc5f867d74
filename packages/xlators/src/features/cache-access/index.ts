import {
  type Args,
  type Call,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fops,
  type Gfid,
  type GraphEvent,
  type Iatt,
  type Inode,
  type Loc,
  locOf,
  type OptionTable,
  type OptionValues,
  type Reply,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { permission, wantedToOpen } from '../../lib/open-permissions.ts';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

/** Of one file; more make it forget. */
const callersMax = 64;

interface Granted {
  readonly mask: number;
  readonly untilMs: number;
}

interface Slot {
  /** By caller. */
  readonly granted: Map<string, Granted>;
  owner: { readonly uid: number; readonly mode: number; readonly untilMs: number } | undefined;
  /** Counts changes: what was asked before one is not kept. */
  changes: number;
}

/** Lets caches below answer only whom the bricks would. */
export class CacheAccess extends Xlator {
  #timeoutMs: number;

  constructor(init: XlatorInit) {
    super(init);
    this.#timeoutMs = (init.options as Values).timeout * 1000;
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#timeoutMs = (values as Values).timeout * 1000;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    // Steps of a compound that change anything are seen one by one, whoever sends them.
    if (name === 'compound') return bound as Fops[N];
    if (fops[name].class !== 'metadata') return passing(next as Fop<FopName>, bound) as Fops[N];
    const changing: Fop<FopName> = async (call, args) => {
      const { loc, fd } = args as { loc?: Loc; fd?: Fd };
      const gfid = fd?.gfid ?? loc?.gfid;
      if (gfid) this.#changed(gfid);
      const reply = await bound(call, args);
      if (gfid) this.#changed(gfid);
      return reply;
    };
    return changing as Fops[N];
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'upcall' && event.what === 'metadata') this.#changed(event.gfid);
    super.notify(event, from);
  }

  async lookup(call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
    const { parent, name } = args.loc;
    const denied = name === null ? undefined : await this.#denied(call, parent, permission.execute);
    if (denied) return denied;
    const askedMs = this.services.clock.nowMs();
    const reply = await this.child.lookup(call, args);
    if (reply.ok) this.#learn(reply.iatt, askedMs);
    return reply;
  }

  async open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    return (await this.#denied(call, args.loc.gfid, wantedToOpen(args.flags))) ?? this.child.open(call, args);
  }

  async opendir(call: Call, args: Args<'opendir'>): Promise<Reply<'opendir'>> {
    return (await this.#denied(call, args.loc.gfid, permission.read)) ?? this.child.opendir(call, args);
  }

  async getxattr(call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
    const wanted = args.name?.startsWith('user.') ? permission.read : 0;
    return (await this.#denied(call, args.loc.gfid, wanted)) ?? this.child.getxattr(call, args);
  }

  /** Undefined if the bricks let the caller do all of `wanted`. */
  async #denied(call: Call, gfid: Gfid | null, wanted: number): Promise<Failure | undefined> {
    if (!gfid || wanted === 0) return undefined;
    const caller = `${call.uid}:${call.gid}:${call.groups.join()}`;
    const known = this.#known(gfid, call.uid, caller);
    if ((known & wanted) === wanted) return undefined;
    const { inodes, clock } = this.services;
    const inode = inodes.hold(inodes.get(gfid));
    try {
      const slot = this.#slotOf(inode);
      const { changes } = slot;
      const untilMs = clock.nowMs() + this.#timeoutMs;
      const reply = await this.child.access(call, { loc: locOf(gfid), mask: wanted, xdata: { ifChecked: true } });
      if (!reply.ok) return reply;
      if (slot.granted.size >= callersMax) slot.granted.clear();
      if (slot.changes === changes) slot.granted.set(caller, { mask: wanted | known, untilMs });
      return undefined;
    } finally {
      inodes.release(inode);
    }
  }

  /** What the caller may do for all that is known: bits as of access(2). */
  #known(gfid: Gfid, uid: number, caller: string): number {
    const slot = this.services.inodes.find(gfid)?.slots[this.slot] as Slot | undefined;
    if (!slot) return 0;
    const now = this.services.clock.nowMs();
    const granted = slot.granted.get(caller);
    const mask = granted && now < granted.untilMs ? granted.mask : 0;
    const { owner } = slot;
    return owner && owner.uid === uid && now < owner.untilMs ? mask | ((owner.mode >> 6) & 7) : mask;
  }

  #learn({ gfid, uid, mode }: Iatt, askedMs: number): void {
    const inode = this.services.inodes.find(gfid);
    if (inode) this.#slotOf(inode).owner = { uid, mode, untilMs: askedMs + this.#timeoutMs };
  }

  #changed(gfid: Gfid): void {
    const slot = this.services.inodes.find(gfid)?.slots[this.slot] as Slot | undefined;
    if (!slot) return;
    slot.changes++;
    slot.granted.clear();
    slot.owner = undefined;
  }

  #slotOf(inode: Inode): Slot {
    inode.slots[this.slot] ??= { granted: new Map(), owner: undefined, changes: 0 } satisfies Slot;
    return inode.slots[this.slot] as Slot;
  }
}

/** Root and the volume itself go straight on. */
function passing(next: Fop<FopName>, bound: Fop<FopName>): Fop<FopName> {
  if (bound === next) return next;
  return (call, args) => (call.uid === 0 || call.internal !== undefined ? next(call, args) : bound(call, args));
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/cache-access',
  description: 'Lets caches below answer only whom the bricks would.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new CacheAccess(init as XlatorInit),
};
