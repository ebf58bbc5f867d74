/** All objects of a memory volume and how they are found. */
import {
  type ByteString,
  type Call,
  Errno,
  type Failure,
  type Fd,
  FileType,
  fail,
  type Gfid,
  isValidName,
  type Loc,
  nameMaxBytes,
  rootGfid,
  type Timespec,
  type Xattrs,
  type Xdata,
} from '@mortar/core';
import { claimHolds } from '../../lib/layout-claim.ts';
import { MemoryFile, type NamedFile } from './file.ts';
import { RangeLocks, WaitGraph } from './range-locks.ts';

export type Found<T> = { ok: true; value: T } | Failure;

function found<T>(value: T): Found<T> {
  return { ok: true, value };
}

const setgid = 0o2000;

export interface NewFile {
  gfid: Gfid;
  type: FileType;
  mode: number;
  initial?: Xattrs | undefined;
}

export class Volume {
  readonly #files = new Map<Gfid, MemoryFile>();
  /** Open files that have lost their last name. */
  readonly #nameless = new Map<Gfid, MemoryFile>();
  #keepsNameless = false;
  readonly #waits = new WaitGraph();
  readonly slot: number;
  readonly capacity: number;
  readonly root: MemoryFile;
  used = 0;
  #fence = 0;

  constructor(slot: number, capacity: number, now: Timespec) {
    this.slot = slot;
    this.capacity = capacity;
    this.root = new MemoryFile(rootGfid, FileType.directory, 0o755, 0, 0, now);
    this.root.nlink = 2;
    this.#files.set(rootGfid, this.root);
  }

  get count(): number {
    return this.#files.size;
  }

  nextFence(): number {
    return ++this.#fence;
  }

  byGfid(gfid: Gfid): Found<MemoryFile> {
    const file = this.#files.get(gfid);
    return file ? found(file) : fail(Errno.ESTALE);
  }

  /** A directory by gfid, to work on a name in it. */
  directory(gfid: Gfid | null): Found<MemoryFile> {
    if (gfid === null) return fail(Errno.EINVAL);
    const dir = this.byGfid(gfid);
    return !dir.ok || dir.value.isDirectory ? dir : fail(Errno.ENOTDIR);
  }

  /**
   * The directory and name of a loc, the name being one that may exist. EREMCHG if the directory is not laid out as the
   * operation believes (xdata `layout`).
   */
  place(
    { parent, name }: Loc,
    xdata?: Xdata,
  ): Found<{ parent: MemoryFile; name: ByteString; entry: NamedFile | undefined }> {
    if (name === null) return fail(Errno.EINVAL);
    if (name.length > nameMaxBytes) return fail(Errno.ENAMETOOLONG);
    if (!isValidName(name)) return fail(Errno.EINVAL);
    const dir = this.directory(parent);
    if (!dir.ok) return dir;
    const claim = xdata?.layout;
    if (claim !== undefined && !claimHolds(claim, (xattr) => dir.value.xattrs.get(xattr))) return fail(Errno.EREMCHG);
    return found({ parent: dir.value, name, entry: dir.value.entries.get(name) });
  }

  /** The object of a loc: by gfid if it has one, else by name. */
  file(loc: Loc): Found<MemoryFile> {
    if (loc.gfid !== null) return this.#evenNameless(loc.gfid);
    const place = this.place(loc);
    if (!place.ok) return place;
    return place.value.entry ? found(place.value.entry.file) : fail(Errno.ENOENT);
  }

  /** The object of an fd; of one that is not open here, by gfid. */
  opened(fd: Fd): Found<MemoryFile> {
    const file = fd.slots[this.slot];
    return file instanceof MemoryFile ? found(file) : this.byGfid(fd.gfid);
  }

  attach(fd: Fd, file: MemoryFile): void {
    fd.slots[this.slot] = file;
    file.opens++;
    fd.onRelease(() => {
      fd.slots[this.slot] = undefined;
      file.opens--;
      this.#reap(file);
    });
  }

  /** Makes an object without a name; EEXIST when its gfid is taken, which holds for the whole volume. */
  make(call: Call, { gfid, type, mode, initial }: NewFile, parent: MemoryFile | null): Found<MemoryFile> {
    if (this.#keepsNameless) this.#nameless.delete(gfid);
    if (this.#files.has(gfid) || this.#nameless.has(gfid)) return fail(Errno.EEXIST);
    const inherits = parent !== null && (parent.mode & setgid) !== 0;
    const gid = inherits ? parent.gid : call.gid;
    const bits = (mode & 0o7777) | (inherits && type === FileType.directory ? setgid : 0);
    const file = new MemoryFile(gfid, type, bits, call.uid, gid, call.time);
    if (initial) for (const [name, value] of Object.entries(initial)) file.setXattr(name, Uint8Array.from(value));
    this.#files.set(gfid, file);
    return found(file);
  }

  link(parent: MemoryFile, name: ByteString, file: MemoryFile, now: Timespec): void {
    parent.addEntry({ name, file });
    parent.mtime = now;
    parent.ctime = now;
    if (file.isDirectory) {
      file.parent = parent;
      file.nlink = Math.max(2, file.nlink);
      parent.nlink++;
    } else file.nlink++;
    file.ctime = now;
  }

  unlink(parent: MemoryFile, name: ByteString, now: Timespec): void {
    const file = parent.entries.get(name)!.file;
    parent.removeEntry(name);
    parent.mtime = now;
    parent.ctime = now;
    file.ctime = now;
    if (file.isDirectory) {
      parent.nlink--;
      file.parent = null;
    } else file.nlink--;
  }

  /** An object whose last name went: no longer found, and freed when nobody has it open. */
  drop(file: MemoryFile): void {
    if (file.isDirectory) file.nlink = 0;
    if (file.nlink > 0) return;
    this.#files.delete(file.gfid);
    if ((file.opens > 0 || this.#keepsNameless) && !file.isDirectory) this.#nameless.set(file.gfid, file);
    this.#reap(file);
  }

  /** By gfid, also a file that is open but has no name. */
  #evenNameless(gfid: Gfid): Found<MemoryFile> {
    const file = this.#files.get(gfid) ?? this.#nameless.get(gfid);
    return file ? found(file) : fail(Errno.ESTALE);
  }

  /** A file that may get one more name; one without any only if that is asked for. */
  linkable(loc: Loc, nameless: boolean): Found<MemoryFile> {
    const file = this.file(loc);
    if (!file.ok || this.#files.has(file.value.gfid)) return file;
    if (!nameless) return fail(Errno.ENOENT);
    this.#nameless.delete(file.value.gfid);
    this.#files.set(file.value.gfid, file.value);
    return file;
  }

  /** Done again from a journal, nothing is open: until the end of that, what has no name may get one again. */
  keepNameless(keep: boolean): void {
    this.#keepsNameless = keep;
    if (!keep) for (const file of [...this.#nameless.values()]) this.#reap(file);
  }

  /** Whether `bytes` more fit. */
  fits(bytes: number): boolean {
    return this.used + bytes <= this.capacity;
  }

  /** Changes the content of a file, keeping the sum of what is used. */
  change(file: MemoryFile, change: () => void): void {
    const before = file.content.allocated;
    change();
    this.used += file.content.allocated - before;
  }

  locks(file: MemoryFile, what: string): RangeLocks {
    let locks = file.locks(what);
    if (!locks) {
      locks = new RangeLocks(this.#waits);
      file.setLocks(what, locks);
    }
    return locks;
  }

  #reap(file: MemoryFile): void {
    if (file.opens > 0 || this.#keepsNameless || this.#files.get(file.gfid) === file) return;
    this.#nameless.delete(file.gfid);
    this.change(file, () => file.content.resize(0));
  }
}

/** Times after a change of data, unless heal asked to leave them. */
export function touch(file: MemoryFile, now: Timespec, xdata: Xdata | undefined): void {
  if (xdata?.keepTimes) return;
  file.mtime = now;
  file.ctime = now;
}

const noXattrs: Xattrs = Object.freeze(Object.create(null));

/** The xattrs of a file that `want` names; a name that ends in `*` takes all that begin so. */
export function wantedXattrs(file: MemoryFile, want: readonly ByteString[] | undefined): Xattrs {
  if (!want || want.length === 0 || file.xattrs.size === 0) return noXattrs;
  const xattrs: Xattrs = Object.create(null);
  for (const [name, value] of file.xattrs) {
    if (want.some((w) => (w.endsWith('*') ? name.startsWith(w.slice(0, -1)) : name === w))) xattrs[name] = value;
  }
  return xattrs;
}
