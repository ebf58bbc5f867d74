/**
 * Before a call that must not wait for the disk on the event loop (docs/io-threads.md): threads of the pool touch what
 * it will touch, then it runs as ever, on what the kernel now has in its cache. Nothing is changed here and no result is
 * kept, so it does not matter what other calls do meanwhile; at worst a call finds something cold after all.
 */
import { type ByteString, Fd, FileType, type FopName, type Gfid, isValidName, type Loc } from '@mortar/core';
import { Stat } from '@mortar/libc';
import type { Brick } from './brick.ts';
import { handlePath, isRoot, landfillFolder, parseTarget, unlinkedPath } from './handle.ts';
import { Lane } from './lane.ts';
import { entryOf, isDirectory } from './node.ts';
import type { OpenFile } from './open-files.ts';

const depthMax = 8192;

/** What the arguments of fops may name. */
export interface Named {
  loc?: Loc;
  fd?: Fd;
  from?: Loc | Fd;
  to?: Loc | Fd;
  /** Of an object that is to be made. */
  gfid?: Gfid;
}

export function placesOf({ loc, fd, from, to }: Named): (Loc | Fd)[] {
  return [loc, fd, from, to].filter((place) => place !== undefined);
}

/** Fops that change the objects behind the names they are given, or their handles. */
const changesEntries: ReadonlySet<FopName> = new Set(['unlink', 'rmdir', 'rename', 'link', 'mknod', 'symlink', 'put']);
/** Fops for which the kernel looks whether a directory is empty. */
const removesDirectories: ReadonlySet<FopName> = new Set(['rmdir', 'rename']);

export class Warmer {
  readonly #brick: Brick;
  readonly #lane: Lane;

  /** `threads`: of the pool, how many may be busy with this at once. */
  constructor(brick: Brick, threads: number) {
    this.#brick = brick;
    this.#lane = new Lane(threads);
  }

  async warm(name: FopName, args: Named, opened: (fd: Fd) => OpenFile | undefined): Promise<void> {
    const work = placesOf(args).map((place) => {
      if (!(place instanceof Fd)) return this.#loc(name, place);
      const file = opened(place);
      return file ? this.touch(file.osFd) : this.object(place.gfid);
    });
    if (args.gfid && args.gfid.length === 36) work.push(...this.#newcomer(args.gfid));
    await Promise.all(work);
  }

  touch(target: number | ByteString): Promise<void> {
    return this.#lane.run(() => this.#brick.sys.touch(target));
  }

  /** All names of an open directory, as far as a listing keeps them. */
  names(osFd: number, namesMax: number): Promise<void> {
    return this.#lane.run(() => this.#brick.sys.readdirAhead(`/proc/self/fd/${osFd}`, namesMax));
  }

  /** Objects with these names, with what is read of them for a listing. */
  async entries(osFd: number, names: readonly ByteString[]): Promise<void> {
    await Promise.all(names.map((name) => this.touch(`/proc/self/fd/${osFd}/${name}`)));
  }

  data(osFd: number, offset: number, length: number): Promise<void> {
    return this.#lane.run(() => this.#brick.sys.readAhead(osFd, offset, length));
  }

  #hidden(path: ByteString): ByteString {
    return `/proc/self/fd/${this.#brick.hiddenFd}/${path}`;
  }

  /** Where an object that is to be made will be put; most likely nothing is there. */
  #newcomer(gfid: Gfid): Promise<void>[] {
    return [this.object(gfid), this.touch(this.#hidden(`${landfillFolder}/.new-${gfid}`))];
  }

  async #loc(name: FopName, loc: Loc): Promise<void> {
    const work: Promise<unknown>[] = [];
    if (loc.gfid !== null) work.push(this.object(loc.gfid));
    if (loc.parent !== null && loc.name !== null) work.push(this.#name(name, loc.parent, loc.name));
    await Promise.all(work);
  }

  /** An object by gfid, however the store finds it. */
  async object(gfid: Gfid): Promise<void> {
    const { sys, rootFd, hiddenFd, directories, open } = this.#brick;
    const known = isRoot(gfid) ? rootFd : (directories.peek(gfid) ?? open.fdOf(gfid)?.osFd);
    if (known !== undefined) return this.touch(known);
    const path = handlePath(gfid);
    await this.touch(this.#hidden(path));
    const stat = new Stat();
    if (sys.statx(hiddenFd, path, stat) === 0 && stat.type === FileType.symlink) await this.#directory(gfid);
  }

  /** A directory's descriptor, valid until something waits; undefined if there is no such directory. */
  async #directory(gfid: Gfid, depth = 0): Promise<number | undefined> {
    const { sys, directories } = this.#brick;
    const known = directories.peek(gfid);
    if (known !== undefined) {
      if (depth === 0) await this.touch(known);
      return directories.peek(gfid);
    }
    const text = await this.#lane.run(() => sys.readlinkAhead(this.#hidden(handlePath(gfid))));
    const at = text === null ? null : parseTarget(text);
    if (!at || depth > depthMax) return undefined;
    const parent = await this.#directory(at.parent, depth + 1);
    if (parent === undefined) return undefined;
    await this.touch(`/proc/self/fd/${parent}/${at.name}`);
    const fd = directories.get(gfid);
    return fd < 0 ? undefined : fd;
  }

  async #name(fop: FopName, parent: Gfid, name: ByteString): Promise<void> {
    if (!isValidName(name) && name !== '.' && name !== '..') return;
    const before = await this.#directory(parent);
    if (before === undefined) return;
    await this.touch(`/proc/self/fd/${before}/${name}`);
    // The descriptor may have been given up meanwhile.
    const fd = this.#brick.directories.peek(parent);
    const entry = fd === undefined ? -1 : entryOf(this.#brick, fd, name);
    if (typeof entry === 'number' || entry.gfid === null) return;
    const work: Promise<unknown>[] = [];
    const { gfid } = entry;
    if (name === '..') work.push(this.object(gfid));
    else if (changesEntries.has(fop) || !this.#brick.verified.get(gfid)) work.push(this.#handle(gfid));
    if (changesEntries.has(fop) && this.#brick.open.of(gfid)) work.push(this.touch(this.#hidden(unlinkedPath(gfid))));
    if (removesDirectories.has(fop) && isDirectory(entry)) {
      // A directory that moves gets its handle anew, by way of this name.
      work.push(this.touch(this.#hidden(`${handlePath(gfid)}.new`)));
      work.push(this.#lane.run(() => this.#brick.sys.readdirAhead(`/proc/self/fd/${fd}/${name}`, 1)));
    }
    await Promise.all(work);
  }

  /** The handle itself, not what it leads to. */
  async #handle(gfid: Gfid): Promise<void> {
    const path = this.#hidden(handlePath(gfid));
    await this.touch(path);
    await this.#lane.run(() => this.#brick.sys.readlinkAhead(path));
  }
}
