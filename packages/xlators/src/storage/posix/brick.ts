/** What the parts of the store share: the brick's directory, its caches of descriptors, its settings. */
import type { Errno, Failure, Gfid, LogLevel } from '@mortar/core';
import { asErrno } from '@mortar/core';
import type * as libc from '@mortar/libc';
import { DirectoryCache } from './directory-cache.ts';
import { KnownTimes } from './known-times.ts';
import { KnownXattrs } from './known-xattrs.ts';
import { ListingCache } from './listing.ts';
import { Lru } from './lru.ts';
import { type OpenFile, OpenFiles } from './open-files.ts';

/** The system calls; tests put a failing one in between. */
export type Sys = typeof libc;

export interface BrickSettings {
  /** Absolute path of the brick's root. */
  directory: string;
  hostname: string;
  /** This machine's id among the peers; what `trusted.glusterfs.node-uuid` answers. */
  nodeUuid: string;
  nodeUuidPathinfo: boolean;
  ctime: boolean;
  gfid2path: boolean;
  gfid2pathSeparator: string;
  buildPgfid: boolean;
  maxHardlinks: number;
  createMask: number;
  forceCreateMode: number;
  createDirectoryMask: number;
  forceDirectoryMode: number;
  reserve: { percent: number } | { bytes: number };
  sharedBrickCount: number;
  /** Whether statfs tells of blocks and inodes. */
  showsSize: boolean;
}

export type LogLine = (level: LogLevel, text: string) => void;

const directoryFdsMax = 2048;
const fileFdsMax = 1024;
const verifiedMax = 65536;

export class Brick {
  readonly sys: Sys;
  settings: BrickSettings;
  readonly log: LogLine;
  /** The brick's root, and `.glusterfs` in it. */
  readonly rootFd: number;
  readonly hiddenFd: number;
  readonly directories: DirectoryCache;
  readonly open: OpenFiles;
  /** Descriptors for reads and writes of files that the caller has not opened. */
  readonly anonymous: Lru<Gfid, OpenFile>;
  /** Objects whose handle has been checked since the start. */
  readonly verified = new Lru<Gfid, true>(verifiedMax);
  readonly times = new KnownTimes();
  readonly xattrs: KnownXattrs;
  readonly listings: ListingCache;
  /** The disk is below its reserve; kept up to date by whoever has a clock. */
  full = false;

  constructor(sys: Sys, settings: BrickSettings, log: LogLine, rootFd: number, hiddenFd: number) {
    this.sys = sys;
    this.settings = settings;
    this.log = log;
    this.rootFd = rootFd;
    this.hiddenFd = hiddenFd;
    this.xattrs = new KnownXattrs(sys, rootFd);
    this.directories = new DirectoryCache(sys, rootFd, hiddenFd, directoryFdsMax);
    this.open = new OpenFiles((fd) => sys.close(fd));
    this.anonymous = new Lru(fileFdsMax, (_gfid, file) => this.open.closeWhenUnpinned(file));
    this.listings = new ListingCache(sys);
  }

  /** Closes, in a microtask, what is open only to be quick; false if there is nothing of the kind. */
  giveUpDescriptors(): boolean {
    const held = this.directories.size + this.anonymous.size;
    if (held === 0) return false;
    this.anonymous.clear();
    this.directories.clear();
    this.log('WARNING', `out of file descriptors: ${held} that were kept open to be quick are closed`);
    return true;
  }

  /** A file in another thread's hands stays open until it lets go. */
  shut(): void {
    for (const file of this.open.all()) {
      this.open.remove(file);
      this.open.closeWhenUnpinned(file);
    }
    this.anonymous.clear();
    this.directories.clear();
    this.listings.clear();
    this.sys.close(this.hiddenFd);
    this.sys.close(this.rootFd);
  }
}

/** A reply from a negative errno. */
export function failed(negative: number): Failure {
  return { ok: false, errno: asErrno(-negative) };
}

export function refused(errno: Errno): Failure {
  return { ok: false, errno };
}
