/** One object: its attributes, its xattrs, and what it holds by its type. */
import { type ByteString, type Dirent, FileType, type Gfid, type Iatt, type Timespec } from '@mortar/core';
import { nameOffset } from '../../lib/name-offset.ts';
import { Content } from './content.ts';
import type { RangeLocks } from './range-locks.ts';

export interface NamedFile {
  name: ByteString;
  file: MemoryFile;
}

/** What a directory holds, in the order of the offsets: parallel arrays. */
export interface Ordered {
  /** Without attributes: they stay as they are for as long as the names do. */
  entries: readonly Dirent[];
  files: readonly MemoryFile[];
  /** Listings that have been given, by the index they begin at: who asks again gets the same. */
  pages: Map<number, { size: number; entries: readonly Dirent[]; end: boolean }>;
}

const noXattrs: ReadonlyMap<ByteString, Uint8Array> = new Map();
const noEntries: ReadonlyMap<ByteString, NamedFile> = new Map();

export class MemoryFile {
  readonly gfid: Gfid;
  readonly type: FileType;
  mode: number;
  uid: number;
  gid: number;
  nlink = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  readonly btime: Timespec;
  // Tables that most files leave empty take memory when something is in them.
  #xattrs: Map<ByteString, Uint8Array> | null = null;
  #entries: Map<ByteString, NamedFile> | null = null;
  #locks: Map<string, RangeLocks> | null = null;
  readonly content = new Content();
  target: ByteString = '';
  #ordered: Ordered | null = null;
  #parent: MemoryFile | null = null;
  /** Fds open on it: without a name it lives as long as these. */
  opens = 0;

  constructor(gfid: Gfid, type: FileType, mode: number, uid: number, gid: number, now: Timespec) {
    this.gfid = gfid;
    this.type = type;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.atime = now;
    this.mtime = now;
    this.ctime = now;
    this.btime = now;
  }

  get xattrs(): ReadonlyMap<ByteString, Uint8Array> {
    return this.#xattrs ?? noXattrs;
  }

  setXattr(name: ByteString, value: Uint8Array): void {
    this.#xattrs ??= new Map();
    this.#xattrs.set(name, value);
  }

  removeXattr(name: ByteString): boolean {
    return this.#xattrs?.delete(name) ?? false;
  }

  /** Directories: entries by name. */
  get entries(): ReadonlyMap<ByteString, NamedFile> {
    return this.#entries ?? noEntries;
  }

  /** Locks by what for: `posix`, or a domain of internal locks; undefined: never any. */
  locks(what: string): RangeLocks | undefined {
    return this.#locks?.get(what);
  }

  setLocks(what: string, locks: RangeLocks): void {
    this.#locks ??= new Map();
    this.#locks.set(what, locks);
  }

  /** Directories: where they are. */
  get parent(): MemoryFile | null {
    return this.#parent;
  }

  set parent(parent: MemoryFile | null) {
    this.#parent = parent;
    this.#ordered = null;
  }

  get isDirectory(): boolean {
    return this.type === FileType.directory;
  }

  /** `.`, `..` and the entries in the order of their offsets (docs/directory-listing.md). */
  get ordered(): Ordered {
    this.#ordered ??= this.#order();
    return this.#ordered;
  }

  #order(): Ordered {
    const names = [...this.entries.values()].map(({ name, file }) => ({ name, file, offset: nameOffset(name) }));
    names.sort((a, b) => a.offset - b.offset || (a.name < b.name ? -1 : 1));
    // Names of one hash follow each other, each with the next number.
    let last = 0;
    for (const entry of names) {
      entry.offset = Math.max(entry.offset, last + 1);
      last = entry.offset;
    }
    names.unshift({ name: '.', offset: 1, file: this }, { name: '..', offset: 2, file: this.parent ?? this });
    return {
      entries: names.map(({ name, offset, file: { gfid, type } }) => {
        return { name, gfid, type, offset, iatt: null, xattrs: null };
      }),
      files: names.map(({ file }) => file),
      pages: new Map(),
    };
  }

  addEntry(entry: NamedFile): void {
    this.#entries ??= new Map();
    this.#entries.set(entry.name, entry);
    this.#ordered = null;
  }

  removeEntry(name: ByteString): void {
    this.#entries?.delete(name);
    this.#ordered = null;
  }

  get size(): number {
    if (this.type === FileType.symlink) return this.target.length;
    return this.isDirectory ? 4096 : this.content.size;
  }

  iatt(): Iatt {
    return {
      gfid: this.gfid,
      type: this.type,
      mode: this.mode,
      nlink: this.nlink,
      uid: this.uid,
      gid: this.gid,
      rdevMajor: this.rdevMajor,
      rdevMinor: this.rdevMinor,
      size: this.size,
      blockSize: 4096,
      blocks: Math.ceil((this.isDirectory ? 4096 : this.content.allocated) / 512),
      atime: this.atime.sec,
      atimeNsec: this.atime.nsec,
      mtime: this.mtime.sec,
      mtimeNsec: this.mtime.nsec,
      ctime: this.ctime.sec,
      ctimeNsec: this.ctime.nsec,
      btime: this.btime.sec,
      btimeNsec: this.btime.nsec,
    };
  }
}
