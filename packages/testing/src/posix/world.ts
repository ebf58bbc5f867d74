/**
 * A directory in which a case plays, and the system calls as a program makes them: by names relative to it, answered by
 * a number, negative for an errno. All calls are synchronous: what serves the directory must be another process.
 */
import { strict as assert } from 'node:assert';
import { type ByteString, byteString, errnoName } from '@mortar/core';
import * as libc from '@mortar/libc';

/** Nobody's numbers, for cases that ask who may do what. */
export const alice = { uid: 31_001, gid: 32_001 };
export const bob = { uid: 31_002, gid: 32_002 };

export interface User {
  uid: number;
  gid: number;
  groups?: readonly number[];
}

export class World {
  readonly path: ByteString;
  readonly dir: number;
  readonly #open = new Set<number>();

  /** `path` exists, is empty, and belongs to root. */
  constructor(path: string) {
    this.path = byteString(path);
    this.dir = libc.open(this.path, libc.O_RDONLY | libc.O_DIRECTORY);
    assert(this.dir >= 0, `${path} cannot be opened: ${errnoName(-this.dir)}`);
  }

  /** Removes all that is in the directory, of any name and depth. */
  clear(): void {
    removeAll(this.dir);
  }

  end(): void {
    for (const fd of this.#open) libc.close(fd);
    libc.close(this.dir);
  }

  open(name: ByteString, flags = libc.O_RDONLY, mode = 0o644): number {
    const fd = libc.openat(this.dir, name, flags, mode);
    if (fd >= 0) this.#open.add(fd);
    return fd;
  }

  close(fd: number): number {
    this.#open.delete(fd);
    return libc.close(fd);
  }

  /** Opens and closes: for who only asks whether it may. */
  tryOpen(name: ByteString, flags = libc.O_RDONLY, mode = 0o644): number {
    const fd = this.open(name, flags, mode);
    return fd < 0 ? fd : this.close(fd);
  }

  /** A new file, closed. */
  file(name: ByteString, contents = '', mode = 0o644): void {
    const fd = must(this.open(name, libc.O_CREAT | libc.O_EXCL | libc.O_RDWR, mode));
    if (contents !== '') this.write(fd, contents);
    must(libc.fchmod(fd, mode));
    this.close(fd);
  }

  mkdir(name: ByteString, mode = 0o755): number {
    return libc.mkdirat(this.dir, name, mode);
  }

  /** A new directory that must come to be, with exactly this mode. */
  directory(name: ByteString, mode = 0o755): void {
    must(this.mkdir(name, mode));
    must(this.chmod(name, mode));
  }

  rmdir(name: ByteString): number {
    return libc.unlinkat(this.dir, name, libc.AT_REMOVEDIR);
  }

  unlink(name: ByteString): number {
    return libc.unlinkat(this.dir, name);
  }

  link(from: ByteString, to: ByteString): number {
    return libc.linkat(this.dir, from, this.dir, to);
  }

  symlink(target: ByteString, name: ByteString): number {
    return libc.symlinkat(target, this.dir, name);
  }

  readlink(name: ByteString): ByteString | number {
    return libc.readlinkat(this.dir, name);
  }

  rename(from: ByteString, to: ByteString, flags = 0): number {
    return libc.renameat2(this.dir, from, this.dir, to, flags);
  }

  mknod(name: ByteString, mode: number, major = 0, minor = 0): number {
    return libc.mknodat(this.dir, name, mode, major, minor);
  }

  chmod(name: ByteString, mode: number): number {
    return libc.fchmodat(this.dir, name, mode);
  }

  chown(name: ByteString, uid: number, gid: number): number {
    return libc.fchownat(this.dir, name, uid, gid, libc.AT_SYMLINK_NOFOLLOW);
  }

  truncate(name: ByteString, size: number): number {
    return libc.truncate(this.at(name), size);
  }

  utimens(name: ByteString, atime: libc.TimeChange, mtime: libc.TimeChange): number {
    return libc.utimensat(this.dir, name, atime, mtime, libc.AT_SYMLINK_NOFOLLOW);
  }

  /** For calls of this process that take a path; whoever acts need not be let in from the root. */
  at(name: ByteString): ByteString {
    return `/proc/self/fd/${this.dir}/${name}`;
  }

  /** For other processes, as root. */
  absolute(name: ByteString): ByteString {
    return `${this.path}/${name}`;
  }

  /** lstat; the case fails if there is nothing. */
  stat(name: ByteString = '.'): libc.Stat {
    const stat = new libc.Stat();
    must(libc.statx(this.dir, name, stat), `stat of ${name}`);
    return stat;
  }

  tryStat(name: ByteString): number {
    return libc.statx(this.dir, name, new libc.Stat());
  }

  fstat(fd: number): libc.Stat {
    const stat = new libc.Stat();
    must(libc.fstat(fd, stat));
    return stat;
  }

  exists(name: ByteString): boolean {
    const result = this.tryStat(name);
    assert(result === 0 || result === -2, `stat of ${name}: ${errnoName(-result)}`);
    return result === 0;
  }

  mode(name: ByteString): number {
    return this.stat(name).permissions;
  }

  /** At `position`, or where the descriptor stands. */
  write(fd: number, text: string, position?: number): number {
    const bytes = Buffer.from(text, 'latin1');
    return position === undefined ? libc.write(fd, bytes) : libc.pwrite(fd, bytes, 0, bytes.length, position);
  }

  read(fd: number, length: number, position?: number): string {
    const bytes = Buffer.alloc(length);
    const got = position === undefined ? libc.read(fd, bytes, 0, length) : libc.pread(fd, bytes, 0, length, position);
    return bytes.toString('latin1', 0, must(got, 'read'));
  }

  contents(name: ByteString): string {
    const fd = must(this.open(name), `open of ${name}`);
    const text = this.read(fd, Math.max(1, this.fstat(fd).size));
    this.close(fd);
    return text;
  }

  /** The names in a directory, sorted. */
  names(name: ByteString = '.'): ByteString[] {
    const fd = must(this.open(name, libc.O_RDONLY | libc.O_DIRECTORY));
    const names: ByteString[] = [];
    must(libc.forEachDirent(fd, (entry) => void names.push(entry)));
    this.close(fd);
    return names.sort();
  }

  /** What a user, by number, group and further groups, gets for an answer. */
  as<T>({ uid, gid, groups = [] }: User, run: () => T): T {
    must(libc.setThreadGroups(groups));
    libc.setfsgid(gid);
    libc.setfsuid(uid);
    try {
      return run();
    } finally {
      libc.setfsuid(0);
      libc.setfsgid(0);
      libc.setThreadGroups([]);
    }
  }
}

function removeAll(dir: number): void {
  const names: [ByteString, number][] = [];
  must(libc.forEachDirent(dir, (name, _ino, type) => void names.push([name, type])));
  for (const [name, type] of names) {
    if (type === libc.DT_DIR) {
      const below = must(libc.openat(dir, name, libc.O_RDONLY | libc.O_DIRECTORY), `open of ${name}`);
      removeAll(below);
      libc.close(below);
    }
    must(libc.unlinkat(dir, name, type === libc.DT_DIR ? libc.AT_REMOVEDIR : 0), `removal of ${name}`);
  }
}

/** A result that must be a success. */
export function must(result: number, what = 'the call'): number {
  assert(result >= 0, `${what} failed: ${errnoName(-result)}`);
  return result;
}

/** A buffer that starts on a page, as O_DIRECT wants. */
export function pages(count: number, fill: string): Uint8Array {
  const map = libc.mapFile(-1, count * 4096, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_PRIVATE | libc.MAP_ANONYMOUS);
  if (typeof map === 'number') throw new Error(`no memory: errno ${-map}`);
  return map.bytes.fill(fill.charCodeAt(0));
}
