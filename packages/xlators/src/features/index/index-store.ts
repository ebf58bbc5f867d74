/**
 * The index on disk: `BASE/{xattrop,dirty}/<gfid>` and `BASE/entry-changes/<parent gfid>/<name>`, each entry a hard link
 * to an empty base file of its kind, so that an entry costs no inode and their number is a link count. Synchronous:
 * one or two calls that touch only the directory. Results are 0 or a negative errno.
 */
import type { ByteString, Gfid, Random } from '@mortar/core';
import { Errno, errnoName, isGfid, newGfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import { currentBoot, recordBoot, recordedBoot } from './boot.ts';

export const indexKinds = ['xattrop', 'dirty', 'entry-changes'] as const;
export type IndexKind = (typeof indexKinds)[number];

export class IndexError extends Error {
  readonly code = 'EINDEX';
}

/** The directory of one kind, and the base file that new entries are linked to. */
class KindDirectory {
  readonly fd: number;
  readonly #kind: IndexKind;
  readonly #random: Random;
  #base: ByteString;
  /** Base files of earlier runs that still have entries. */
  readonly #older = new Set<ByteString>();
  readonly #stat = new libc.Stat();

  constructor(fd: number, kind: IndexKind, random: Random) {
    this.fd = fd;
    this.#kind = kind;
    this.#random = random;
    this.#base = this.#newBase();
    libc.forEachDirent(fd, (name) => {
      if (this.isBase(name) && name !== this.#base) this.#older.add(name);
    });
    this.sweep();
  }

  #newBase(): ByteString {
    return `${this.#kind}-${newGfid(this.#random)}`;
  }

  isBase(name: ByteString): boolean {
    return name.startsWith(`${this.#kind}-`);
  }

  /** Links `path` to the base file, which is made when it is missing, and replaced when it has all links it can. */
  add(path: ByteString, makeParent: () => number = () => 0): number {
    let result = libc.linkat(this.fd, this.#base, this.fd, path);
    for (let attempt = 0; attempt < 3 && result < 0; attempt++) {
      if (result === -Errno.EEXIST) return 0;
      if (result === -Errno.EMLINK) {
        this.#older.add(this.#base);
        this.#base = this.#newBase();
      } else if (result !== -Errno.ENOENT) return result;
      const made = this.#makeBase() || makeParent();
      if (made < 0) return made;
      result = libc.linkat(this.fd, this.#base, this.fd, path);
    }
    return result === -Errno.EEXIST ? 0 : result;
  }

  #makeBase(): number {
    const fd = libc.openat(this.fd, this.#base, libc.O_CREAT | libc.O_EXCL | libc.O_WRONLY, 0);
    if (fd >= 0) libc.close(fd);
    return fd >= 0 || fd === -Errno.EEXIST ? 0 : fd;
  }

  #links(base: ByteString): number {
    return libc.statx(this.fd, base, this.#stat) < 0 ? 0 : this.#stat.nlink;
  }

  /** Removes base files of earlier runs whose last entry is gone. */
  sweep(): void {
    for (const base of this.#older) {
      const links = this.#links(base);
      if (links > 1) continue;
      if (links === 1) libc.unlinkat(this.fd, base);
      this.#older.delete(base);
    }
  }

  /** How many entries there are: links to base files, less their own names. */
  count(): number {
    return [this.#base, ...this.#older].reduce((sum, base) => sum + Math.max(0, this.#links(base) - 1), 0);
  }

  close(): void {
    libc.close(this.fd);
  }
}

export class IndexStore {
  readonly #kinds: Record<IndexKind, KindDirectory>;
  readonly #baseFd: number;
  readonly #boot = currentBoot();
  readonly #stat = new libc.Stat();

  /** Makes the directories that are missing. Throws IndexError when that fails; the parent of `base` must exist. */
  constructor(base: string, random: Random) {
    const path = Buffer.from(base, 'utf8').toString('latin1');
    const baseFd = openDirectory(libc.AT_FDCWD, path, base);
    try {
      const open = (kind: IndexKind) => new KindDirectory(openDirectory(baseFd, kind, `${base}/${kind}`), kind, random);
      this.#kinds = { xattrop: open('xattrop'), dirty: open('dirty'), 'entry-changes': open('entry-changes') };
    } catch (error) {
      libc.close(baseFd);
      throw error;
    }
    this.#baseFd = baseFd;
    if (recordedBoot(baseFd) === undefined) this.recordBoot();
  }

  /** Whether the machine was started anew since `recordBoot` was last called; false where nobody can tell. */
  isOtherBoot(): boolean {
    const recorded = recordedBoot(this.#baseFd);
    return recorded !== undefined && this.#boot !== undefined && recorded !== this.#boot;
  }

  /** Durable when it returns. 0 or a negative errno. */
  recordBoot(): number {
    return this.#boot === undefined ? 0 : recordBoot(this.#baseFd, this.#boot);
  }

  add(kind: 'xattrop' | 'dirty', gfid: Gfid): number {
    return this.#kinds[kind].add(gfid);
  }

  remove(kind: 'xattrop' | 'dirty', gfid: Gfid): number {
    return gone(libc.unlinkat(this.#kinds[kind].fd, gfid));
  }

  has(kind: IndexKind, gfid: Gfid): boolean {
    return libc.statx(this.#kinds[kind].fd, gfid, this.#stat) === 0;
  }

  addName(parent: Gfid, name: ByteString): number {
    const directory = this.#kinds['entry-changes'];
    return directory.add(`${parent}/${name}`, () => {
      const made = libc.mkdirat(directory.fd, parent, 0o600);
      return made === -Errno.EEXIST ? 0 : made;
    });
  }

  removeName(parent: Gfid, name: ByteString): number {
    return gone(libc.unlinkat(this.#kinds['entry-changes'].fd, `${parent}/${name}`));
  }

  /** Forgets a directory with all names in it. */
  removeParent(parent: Gfid): number {
    const { fd } = this.#kinds['entry-changes'];
    const removed = libc.unlinkat(fd, parent, libc.AT_REMOVEDIR);
    if (removed !== -Errno.ENOTEMPTY) return gone(removed);
    const failed = this.#eachName('entry-changes', parent, (name) => void libc.unlinkat(fd, `${parent}/${name}`));
    return failed < 0 ? failed : gone(libc.unlinkat(fd, parent, libc.AT_REMOVEDIR));
  }

  count(kind: IndexKind): number {
    return this.#kinds[kind].count();
  }

  /** The first `most` names after `after` in the order of their bytes, without base files. */
  names(kind: IndexKind, parent: Gfid | undefined, after: ByteString, most: number): ByteString[] | number {
    this.#kinds[kind].sweep();
    let found: ByteString[] = [];
    const failed = this.#eachName(kind, parent, (name) => {
      if (name <= after) return;
      found.push(name);
      // The smallest are kept; sorting now and then bounds memory at twice that.
      if (found.length >= 2 * most) found = found.sort().slice(0, most);
    });
    return failed < 0 ? failed : found.sort().slice(0, most);
  }

  #eachName(kind: IndexKind, parent: Gfid | undefined, each: (name: ByteString) => void): number {
    const directory = this.#kinds[kind];
    const fd = libc.openat(directory.fd, parent ?? '.', libc.O_RDONLY | libc.O_DIRECTORY);
    if (fd < 0) return gone(fd);
    const result = libc.forEachDirent(fd, (name) => {
      if (parent !== undefined || isGfid(name)) each(name);
    });
    libc.close(fd);
    return result;
  }

  close(): void {
    for (const kind of indexKinds) this.#kinds[kind].close();
    libc.close(this.#baseFd);
  }
}

function gone(result: number): number {
  return result === -Errno.ENOENT ? 0 : result;
}

function openDirectory(at: number, path: ByteString, shown: string): number {
  const made = libc.mkdirat(at, path, 0o600);
  if (made < 0 && made !== -Errno.EEXIST)
    throw new IndexError(`cannot make the index directory ${shown}: ${errnoName(-made)}; does its parent exist?`);
  const fd = libc.openat(at, path, libc.O_RDONLY | libc.O_DIRECTORY);
  if (fd < 0) throw new IndexError(`cannot open the index directory ${shown}: ${errnoName(-fd)}`);
  return fd;
}
