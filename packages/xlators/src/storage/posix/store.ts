/**
 * A brick's directory as a store of objects by gfid. Synchronous, without translators or timers: arguments and replies
 * are plain objects and an open file is `{gfid, osFd}`, so that a store runs as well in a thread of its own.
 */
import { type Args, type Call, Errno, FileType, type Gfid, type Loc, type Reply, type Xdata } from '@mortar/core';
import { O_EXCL, O_RDWR, O_TRUNC, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Stat } from '@mortar/libc';
import { access, setattr } from './attributes.ts';
import { type Brick, failed, refused } from './brick.ts';
import { linkFromHandle, makeAtHandle, makeDirectory, mayMake, type Recipe, sameObject } from './create.ts';
import { handlePath, readGfid, unlinkedPath } from './handle.ts';
import { anonymousFile, openNode } from './io.ts';
import { addName } from './links.ts';
import { find, lookup } from './lookup.ts';
import { entryOf, iattOf, isDirectory, type Node, nodeOf, nodeOfFile, refreshed } from './node.ts';
import type { OpenFile } from './open-files.ts';
import { type Parent, parentAfter, parentOf } from './parents.ts';
import { isLinkto, isMereLinkto, rmdir, unlink } from './remove.ts';
import { link, rename } from './rename.ts';
import { flushTimes, touch } from './times.ts';

/** What an operation by loc or by fd is about. */
export type Target = Loc | OpenFile;

function isFile(target: Target): target is OpenFile {
  return 'osFd' in target;
}

/** An open file, or why there is none. */
export type Opened = { ok: true; file: OpenFile } | { ok: false; errno: Errno };

export class PosixStore {
  readonly brick: Brick;

  constructor(brick: Brick) {
    this.brick = brick;
  }

  /** The object of a loc or an open file, or the negative errno. */
  node(target: Target): Node | number {
    return isFile(target) ? nodeOfFile(this.brick, target) : find(this.brick, target);
  }

  lookup(call: Call, args: Args<'lookup'>): Reply<'lookup'> {
    return lookup(this.brick, call, args);
  }

  stat(target: Target): Reply<'stat'> {
    const node = this.node(target);
    return typeof node === 'number' ? failed(node) : { ok: true, iatt: iattOf(this.brick, node) };
  }

  setattr(call: Call, target: Target, attr: Args<'setattr'>['attr'], xdata?: Xdata): Reply<'setattr'> {
    const node = this.node(target);
    if (typeof node !== 'number' && isMereLinkto(this.brick, node, xdata?.asFile)) return refused(Errno.ENOENT);
    return typeof node === 'number' ? failed(node) : setattr(this.brick, call, node, attr);
  }

  access(call: Call, { loc, mask, xdata }: Args<'access'>): Reply<'access'> {
    const node = this.node(loc);
    if (typeof node !== 'number' && isMereLinkto(this.brick, node, xdata?.asFile)) return refused(Errno.ENOENT);
    const result = typeof node === 'number' ? node : access(call, node, xdata?.ifChecked ? 0 : mask);
    return result < 0 ? failed(result) : { ok: true };
  }

  readlink({ loc }: Args<'readlink'>): Reply<'readlink'> {
    const node = this.node(loc);
    if (typeof node === 'number') return failed(node);
    if (node.stat.type !== FileType.symlink) return refused(Errno.EINVAL);
    const target = this.brick.sys.readlinkat(node.dirfd, node.path);
    return typeof target === 'number' ? failed(target) : { ok: true, target, iatt: iattOf(this.brick, node) };
  }

  mknod(call: Call, args: Args<'mknod'>): Reply<'mknod'> {
    const { gfid, mode, rdevMajor, rdevMinor, initial } = args;
    const typed = (mode & S_IFMT) === 0 ? mode | S_IFREG : mode;
    if ((typed & S_IFMT) === S_IFDIR || (typed & S_IFMT) === S_IFLNK) return refused(Errno.EINVAL);
    return this.#makeNamed(call, args, { gfid, mode: typed, rdevMajor, rdevMinor, initial });
  }

  symlink(call: Call, args: Args<'symlink'>): Reply<'symlink'> {
    const { target, gfid, initial } = args;
    if (target === '') return refused(Errno.ENOENT);
    return this.#makeNamed(call, args, { gfid, mode: S_IFLNK | 0o777, initial, linkTarget: target });
  }

  #makeNamed(call: Call, { loc, xdata }: Pick<Args<'mknod'>, 'loc' | 'xdata'>, recipe: Recipe): Reply<'mknod'> {
    const parent = parentOf(this.brick, loc, xdata?.layout);
    if (typeof parent === 'number') return failed(parent);
    let result = mayMake(this.brick, call, recipe.gfid, parent);
    if (result < 0) return failed(result);
    result = makeAtHandle(this.brick, call, recipe, parent);
    if (result === -Errno.EEXIST) return this.#linkExisting(call, recipe, parent);
    if (result < 0) return failed(result);
    if (result > 0) this.brick.sys.close(result);
    result = linkFromHandle(this.brick, recipe.gfid, parent);
    return result < 0 ? failed(result) : this.#entryReply(call, parent);
  }

  #linkExisting(call: Call, recipe: Recipe, parent: Parent): Reply<'mknod'> {
    const existing = nodeOf(this.brick, recipe.gfid);
    if (!sameObject(existing, recipe)) return refused(Errno.EEXIST);
    const linked = link(this.brick, call, existing, parent);
    return typeof linked === 'number' ? failed(linked) : this.#entryReply(call, parent);
  }

  /** The reply of an operation that has just given `parent.name` to an object. */
  #entryReply(call: Call, parent: Parent): Reply<'mknod'> {
    const entry = entryOf(this.brick, parent.fd, parent.name);
    if (typeof entry === 'number') return failed(entry);
    const iatt = iattOf(this.brick, entry as Node);
    return { ok: true, iatt, preParent: parent.pre, postParent: parentAfter(this.brick, call, parent) };
  }

  mkdir(call: Call, { loc, mode, gfid, initial, xdata }: Args<'mkdir'>): Reply<'mkdir'> {
    const parent = parentOf(this.brick, loc, xdata?.layout);
    if (typeof parent === 'number') return failed(parent);
    let result = mayMake(this.brick, call, gfid, parent);
    if (result < 0) return failed(result);
    result = makeDirectory(this.brick, call, { gfid, mode: S_IFDIR | (mode & 0o7777), initial }, parent);
    return result < 0 ? failed(result) : this.#entryReply(call, parent);
  }

  /** With O_EXCL the name must be free; else a file that is there is opened. */
  create(call: Call, args: Omit<Args<'create'>, 'fd'>): { reply: Reply<'create'>; file: OpenFile | null } {
    const none = (reply: Reply<'create'>) => ({ reply, file: null });
    const parent = parentOf(this.brick, args.loc, args.xdata?.layout);
    if (typeof parent === 'number') return none(failed(parent));
    const recipe = { gfid: args.gfid, mode: S_IFREG | (args.mode & 0o7777), initial: args.initial };
    let result = mayMake(this.brick, call, args.gfid, parent);
    if (result === -Errno.EEXIST && !(args.flags & O_EXCL)) return this.#openExisting(call, args, parent);
    if (result >= 0) result = makeAtHandle(this.brick, call, recipe, parent);
    if (result < 0) return none(failed(result));
    const linked = linkFromHandle(this.brick, args.gfid, parent);
    if (linked < 0) {
      this.brick.sys.close(result);
      return none(failed(linked));
    }
    const file = this.brick.open.add(args.gfid, result, false, call.clientId);
    const iatt = iattOf(this.brick, nodeOfFile(this.brick, file) as Node);
    const postParent = parentAfter(this.brick, call, parent);
    return { reply: { ok: true, iatt, preParent: parent.pre, postParent }, file };
  }

  #openExisting(call: Call, args: Omit<Args<'create'>, 'fd'>, parent: Parent) {
    const opened = this.open(call, { ...args.loc, gfid: null }, args.flags);
    if (!opened.ok) return { reply: opened, file: null };
    const node = nodeOfFile(this.brick, opened.file) as Node;
    const parents = { preParent: parent.pre, postParent: parent.pre };
    return { reply: { ok: true as const, iatt: iattOf(this.brick, node), ...parents }, file: opened.file };
  }

  /** An object under its handle only, for `namelink`. */
  icreate(call: Call, { gfid, mode, initial }: Args<'icreate'>): Reply<'icreate'> {
    if ((mode & S_IFMT) === S_IFDIR || (mode & S_IFMT) === S_IFLNK) return refused(Errno.EINVAL);
    let result = mayMake(this.brick, call, gfid, null);
    const typed = (mode & S_IFMT) === 0 ? mode | S_IFREG : mode;
    if (result >= 0) result = makeAtHandle(this.brick, call, { gfid, mode: typed, initial }, null);
    if (result < 0) return failed(result);
    if (result > 0) this.brick.sys.close(result);
    const node = this.#nameless(gfid);
    return typeof node === 'number' ? failed(node) : { ok: true, iatt: iattOf(this.brick, node) };
  }

  namelink(call: Call, { loc }: Args<'namelink'>): Reply<'namelink'> {
    const parent = parentOf(this.brick, loc);
    if (typeof parent === 'number') return failed(parent);
    const node = loc.gfid === null ? -Errno.EINVAL : this.#nameless(loc.gfid);
    if (typeof node === 'number') return failed(node);
    let result = addName(this.brick, node, parent.node.gfid, parent.name);
    if (result >= 0) result = this.brick.sys.linkat(this.brick.hiddenFd, handlePath(node.gfid), parent.fd, parent.name);
    if (result < 0) return failed(result);
    return { ok: true, preParent: parent.pre, postParent: parentAfter(this.brick, call, parent) };
  }

  #nameless(gfid: Gfid): Node | number {
    const { sys, hiddenFd } = this.brick;
    const path = handlePath(gfid);
    const stat = new Stat();
    const result = sys.statx(hiddenFd, path, stat);
    if (result < 0) return result;
    const target = `/proc/self/fd/${hiddenFd}/${path}`;
    return readGfid(sys, target) === gfid ? { gfid, stat, dirfd: hiddenFd, path, target } : -Errno.ESTALE;
  }

  unlink(call: Call, { loc, xdata }: Args<'unlink'>): Reply<'unlink'> {
    return this.#removed(call, loc, undefined, (parent) => unlink(this.brick, call, parent, xdata));
  }

  rmdir(call: Call, { loc, recursive, xdata }: Args<'rmdir'>): Reply<'rmdir'> {
    return this.#removed(call, loc, xdata?.layout, (parent) => rmdir(this.brick, parent, recursive));
  }

  #removed(call: Call, loc: Loc, claim: string | undefined, remove: (parent: Parent) => number): Reply<'unlink'> {
    const parent = parentOf(this.brick, loc, claim);
    if (typeof parent === 'number') return failed(parent);
    const result = remove(parent);
    if (result < 0) return failed(result);
    return { ok: true, preParent: parent.pre, postParent: parentAfter(this.brick, call, parent) };
  }

  rename(call: Call, { from, to, flags, xdata }: Args<'rename'>): Reply<'rename'> {
    const source = parentOf(this.brick, from);
    const target = parentOf(this.brick, to, xdata?.layout);
    if (typeof source === 'number') return failed(source);
    if (typeof target === 'number') return failed(target);
    const moved = rename(this.brick, call, source, target, flags, xdata?.notLinkto);
    if (typeof moved === 'number') return failed(moved);
    return {
      ok: true,
      iatt: iattOf(this.brick, moved),
      preFromParent: source.pre,
      postFromParent: parentAfter(this.brick, call, source),
      preToParent: target.pre,
      postToParent: parentAfter(this.brick, call, target),
    };
  }

  link(call: Call, { from, to, xdata }: Args<'link'>): Reply<'link'> {
    const node = this.node(from);
    if (typeof node === 'number') return failed(node);
    if (isLinkto(this.brick, node, xdata?.notLinkto)) return refused(Errno.ENOENT);
    const parent = parentOf(this.brick, to, xdata?.layout);
    if (typeof parent === 'number') return failed(parent);
    const linked = link(this.brick, call, node, parent, xdata?.nameless === true);
    if (typeof linked === 'number') return failed(linked);
    const iatt = iattOf(this.brick, linked);
    return { ok: true, iatt, preParent: parent.pre, postParent: parentAfter(this.brick, call, parent) };
  }

  open(call: Call, loc: Loc, flags: number): Opened {
    const node = this.node(loc);
    if (typeof node === 'number') return failed(node);
    if (this.#isGone(call, node)) return refused(Errno.ESTALE);
    const osFd = openNode(this.brick, node, flags);
    if (osFd < 0) return failed(osFd);
    const file = this.brick.open.add(node.gfid, osFd, isDirectory(node), call.clientId);
    if (flags & O_TRUNC) touch(this.brick, refreshed(this.brick, node), call.time, { data: true, by: call.clientId });
    return { ok: true, file };
  }

  /**
   * A file without a name is there for those who have it open. Who has not, and asks for it, goes by a name that it had: he is to look again, and find what
   * has it now.
   */
  #isGone(call: Call, { gfid }: Node): boolean {
    const { open } = this.brick;
    if (!open.of(gfid)?.unlinked || call.internal || call.clientId === '') return false;
    return !open.isOpenBy(gfid, call.clientId);
  }

  opendir(loc: Loc): Opened {
    const node = this.node(loc);
    if (typeof node === 'number') return failed(node);
    if (!isDirectory(node)) return refused(Errno.ENOTDIR);
    const osFd = openNode(this.brick, node, 0);
    return osFd < 0 ? failed(osFd) : { ok: true, file: this.brick.open.add(node.gfid, osFd, true, '') };
  }

  /** A descriptor for I/O on a file that nobody has opened. */
  anonymous(gfid: Gfid): Opened {
    const open = this.brick.open.fdOf(gfid);
    const file = open && this.brick.open.of(gfid)?.unlinked ? open : anonymousFile(this.brick, gfid);
    return typeof file === 'number' ? failed(file) : { ok: true, file };
  }

  close(file: OpenFile): void {
    if (file.closed) return;
    const state = this.brick.open.of(file.gfid);
    const unlinked = state?.unlinked === true;
    // A disowned descriptor's times are nobody's.
    if (!unlinked && state?.files.has(file)) flushTimes(this.brick, file);
    this.brick.listings.drop(file);
    const last = this.brick.open.remove(file);
    this.brick.open.closeWhenUnpinned(file);
    if (last && unlinked) this.brick.sys.unlinkat(this.brick.hiddenFd, unlinkedPath(file.gfid));
  }

  /** A whole small file: a new one appears with its contents, in one step; an existing one is written over. */
  put(call: Call, args: Args<'put'>): Reply<'put'> {
    const parent = parentOf(this.brick, args.loc, args.xdata?.layout);
    if (typeof parent === 'number') return failed(parent);
    const recipe = { gfid: args.gfid, mode: S_IFREG | (args.mode & 0o7777), initial: args.initial };
    let result = mayMake(this.brick, call, args.gfid, parent);
    if (result === -Errno.EEXIST && !(args.flags & O_EXCL)) return this.#putOver(call, args);
    if (result >= 0) result = makeAtHandle(this.brick, call, recipe, parent);
    if (result < 0) return failed(result);
    const fd = result;
    result = this.#writeAll(fd, args.data);
    this.brick.sys.close(fd);
    if (result < 0) this.brick.sys.unlinkat(this.brick.hiddenFd, handlePath(args.gfid));
    else result = linkFromHandle(this.brick, args.gfid, parent);
    return result < 0 ? failed(result) : this.#entryReply(call, parent);
  }

  #putOver(call: Call, args: Args<'put'>): Reply<'put'> {
    const { file, reply } = this.create(call, { ...args, flags: O_RDWR | O_TRUNC });
    if (!file || !reply.ok) return reply;
    const result = this.#writeAll(file.osFd, args.data);
    const node = nodeOfFile(this.brick, file);
    this.close(file);
    if (result < 0) return failed(result);
    return typeof node === 'number' ? failed(node) : { ...reply, iatt: iattOf(this.brick, node) };
  }

  #writeAll(fd: number, data: Uint8Array): number {
    const written = this.brick.sys.pwrite(fd, data, 0, data.length, 0);
    return written >= 0 && written < data.length ? -Errno.ENOSPC : written;
  }

  shut(): void {
    for (const file of this.brick.open.all()) this.close(file);
    this.brick.shut();
  }
}
