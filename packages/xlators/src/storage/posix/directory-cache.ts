/**
 * Directories by gfid as open descriptors, so that no operation walks a path. A directory that is not cached is found
 * through its handle: the handle's text names the parent's gfid and the name in it, and so on upwards. Neither the
 * kernel's limit of 40 symlinks nor PATH_MAX applies.
 */
import { type Gfid, rootGfid } from '@mortar/core';
import { O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_RDONLY, Stat } from '@mortar/libc';
import type { Sys } from './brick.ts';
import { handlePath, parseTarget, readGfid } from './handle.ts';
import { Lru } from './lru.ts';

export const openDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME;
const depthMax = 8192;
const ENOENT = -2;
const ENOTDIR = -20;
const ELOOP = -40;
const ESTALE = -116;

export class DirectoryCache {
  readonly #sys: Sys;
  readonly #rootFd: number;
  readonly #hiddenFd: number;
  readonly #fds: Lru<Gfid, number>;
  /** Given up, but perhaps in use by the operation that is running: closed when it has ended. */
  #doomed: number[] = [];
  readonly #stat = new Stat();

  constructor(sys: Sys, rootFd: number, hiddenFd: number, limit: number) {
    this.#sys = sys;
    this.#rootFd = rootFd;
    this.#hiddenFd = hiddenFd;
    this.#fds = new Lru(limit, (_gfid, fd) => this.#doom(fd));
  }

  get size(): number {
    return this.#fds.size;
  }

  /** The cached descriptor of a directory that still exists, which `stat` then describes; undefined if there is none. */
  peek(gfid: Gfid, stat = this.#stat): number | undefined {
    const isRoot = gfid === rootGfid;
    const fd = isRoot ? this.#rootFd : this.#fds.get(gfid);
    if (fd === undefined) return undefined;
    // Someone may have removed it behind our back; the kernel then says so by its link count.
    if (this.#sys.fstat(fd, stat) === 0 && stat.nlink > 0) return fd;
    if (isRoot) return fd;
    this.#fds.delete(gfid);
    return undefined;
  }

  /**
   * A descriptor, valid during the running operation. ENOTDIR: it is no directory; ESTALE: there is none; anything else
   * (EMFILE, EIO) says nothing about whether there is one.
   */
  get(gfid: Gfid, depth = 0): number {
    const cached = this.peek(gfid);
    if (cached !== undefined) return cached;
    if (depth > depthMax) return ELOOP;
    const target = this.#sys.readlinkat(this.#hiddenFd, handlePath(gfid));
    if (typeof target === 'number') return target === ENOENT ? ESTALE : target === -22 ? ENOTDIR : target;
    const at = parseTarget(target);
    if (!at) return ENOTDIR;
    const parent = this.get(at.parent, depth + 1);
    if (parent < 0) return parent;
    const fd = this.#sys.openat(parent, at.name, openDirectoryFlags);
    if (fd < 0) return fd === ENOENT || fd === ENOTDIR || fd === ELOOP ? ESTALE : fd;
    const found = readGfid(this.#sys, fd);
    if (found !== gfid) {
      this.#sys.close(fd);
      return typeof found === 'number' ? found : ESTALE;
    }
    this.#fds.set(gfid, fd);
    return fd;
  }

  /** Whether there certainly is no such directory, so that its handle may go. */
  lacks(gfid: Gfid): boolean {
    const found = this.get(gfid);
    return found === ESTALE || found === ENOTDIR;
  }

  drop(gfid: Gfid): void {
    this.#fds.delete(gfid);
  }

  clear(): void {
    this.#fds.clear();
  }

  #doom(fd: number): void {
    if (this.#doomed.push(fd) > 1) return;
    queueMicrotask(() => {
      for (const each of this.#doomed) this.#sys.close(each);
      this.#doomed = [];
    });
  }
}
