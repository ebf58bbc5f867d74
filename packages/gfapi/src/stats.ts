/** What node says of files, made of what the volume says. */
import type { Stats } from 'node:fs';
import { type Gfid, gfidWord, type Iatt, type Statfs, statMode, FileType as Types } from '@mortar/core';

export class VolumeStats implements Stats {
  readonly iatt: Iatt;

  constructor(iatt: Iatt) {
    this.iatt = iatt;
  }

  get gfid(): Gfid {
    return this.iatt.gfid;
  }

  get dev(): number {
    return 0;
  }

  /** The last 53 bits of the gfid. */
  get ino(): number {
    return (gfidWord(this.iatt.gfid, 8) & 0x1fffff) * 2 ** 32 + gfidWord(this.iatt.gfid, 12);
  }

  get mode(): number {
    return statMode(this.iatt);
  }

  get nlink(): number {
    return this.iatt.nlink;
  }

  get uid(): number {
    return this.iatt.uid;
  }

  get gid(): number {
    return this.iatt.gid;
  }

  get rdev(): number {
    return this.iatt.rdevMajor * 256 + this.iatt.rdevMinor;
  }

  get size(): number {
    return this.iatt.size;
  }

  get blksize(): number {
    return this.iatt.blockSize;
  }

  get blocks(): number {
    return this.iatt.blocks;
  }

  get atimeMs(): number {
    return milliseconds(this.iatt.atime, this.iatt.atimeNsec);
  }

  get mtimeMs(): number {
    return milliseconds(this.iatt.mtime, this.iatt.mtimeNsec);
  }

  get ctimeMs(): number {
    return milliseconds(this.iatt.ctime, this.iatt.ctimeNsec);
  }

  get birthtimeMs(): number {
    const { btime, btimeNsec } = this.iatt;
    return btime === 0 ? this.ctimeMs : milliseconds(btime, btimeNsec);
  }

  get atime(): Date {
    return new Date(this.atimeMs);
  }

  get mtime(): Date {
    return new Date(this.mtimeMs);
  }

  get ctime(): Date {
    return new Date(this.ctimeMs);
  }

  get birthtime(): Date {
    return new Date(this.birthtimeMs);
  }

  isFile(): boolean {
    return this.iatt.type === Types.regular;
  }

  isDirectory(): boolean {
    return this.iatt.type === Types.directory;
  }

  isSymbolicLink(): boolean {
    return this.iatt.type === Types.symlink;
  }

  isBlockDevice(): boolean {
    return this.iatt.type === Types.block;
  }

  isCharacterDevice(): boolean {
    return this.iatt.type === Types.char;
  }

  isFIFO(): boolean {
    return this.iatt.type === Types.fifo;
  }

  isSocket(): boolean {
    return this.iatt.type === Types.socket;
  }
}

function milliseconds(sec: number, nsec: number): number {
  return sec * 1000 + nsec / 1e6;
}

/** An entry of a listing. */
export class VolumeDirent<Name extends string | Buffer = string> {
  readonly name: Name;
  readonly parentPath: string;
  readonly path: string;
  readonly gfid: Gfid | null;
  readonly #type: number;

  constructor(name: Name, parentPath: string, type: number, gfid: Gfid | null) {
    this.name = name;
    this.parentPath = parentPath;
    this.path = parentPath;
    this.gfid = gfid;
    this.#type = type;
  }

  isFile(): boolean {
    return this.#type === Types.regular;
  }

  isDirectory(): boolean {
    return this.#type === Types.directory;
  }

  isSymbolicLink(): boolean {
    return this.#type === Types.symlink;
  }

  isBlockDevice(): boolean {
    return this.#type === Types.block;
  }

  isCharacterDevice(): boolean {
    return this.#type === Types.char;
  }

  isFIFO(): boolean {
    return this.#type === Types.fifo;
  }

  isSocket(): boolean {
    return this.#type === Types.socket;
  }
}

export interface VolumeStatFs {
  type: number;
  bsize: number;
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
}

/** What statfs(2) calls this kind of file system: FUSE's number, as on a mount. */
const fuseMagic = 0x65735546;

export function statFsOf(statfs: Statfs): VolumeStatFs {
  return {
    type: fuseMagic,
    bsize: statfs.fragmentSize || statfs.blockSize,
    blocks: statfs.blocks,
    bfree: statfs.blocksFree,
    bavail: statfs.blocksAvailable,
    files: statfs.files,
    ffree: statfs.filesFree,
  };
}
