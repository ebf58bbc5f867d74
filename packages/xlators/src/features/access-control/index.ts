import {
  type Args,
  type ByteString,
  type Call,
  Errno,
  type Failure,
  type Fop,
  type FopName,
  type FopRecord,
  type Fops,
  fail,
  type Gfid,
  type Loc,
  type OptionValues,
  type Reply,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { wantedToOpen } from '../../lib/open-permissions.ts';
import { execute, type Guard, permits, read, write } from './acl.ts';
import { Guards } from './guards.ts';
import { options } from './options.ts';
import { isSticky, mayChangeXattr, maySetattr, withoutForeignSetGid } from './rules.ts';

type Values = OptionValues<typeof options>;

const anyExecute = 0o111;

/** Checks permissions of callers that are neither root nor the volume itself: mode bits, ACLs, ownership. */
export class AccessControl extends Xlator {
  readonly #superUid: number;
  readonly #guards: Guards;

  constructor(init: XlatorInit) {
    super(init);
    this.#superUid = (init.options as Values)['super-uid'];
    this.#guards = new Guards(init.services.inodes, this.slot, () => this.child);
  }

  #free(call: Call): boolean {
    return call.uid === 0 || call.uid === this.#superUid || call.internal !== undefined;
  }

  /** Undefined if `gfid` permits all of `wanted` to the caller. Without a gfid there is nothing to check. */
  async #denied(call: Call, gfid: Gfid | null, wanted: number): Promise<Failure | undefined> {
    if (!gfid || wanted === 0 || this.#free(call)) return undefined;
    const guard = await this.#guards.of(call, gfid);
    if ('ok' in guard) return guard;
    return permits(guard, call, wanted) ? undefined : fail(Errno.EACCES);
  }

  /** Root and the volume itself go straight on where nothing has to be remembered. */
  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    if (!checkedOnly.has(name)) return bound as Fops[N];
    const below = this.child[name] as Fop<FopName>;
    const checked: Fop<FopName> = (call, args) => (this.#free(call) ? below(call, args) : bound(call, args));
    return checked as Fops[N];
  }

  async lookup(call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
    const { parent, name } = args.loc;
    const denied = name === null ? undefined : await this.#denied(call, parent, execute);
    return denied ?? this.child.lookup(call, args);
  }

  /** Decided here. The superuser may execute what anyone may execute. */
  async access(call: Call, args: Args<'access'>): Promise<Reply<'access'>> {
    const { loc, mask } = args;
    if (mask > 7) return fail(Errno.EINVAL);
    const guard = await this.#guards.at(call, loc);
    if ('ok' in guard) return guard;
    const allowed = this.#free(call) ? superuserMay(guard, mask) : permits(guard, call, mask);
    // What is known here may outlive the file.
    return allowed ? this.child.access(call, { ...args, mask: 0 }) : fail(Errno.EACCES);
  }

  async open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    return (await this.#denied(call, args.loc.gfid, wantedToOpen(args.flags))) ?? this.child.open(call, args);
  }

  async opendir(call: Call, args: Args<'opendir'>): Promise<Reply<'opendir'>> {
    return (await this.#denied(call, args.loc.gfid, read)) ?? this.child.opendir(call, args);
  }

  async truncate(call: Call, args: Args<'truncate'>): Promise<Reply<'truncate'>> {
    return (await this.#denied(call, args.loc.gfid, write)) ?? this.child.truncate(call, args);
  }

  async create(call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.create(call, args);
  }

  async mknod(call: Call, args: Args<'mknod'>): Promise<Reply<'mknod'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.mknod(call, args);
  }

  async mkdir(call: Call, args: Args<'mkdir'>): Promise<Reply<'mkdir'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.mkdir(call, args);
  }

  async symlink(call: Call, args: Args<'symlink'>): Promise<Reply<'symlink'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.symlink(call, args);
  }

  async put(call: Call, args: Args<'put'>): Promise<Reply<'put'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.put(call, args);
  }

  async namelink(call: Call, args: Args<'namelink'>): Promise<Reply<'namelink'>> {
    return (await this.#deniedEntry(call, args.loc)) ?? this.child.namelink(call, args);
  }

  async link(call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
    return (await this.#deniedEntry(call, args.to)) ?? this.child.link(call, args);
  }

  async unlink(call: Call, args: Args<'unlink'>): Promise<Reply<'unlink'>> {
    return (await this.#deniedRemoval(call, args.loc)) ?? this.child.unlink(call, args);
  }

  async rmdir(call: Call, args: Args<'rmdir'>): Promise<Reply<'rmdir'>> {
    return (await this.#deniedRemoval(call, args.loc)) ?? this.child.rmdir(call, args);
  }

  async rename(call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
    return (await this.#deniedRename(call, args.from, args.to)) ?? this.child.rename(call, args);
  }

  #deniedEntry(call: Call, { parent }: Loc): Promise<Failure | undefined> {
    return this.#denied(call, parent, write | execute);
  }

  /** Taking a name out of a directory, or replacing what it means. A name that is not there is no concern here. */
  async #deniedRemoval(call: Call, loc: Loc): Promise<Failure | undefined> {
    if (this.#free(call) || !loc.parent) return undefined;
    const directory = await this.#guards.of(call, loc.parent);
    if ('ok' in directory) return directory;
    if (!permits(directory, call, write | execute)) return fail(Errno.EACCES);
    if (!isSticky(directory) || directory.uid === call.uid) return undefined;
    const target = await this.#guards.at(call, loc);
    if ('ok' in target) return target.errno === Errno.ENOENT ? undefined : target;
    return target.uid === call.uid ? undefined : fail(Errno.EPERM);
  }

  async #deniedRename(call: Call, from: Loc, to: Loc): Promise<Failure | undefined> {
    if (this.#free(call)) return undefined;
    const denied = (await this.#deniedRemoval(call, from)) ?? (await this.#deniedRemoval(call, to));
    if (denied || from.parent === to.parent) return denied;
    // A directory that gets another parent has its `..` changed.
    const moved = await this.#guards.at(call, from);
    if ('ok' in moved) return moved;
    return moved.isDirectory && !permits(moved, call, write) ? fail(Errno.EACCES) : undefined;
  }

  async setattr(call: Call, args: Args<'setattr'>): Promise<Reply<'setattr'>> {
    const { gfid } = args.loc;
    const attr = await this.#checkedAttr(call, gfid, args.attr);
    return 'ok' in attr ? attr : this.#guards.changing(gfid, () => this.child.setattr(call, { ...args, attr }));
  }

  async fsetattr(call: Call, args: Args<'fsetattr'>): Promise<Reply<'fsetattr'>> {
    const { gfid } = args.fd;
    const attr = await this.#checkedAttr(call, gfid, args.attr);
    return 'ok' in attr ? attr : this.#guards.changing(gfid, () => this.child.fsetattr(call, { ...args, attr }));
  }

  async #checkedAttr(
    call: Call,
    gfid: Gfid | null,
    attr: Args<'setattr'>['attr'],
  ): Promise<Args<'setattr'>['attr'] | Failure> {
    if (this.#free(call) || !gfid) return attr;
    const guard = await this.#guards.of(call, gfid);
    if ('ok' in guard) return guard;
    const errno = maySetattr(guard, call, attr);
    return errno === 0 ? withoutForeignSetGid(guard, call, attr) : fail(errno);
  }

  async setxattr(call: Call, args: Args<'setxattr'>): Promise<Reply<'setxattr'>> {
    const denied = await this.#deniedXattrs(call, args.loc.gfid, Object.keys(args.xattrs));
    return (
      denied ?? this.#changingXattrs(args.loc.gfid, Object.keys(args.xattrs), () => this.child.setxattr(call, args))
    );
  }

  async fsetxattr(call: Call, args: Args<'fsetxattr'>): Promise<Reply<'fsetxattr'>> {
    const denied = await this.#deniedXattrs(call, args.fd.gfid, Object.keys(args.xattrs));
    return (
      denied ?? this.#changingXattrs(args.fd.gfid, Object.keys(args.xattrs), () => this.child.fsetxattr(call, args))
    );
  }

  async removexattr(call: Call, args: Args<'removexattr'>): Promise<Reply<'removexattr'>> {
    const denied = await this.#deniedXattrs(call, args.loc.gfid, [args.name]);
    return denied ?? this.#changingXattrs(args.loc.gfid, [args.name], () => this.child.removexattr(call, args));
  }

  async fremovexattr(call: Call, args: Args<'fremovexattr'>): Promise<Reply<'fremovexattr'>> {
    const denied = await this.#deniedXattrs(call, args.fd.gfid, [args.name]);
    return denied ?? this.#changingXattrs(args.fd.gfid, [args.name], () => this.child.fremovexattr(call, args));
  }

  async #deniedXattrs(call: Call, gfid: Gfid | null, names: readonly ByteString[]): Promise<Failure | undefined> {
    if (this.#free(call) || !gfid) return undefined;
    const guard = await this.#guards.of(call, gfid);
    if ('ok' in guard) return guard;
    const errno = names.map((name) => mayChangeXattr(guard, call, name)).find((verdict) => verdict !== 0);
    return errno ? fail(errno) : undefined;
  }

  /** Setting an ACL changes the mode as well, and some virtual names (glusterfs.*) may set either. */
  #changingXattrs<T>(gfid: Gfid | null, names: readonly ByteString[], change: () => Promise<T>): Promise<T> {
    return names.every((name) => name.startsWith('user.')) ? change() : this.#guards.changing(gfid, change);
  }

  async getxattr(call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
    const wanted = args.name?.startsWith('user.') ? read : 0;
    return (await this.#denied(call, args.loc.gfid, wanted)) ?? this.child.getxattr(call, args);
  }

  async fgetxattr(call: Call, args: Args<'fgetxattr'>): Promise<Reply<'fgetxattr'>> {
    const wanted = args.name?.startsWith('user.') ? read : 0;
    return (await this.#denied(call, args.fd.gfid, wanted)) ?? this.child.fgetxattr(call, args);
  }
}

function superuserMay({ mode, isDirectory }: Guard, mask: number): boolean {
  return (mask & execute) === 0 || isDirectory || (mode & anyExecute) !== 0;
}

/** Fops that are only let through or not: they change nothing that permissions depend on. */
const checkedOnly: ReadonlySet<FopName> = new Set([
  'lookup',
  'open',
  'opendir',
  'truncate',
  'create',
  'mknod',
  'mkdir',
  'symlink',
  'put',
  'namelink',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'getxattr',
  'fgetxattr',
]);

/** Fops on open files pass: permission was checked at open, and is kept when it is taken away later (POSIX). */
const fops = {
  access: 'handles',
  compound: 'handles',
  copy_file_range: 'passes',
  create: 'handles',
  discard: 'passes',
  entrylk: 'passes',
  fallocate: 'passes',
  fentrylk: 'passes',
  fgetxattr: 'handles',
  finodelk: 'passes',
  flush: 'passes',
  fremovexattr: 'handles',
  fsetattr: 'handles',
  fsetxattr: 'handles',
  fstat: 'passes',
  fsync: 'passes',
  fsyncdir: 'passes',
  ftruncate: 'passes',
  fxattrop: 'passes',
  getxattr: 'handles',
  icreate: 'passes',
  inodelk: 'passes',
  ipc: 'passes',
  lease: 'passes',
  link: 'handles',
  lk: 'passes',
  lookup: 'handles',
  mkdir: 'handles',
  mknod: 'handles',
  namelink: 'handles',
  open: 'handles',
  opendir: 'handles',
  put: 'handles',
  rchecksum: 'passes',
  readdir: 'passes',
  readdirp: 'passes',
  readlink: 'passes',
  readv: 'passes',
  removexattr: 'handles',
  rename: 'handles',
  rmdir: 'handles',
  seek: 'passes',
  setattr: 'handles',
  setxattr: 'handles',
  stat: 'passes',
  statfs: 'passes',
  symlink: 'handles',
  truncate: 'handles',
  unlink: 'handles',
  writev: 'passes',
  xattrop: 'passes',
  zerofill: 'passes',
} satisfies FopRecord;

export const xlator: XlatorType<typeof options> = {
  type: 'features/access-control',
  description: 'Checks permissions and POSIX ACLs.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  fops,
  create: (init) => new AccessControl(init as XlatorInit),
};
