/** One answer out of the answers of several children. Pure. */
import { compareTimes, FileType, type Iatt, isKnownIatt, type Statfs, type Xattrs } from '@mortar/core';

/** Directories have no size of their own: what each child says depends on its disk. */
const directorySize = 4096;
const directoryBlocks = 8;

export function directoryIatt(iatt: Iatt): Iatt {
  return iatt.type === FileType.directory ? { ...iatt, size: directorySize, blocks: directoryBlocks } : iatt;
}

/** A directory's attributes: mode and owner are the first one's, times the latest, links the most. Unknown where one child's are. */
export function mergeDirectoryIatts(iatts: readonly Iatt[]): Iatt {
  const unknown = iatts.find((iatt) => !isKnownIatt(iatt));
  if (unknown) return unknown;
  const merged = directoryIatt({ ...iatts[0]! });
  for (const other of iatts.slice(1)) {
    merged.nlink = Math.max(merged.nlink, other.nlink);
    takeLater(merged, other, 'atime');
    takeLater(merged, other, 'mtime');
    takeLater(merged, other, 'ctime');
  }
  return merged;
}

function takeLater(into: Iatt, other: Iatt, field: 'atime' | 'mtime' | 'ctime'): void {
  const nsec = `${field}Nsec` as const;
  const newer = compareTimes({ sec: other[field], nsec: other[nsec] }, { sec: into[field], nsec: into[nsec] }) > 0;
  if (!newer) return;
  into[field] = other[field];
  into[nsec] = other[nsec];
}

const summed = /^trusted\.glusterfs\.quota\.size(\.\d+)?$/;

/** A directory's xattrs: those of the first, but its quota accounts added up over the children. */
export function mergeDirectoryXattrs(all: readonly Xattrs[]): Xattrs {
  const merged: Xattrs = { ...all[0]! };
  for (const name of new Set(all.flatMap((xattrs) => Object.keys(xattrs)))) {
    if (!summed.test(name)) continue;
    merged[name] = all.map((xattrs) => xattrs[name]).reduce<Uint8Array>(addCounters, new Uint8Array(0));
  }
  return merged;
}

/** Adds arrays of big-endian 64-bit integers; the shorter one counts as followed by zeros. */
function addCounters(a: Uint8Array, b: Uint8Array | undefined): Uint8Array {
  if (!b) return a;
  const sum = Buffer.alloc(Math.max(a.length, b.length) & ~7);
  const at = (bytes: Uint8Array, i: number) =>
    i + 8 <= bytes.length ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readBigInt64BE(i) : 0n;
  for (let i = 0; i < sum.length; i += 8) sum.writeBigInt64BE(BigInt.asIntN(64, at(a, i) + at(b, i)), i);
  return sum;
}

/** The whole file system: blocks and files added up, in the largest unit of the children. */
export function mergeStatfs(all: readonly Statfs[]): Statfs {
  const blockSize = Math.max(...all.map((one) => one.blockSize));
  const fragmentSize = Math.max(...all.map((one) => one.fragmentSize));
  const inUnits = (one: Statfs, blocks: number) => Math.floor((blocks * one.fragmentSize) / fragmentSize);
  const total = { ...all[0]!, blockSize, fragmentSize };
  total.blocks = total.blocksFree = total.blocksAvailable = 0;
  total.files = total.filesFree = total.filesAvailable = 0;
  for (const one of all) {
    total.blocks += inUnits(one, one.blocks);
    total.blocksFree += inUnits(one, one.blocksFree);
    total.blocksAvailable += inUnits(one, one.blocksAvailable);
    total.files += one.files;
    total.filesFree += one.filesFree;
    total.filesAvailable += one.filesAvailable;
    total.nameMax = Math.min(total.nameMax, one.nameMax);
  }
  return total;
}
