/**
 * Xattrs that were read of inodes, believed as long as the inode's ctime stands: the kernel moves it with every change
 * of an xattr, by whomever. Only of inodes that have been at rest for a while, as its clock ticks in steps; and only on
 * file systems that are known to do so (docs/posix.md, Xattrs that are known).
 */
import type { ByteString, Gfid } from '@mortar/core';
import { Stat, type XattrTarget } from '@mortar/libc';
import type { Sys } from './brick.ts';
import { readGfid } from './handle.ts';
import { Lru } from './lru.ts';

const inodesMax = 32_768;
/** Longer than the kernel's clock stands still: ten milliseconds where it ticks a hundred times a second. */
const restMs = 50;
/** Longer values, and longer lists, are read each time. */
const valueMax = 64;
const namesMax = 32;
/** Most counters of heal are zero: one value for all. */
const zeroes = new Uint8Array(12);

/** statfs f_type of file systems that move ctime with xattrs: ext2 to ext4, XFS, btrfs. */
const trusted: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e]);

interface Known {
  readonly ctime: number;
  readonly ctimeNsec: number;
  /** Null: it has none. */
  gfid: Gfid | null | undefined;
  names: readonly ByteString[] | undefined;
  readonly values: Map<ByteString, Uint8Array>;
}

export class KnownXattrs {
  readonly #sys: Sys;
  readonly #known = new Lru<number, Known>(inodesMax);
  readonly #nowMs: () => number;
  /** Inode numbers are those of one file system. */
  readonly #device: string | undefined;

  /** `rootFd`: the brick's root. `nowMs`: the wall clock, which the kernel takes ctime from. */
  constructor(sys: Sys, rootFd: number, nowMs: () => number = Date.now) {
    this.#sys = sys;
    this.#nowMs = nowMs;
    const root = new Stat();
    if (sys.fstat(rootFd, root) >= 0 && trusted.has(sys.fileSystemType(rootFd))) this.#device = deviceOf(root);
  }

  /** Of an inode as it is now: `stat` was just taken. Null: it has no gfid; or a negative errno. */
  gfid(stat: Stat, target: XattrTarget): Gfid | null | number {
    const known = this.#of(stat);
    if (known?.gfid !== undefined) return known.gfid;
    const gfid = readGfid(this.#sys, target);
    if (known && typeof gfid !== 'number') known.gfid = gfid;
    return gfid;
  }

  names(stat: Stat, target: XattrTarget): readonly ByteString[] | number {
    const known = this.#of(stat);
    if (known?.names) return known.names;
    const names = this.#sys.listxattr(target);
    if (known && typeof names !== 'number' && names.length <= namesMax) known.names = names;
    return names;
  }

  /** Not to be changed by who gets it. */
  value(stat: Stat, target: XattrTarget, name: ByteString): Uint8Array | number {
    const known = this.#of(stat);
    const before = known?.values.get(name);
    if (before) return before;
    const value = this.#sys.getxattr(target, name);
    if (!known || typeof value === 'number' || value.length > valueMax || known.values.size >= namesMax) return value;
    const kept = value.length === zeroes.length && value.every((byte) => byte === 0) ? zeroes : value;
    known.values.set(name, kept);
    return kept;
  }

  #of(stat: Stat): Known | undefined {
    if (this.#device === undefined) return undefined;
    const known = this.#known.get(stat.ino);
    if (known && known.ctime === stat.ctime && known.ctimeNsec === stat.ctimeNsec) return known;
    const isAtRest = this.#nowMs() - stat.ctime * 1000 - stat.ctimeNsec / 1e6 > restMs;
    if (!isAtRest || deviceOf(stat) !== this.#device) return undefined;
    const { ctime, ctimeNsec } = stat;
    const fresh: Known = { ctime, ctimeNsec, gfid: undefined, names: undefined, values: new Map() };
    this.#known.set(stat.ino, fresh);
    return fresh;
  }
}

function deviceOf(stat: Stat): string {
  return `${stat.devMajor}:${stat.devMinor}`;
}
