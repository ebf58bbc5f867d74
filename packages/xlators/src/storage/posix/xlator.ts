/** The translator over a PosixStore: finds the open file of an fd, and waits where the disk has to be waited for. */
import {
  type Args,
  type Call,
  Errno,
  type Fd,
  FileType,
  type Fop,
  type FopName,
  type Fops,
  type Gfid,
  type GraphEvent,
  locOf,
  type OptionTable,
  type OptionValues,
  type Reply,
  rootCall,
  type Xdata,
  Xlator,
  type XlatorInit,
} from '@mortar/core';
import * as libc from '@mortar/libc';
import { Departures } from '../../lib/departures.ts';
import { decodeSync, encodeSynced, syncOperation } from '../../lib/sync-request.ts';
import { failed, refused, type Sys } from './brick.ts';
import { Descriptors } from './descriptors.ts';
import * as io from './io.ts';
import { list } from './list.ts';
import { iattOf, nodeOfFile } from './node.ts';
import type { options } from './options.ts';
import { isPlaced, Placing, poolShare } from './placing.ts';
import { read, smallContents } from './read.ts';
import { isMereLinkto } from './remove.ts';
import { type PosixOptions, settingsOf } from './settings.ts';
import { openBrick, setRootOwner } from './startup.ts';
import { statfs } from './statfs.ts';
import { type Opened, PosixStore, type Target } from './store.ts';
import { Syncs } from './syncs.ts';
import { flushTimes } from './times.ts';
import { Upkeep } from './upkeep.ts';
import { xattrop } from './xattrop.ts';
import { getxattr, removexattr, setxattr } from './xattrs.ts';

export class PosixXlator extends Xlator {
  #values: PosixOptions;
  #store: PosixStore | null = null;
  #syncs: Syncs | null = null;
  #upkeep: Upkeep | null = null;
  readonly #sys: Sys;
  readonly #placing: Placing;
  readonly #departures: Departures;
  readonly #fds: Descriptors;

  /** `sys`: tests put system calls of their own in between. */
  constructor(init: XlatorInit<typeof options>, sys: Sys = libc) {
    super(init as unknown as XlatorInit);
    this.#values = init.options;
    settingsOf(init.options);
    this.#sys = sys;
    this.#departures = new Departures(this.services.clock);
    this.#fds = new Descriptors(this.slot, () => this.#store);
    const host = {
      store: () => this.#store,
      opened: (fd: Fd) => this.#fds.opened(fd),
      clock: this.services.clock,
      slow: (gfid: Gfid, ms: number) => this.propagate({ type: 'storage-slow', gfid, ms }),
    };
    this.#placing = new Placing(host, poolShare(process.env.UV_THREADPOOL_SIZE));
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const own = super.bindFop(name, next);
    // What is not handled here is refused without touching the disk.
    return own === next || !isPlaced(name) ? own : (this.#placing.around(name, own as Fop<FopName>) as Fops[N]);
  }

  get store(): PosixStore {
    if (!this.#store) throw new Error(`${this.name} is used before init`);
    return this.#store;
  }

  override async init(): Promise<void> {
    const values = this.#values;
    const { clock, log } = this.services;
    const start = {
      settings: settingsOf(values),
      volumeId: values['volume-id'] || null,
      uid: values['brick-uid'],
      gid: values['brick-gid'],
      time: clock.wall(),
    };
    const brick = openBrick(this.#sys, start, (level, text) => log.write(level, this.name, text));
    const store = new PosixStore(brick);
    this.#store = store;
    this.#syncs = new Syncs({ clock, store, fsync: (fd, isDirectory) => this.#fsyncUnopened(fd, isDirectory) });
    this.#upkeep = new Upkeep(this.name, this.services, store, values, () => {
      this.propagate({ type: 'child-down' });
    });
    this.#upkeep.start();
  }

  override async fini(): Promise<void> {
    this.#upkeep?.stop();
    this.#store?.shut();
    this.#store = null;
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    const before = this.#values;
    this.#values = values as unknown as PosixOptions;
    if (this.#store) this.#store.brick.settings = settingsOf(this.#values);
    this.#upkeep?.reconfigure(this.#values);
    const isOther = (['brick-uid', 'brick-gid'] as const).some((name) => before[name] !== this.#values[name]);
    if (isOther && this.#store) this.#takeOwner(this.#store);
  }

  #takeOwner({ brick }: PosixStore): void {
    const { 'brick-uid': uid, 'brick-gid': gid } = this.#values;
    try {
      setRootOwner(this.#sys, brick.rootFd, { uid, gid, settings: brick.settings });
    } catch (error) {
      this.services.log.write('ERROR', this.name, (error as Error).message);
    }
  }

  override notify(event: GraphEvent): void {
    if (event.type === 'parent-up') this.propagate({ type: 'child-up' });
  }

  override dump(): Record<string, string | number | boolean> {
    if (!this.#store) return { directory: this.#values.directory };
    const { brick } = this.#store;
    return {
      directory: brick.settings.directory,
      open_files: brick.open.size,
      cached_directories: brick.directories.size,
      cached_files: brick.anonymous.size,
      below_reserve: brick.full,
      slow_calls: this.#placing.slow,
      offloaded_calls: this.#placing.offloaded,
    };
  }

  async lookup(call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
    return this.#departures.tellIfMissing(await this.store.lookup(call, args));
  }

  async stat(_call: Call, { loc }: Args<'stat'>): Promise<Reply<'stat'>> {
    return this.store.stat(loc);
  }

  async fstat(_call: Call, { fd }: Args<'fstat'>): Promise<Reply<'fstat'>> {
    return this.store.stat(this.#fds.target(fd));
  }

  async setattr(call: Call, { loc, attr, xdata }: Args<'setattr'>): Promise<Reply<'setattr'>> {
    return this.store.setattr(call, loc, attr, xdata);
  }

  async fsetattr(call: Call, { fd, attr, xdata }: Args<'fsetattr'>): Promise<Reply<'fsetattr'>> {
    return this.store.setattr(call, this.#fds.target(fd), attr, xdata);
  }

  async access(call: Call, args: Args<'access'>): Promise<Reply<'access'>> {
    return this.store.access(call, args);
  }

  async readlink(_call: Call, args: Args<'readlink'>): Promise<Reply<'readlink'>> {
    return this.store.readlink(args);
  }

  async mknod(call: Call, args: Args<'mknod'>): Promise<Reply<'mknod'>> {
    this.#upkeep?.checkReserve();
    return this.store.mknod(call, args);
  }

  async mkdir(call: Call, args: Args<'mkdir'>): Promise<Reply<'mkdir'>> {
    this.#upkeep?.checkReserve();
    return this.store.mkdir(call, args);
  }

  async symlink(call: Call, args: Args<'symlink'>): Promise<Reply<'symlink'>> {
    this.#upkeep?.checkReserve();
    return this.store.symlink(call, args);
  }

  async create(call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
    this.#upkeep?.checkReserve();
    const { reply, file } = this.store.create(call, args);
    if (file) this.#fds.keep(args.fd, { ok: true, file });
    return reply;
  }

  async put(call: Call, args: Args<'put'>): Promise<Reply<'put'>> {
    this.#upkeep?.checkReserve();
    return this.store.put(call, args);
  }

  async icreate(call: Call, args: Args<'icreate'>): Promise<Reply<'icreate'>> {
    this.#upkeep?.checkReserve();
    return this.store.icreate(call, args);
  }

  async namelink(call: Call, args: Args<'namelink'>): Promise<Reply<'namelink'>> {
    return this.store.namelink(call, args);
  }

  async unlink(call: Call, args: Args<'unlink'>): Promise<Reply<'unlink'>> {
    const reply = this.store.unlink(call, args);
    if (reply.ok) this.#departures.note(args.xdata);
    return reply;
  }

  async rmdir(call: Call, args: Args<'rmdir'>): Promise<Reply<'rmdir'>> {
    return this.store.rmdir(call, args);
  }

  async rename(call: Call, args: Args<'rename'>): Promise<Reply<'rename'>> {
    return this.store.rename(call, args);
  }

  async link(call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
    return this.store.link(call, args);
  }

  async open(call: Call, { loc, flags, fd, contents = 0 }: Args<'open'>): Promise<Reply<'open'>> {
    const opened = this.store.open(call, loc, flags);
    const reply = this.#fds.keep(fd, opened);
    if (!reply.ok || !opened.ok) return reply;
    const { brick } = this.store;
    const node = nodeOfFile(brick, opened.file);
    if (typeof node === 'number') return reply;
    const data = smallContents(brick, opened.file, node, flags, contents);
    const iatt = iattOf(brick, node);
    return data ? { iatt, data, ...reply } : { iatt, ...reply };
  }

  async opendir(_call: Call, { loc, fd }: Args<'opendir'>): Promise<Reply<'opendir'>> {
    return this.#fds.keep(fd, this.store.opendir(loc));
  }

  async flush(_call: Call, { fd }: Args<'flush'>): Promise<Reply<'flush'>> {
    const file = this.#fds.opened(fd);
    if (file) flushTimes(this.store.brick, file);
    return { ok: true };
  }

  async readv(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    const opened = this.#fds.file(args.fd);
    return opened.ok ? read(this.store.brick, call, opened.file, args) : opened;
  }

  async writev(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    this.#upkeep?.checkReserve();
    const opened = this.#fds.file(args.fd);
    if (!opened.ok) return opened;
    const { file } = opened;
    const { brick } = this.store;
    const how = { append: args.append === true, keepTimes: args.xdata?.keepTimes === true };
    const reply = io.write(brick, call, file, args.data, args.offset, how);
    if (!reply.ok) return reply;
    if (args.sync || io.syncsWrites(args.fd.flags)) {
      const synced = await this.#syncs!.file(file, true);
      if (synced < 0) return failed(synced);
    }
    const writers = brick.open.of(file.gfid)?.files.size ?? 0;
    return writers > 1 ? { ...reply, xdata: { openFdCount: writers } } : reply;
  }

  async fsync(call: Call, { fd, dataOnly }: Args<'fsync'>): Promise<Reply<'fsync'>> {
    const opened = this.#fds.file(fd);
    const node = opened.ok ? nodeOfFile(this.store.brick, opened.file) : this.store.node(locOf(fd.gfid));
    if (typeof node === 'number') return failed(node);
    if (!opened.ok && node.stat.type === FileType.regular) return opened;
    const iatt = iattOf(this.store.brick, node);
    const synced = await this.#syncFor(call, opened, dataOnly);
    return synced < 0 ? failed(synced) : { ok: true, pre: iatt, post: iatt };
  }

  async #syncFor(call: Call, opened: Opened, dataOnly: boolean): Promise<number> {
    const syncs = this.#syncs!;
    if (!opened.ok) return syncs.everything();
    // Who moves files moves many.
    if (call.internal === 'rebalance') return -(await syncs.gathered(opened.file.gfid));
    return syncs.file(opened.file, dataOnly);
  }

  /** `storage.sync`; anything else is for translators above. */
  async ipc(call: Call, { operation, data }: Args<'ipc'>): Promise<Reply<'ipc'>> {
    if (operation !== syncOperation) return refused(Errno.EOPNOTSUPP);
    if (!call.internal && call.uid !== 0) return refused(Errno.EPERM);
    const gfids = decodeSync(data);
    if (!gfids) return refused(Errno.EINVAL);
    return { ok: true, data: encodeSynced(await this.#syncs!.together(gfids)) };
  }

  async #fsyncUnopened(fd: Fd, isDirectory: boolean): Promise<number> {
    const call = rootCall(this.services.clock);
    const reply: Reply<'fsyncdir'> = await this[isDirectory ? 'fsyncdir' : 'fsync'](call, { fd, dataOnly: false });
    return reply.ok ? 0 : reply.errno;
  }

  async fsyncdir(_call: Call, { fd, dataOnly }: Args<'fsyncdir'>): Promise<Reply<'fsyncdir'>> {
    const own = this.#fds.opened(fd);
    const opened = own ? { ok: true as const, file: own } : this.store.opendir(locOf(fd.gfid));
    if (!opened.ok) return opened;
    const synced = await this.#syncs!.directory(opened.file, dataOnly);
    if (!own) this.#store?.close(opened.file);
    return synced < 0 ? failed(synced) : { ok: true };
  }

  async truncate(call: Call, { loc, size, xdata }: Args<'truncate'>): Promise<Reply<'truncate'>> {
    const node = this.store.node(loc);
    if (typeof node === 'number') return failed(node);
    const opened = this.store.anonymous(node.gfid);
    return opened.ok ? io.truncate(this.store.brick, call, opened.file, size, xdata?.keepTimes === true) : opened;
  }

  async ftruncate(call: Call, { fd, size, xdata }: Args<'ftruncate'>): Promise<Reply<'ftruncate'>> {
    return this.#fds.withFile(fd, (file) => io.truncate(this.store.brick, call, file, size, xdata?.keepTimes === true));
  }

  async fallocate(call: Call, { fd, mode, offset, size }: Args<'fallocate'>): Promise<Reply<'fallocate'>> {
    this.#upkeep?.checkReserve();
    return this.#fds.withFile(fd, (file) => io.allocate(this.store.brick, call, file, mode, offset, size));
  }

  async discard(call: Call, { fd, offset, size, xdata }: Args<'discard'>): Promise<Reply<'discard'>> {
    const keepTimes = xdata?.keepTimes === true;
    return this.#fds.withFile(fd, (file) =>
      io.allocate(this.store.brick, call, file, io.punchHole, offset, size, keepTimes),
    );
  }

  async zerofill(call: Call, { fd, offset, size }: Args<'zerofill'>): Promise<Reply<'zerofill'>> {
    this.#upkeep?.checkReserve();
    return this.#fds.withFile(fd, (file) => io.allocate(this.store.brick, call, file, io.zeroRange, offset, size));
  }

  async seek(_call: Call, { fd, offset, what, xdata }: Args<'seek'>): Promise<Reply<'seek'>> {
    if (xdata?.asFile !== undefined) {
      const meant = this.#onNode(this.#fds.target(fd), () => ({ ok: true as const }), xdata);
      if (!meant.ok) return meant;
    }
    return this.#fds.withFile(fd, (file) => io.seek(this.store.brick, file, offset, what));
  }

  async copy_file_range(call: Call, args: Args<'copy_file_range'>): Promise<Reply<'copy_file_range'>> {
    this.#upkeep?.checkReserve();
    const { from, to, fromOffset, toOffset, size } = args;
    return this.#fds.withFile(from, (source) =>
      this.#fds.withFile(to, (target) =>
        io.copyRange(this.store.brick, call, source, fromOffset, target, toOffset, size),
      ),
    );
  }

  async rchecksum(call: Call, { fd, offset, size }: Args<'rchecksum'>): Promise<Reply<'rchecksum'>> {
    const reply = await this.readv(call, { fd, size, offset });
    return reply.ok ? { ok: true, ...io.checksums(reply.data) } : reply;
  }

  async statfs(_call: Call, _args: Args<'statfs'>): Promise<Reply<'statfs'>> {
    const found = statfs(this.store.brick);
    return typeof found === 'number' ? failed(found) : { ok: true, statfs: found };
  }

  #onNode<R>(target: Target, run: (node: Exclude<ReturnType<PosixStore['node']>, number>) => R, xdata?: Xdata) {
    const node = this.store.node(target);
    if (typeof node === 'number') return failed(node);
    return isMereLinkto(this.store.brick, node, xdata?.asFile) ? refused(Errno.ENOENT) : run(node);
  }

  async getxattr(call: Call, { loc, name, xdata }: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
    return this.#onNode(loc, (node) => getxattr(this.store.brick, call, node, name), xdata);
  }

  async fgetxattr(call: Call, { fd, name, xdata }: Args<'fgetxattr'>): Promise<Reply<'fgetxattr'>> {
    return this.#onNode(this.#fds.target(fd), (node) => getxattr(this.store.brick, call, node, name), xdata);
  }

  async setxattr(call: Call, { loc, xattrs, flags, xdata }: Args<'setxattr'>): Promise<Reply<'setxattr'>> {
    this.#upkeep?.checkReserve();
    return this.#onNode(loc, (node) => setxattr(this.store.brick, call, node, xattrs, flags, false), xdata);
  }

  async fsetxattr(call: Call, { fd, xattrs, flags, xdata }: Args<'fsetxattr'>): Promise<Reply<'fsetxattr'>> {
    this.#upkeep?.checkReserve();
    const target = this.#fds.target(fd);
    return this.#onNode(target, (node) => setxattr(this.store.brick, call, node, xattrs, flags, true), xdata);
  }

  async removexattr(call: Call, { loc, name, xdata }: Args<'removexattr'>): Promise<Reply<'removexattr'>> {
    return this.#onNode(loc, (node) => removexattr(this.store.brick, call, node, name), xdata);
  }

  async fremovexattr(call: Call, { fd, name, xdata }: Args<'fremovexattr'>): Promise<Reply<'fremovexattr'>> {
    return this.#onNode(this.#fds.target(fd), (node) => removexattr(this.store.brick, call, node, name), xdata);
  }

  async xattrop(_call: Call, { loc, operation, values }: Args<'xattrop'>): Promise<Reply<'xattrop'>> {
    return this.#onNode(loc, (node) => xattrop(this.store.brick, node, operation, values));
  }

  async fxattrop(_call: Call, { fd, operation, values }: Args<'fxattrop'>): Promise<Reply<'fxattrop'>> {
    return this.#onNode(this.#fds.target(fd), (node) => xattrop(this.store.brick, node, operation, values));
  }

  async readdir(call: Call, args: Args<'readdir'>): Promise<Reply<'readdir'>> {
    return this.#list(call, args, null);
  }

  async readdirp(call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>> {
    return this.#list(call, args, args.want ?? []);
  }

  async #list(call: Call, args: Args<'readdir'>, plus: readonly string[] | null): Promise<Reply<'readdir'>> {
    const { store } = this;
    const reply = await list(store, this.#placing.warmer(store), call, args, this.#fds.opened(args.fd), plus);
    return this.#departures.tell(reply);
  }
}
