/**
 * File data on its way (docs/payloads.md). Memory that is touched for the first time costs several times what reading into
 * it does, and array buffers make the garbage collector run; so what has served comes back and serves again.
 */

/** Bytes that somebody wants to hear of when they are no longer needed. */
type Lent = Uint8Array & {
  [returned]?: ((bytes: Uint8Array) => void) | undefined;
  [lost]?: (() => void) | undefined;
  /** Who has them besides the one who got them first. */
  [users]?: number;
};
const returned = Symbol('returned');
const lost = Symbol('lost');
const users = Symbol('users');

/**
 * Marks `bytes` as lent: `back` is called when who got them has done with them, with `returnBytes`. He need not: then they
 * are his. `gone` is called instead when he says that they will not come back.
 */
export function lendBytes<T extends Uint8Array>(bytes: T, back: (bytes: Uint8Array) => void, gone?: () => void): T {
  (bytes as Lent)[returned] = back;
  if (gone) (bytes as Lent)[lost] = gone;
  return bytes;
}

/** One more uses them, and will give them back as well: they go back with the last. Of bytes that were not lent nothing is done. */
export function retainBytes(bytes: Uint8Array): void {
  const lent = bytes as Lent;
  if (lent[returned]) lent[users] = (lent[users] ?? 0) + 1;
}

/** Whoever has them may go on using them: they will not come back, whatever others say. */
export function loseBytes(bytes: Uint8Array): void {
  const lent = bytes as Lent;
  const gone = lent[lost];
  lent[returned] = undefined;
  lent[lost] = undefined;
  gone?.();
}

/**
 * Gives bytes back. For who got them as the data of a reply, has done with them, and knows that nobody else has them: no
 * translator of his graph keeps file data (`Xlator.keeps`). Of bytes that were not lent nothing is known, nor done.
 */
export function returnBytes(bytes: Uint8Array): void {
  const lent = bytes as Lent;
  const back = lent[returned];
  if (!back) return;
  if (lent[users]) {
    lent[users]--;
    return;
  }
  lent[returned] = undefined;
  lent[lost] = undefined;
  back(bytes);
}

/** Only pieces of these sizes, powers of 2, serve again: nearly all payloads are. */
const smallestShift = 9;
const largestShift = 20;
/** What is kept of each size: eight of the largest, and at most so many of the others. */
const keptBytes = 8 << largestShift;
const keptMax = 64;

/** Free pieces by size; the one that came back last is used first, for it is in the processor's caches. */
const free: Buffer[][] = Array.from({ length: largestShift + 1 }, () => []);

/** Returned pieces are overwritten, so that who still looks into them is found out. For tests. */
let poisoned = false;
const poison = 0xdb;

export function poisonReturnedBytes(on: boolean): void {
  poisoned = on;
}

/** For who keeps memory of his own that serves again. */
export function poisonIfAsked(bytes: Uint8Array): void {
  if (poisoned) bytes.fill(poison);
}

const slabBytes = 256 * 1024;
const pieceMaxBytes = 16 * 1024;
let slab = Buffer.allocUnsafeSlow(slabBytes);
let slabUsed = 0;

function fromSlab(size: number): Buffer {
  if (size > slabBytes - slabUsed) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    slabUsed = 0;
  }
  const start = slabUsed;
  slabUsed = (start + size + 7) & ~7;
  return slab.subarray(start, start + size);
}

/**
 * Uninitialised bytes for a payload that soon goes on. Small ones are pieces of a common slab (a buffer of its own costs
 * ten times as much), which lives until its last piece is let go: who keeps bytes for long keeps a copy. They are lent:
 * `returnBytes` makes them serve again.
 */
export function freshBytes(size: number): Buffer {
  const shift = 31 - Math.clz32(size);
  if (size !== 1 << shift || shift < smallestShift || shift > largestShift) return newBytes(size);
  return lendBytes(free[shift]!.pop() ?? newBytes(size), takeBack);
}

function newBytes(size: number): Buffer {
  return size > pieceMaxBytes ? Buffer.allocUnsafeSlow(size) : fromSlab(size);
}

function takeBack(bytes: Uint8Array): void {
  poisonIfAsked(bytes);
  const shift = 31 - Math.clz32(bytes.length);
  const kept = free[shift]!;
  if (kept.length < keptMax && kept.length << shift < keptBytes) kept.push(bytes as Buffer);
}

const pageBytes = 4096;
const hugePageBytes = 2 * 1024 * 1024;

/** What is known of memory to who can call C. */
export interface MemoryKnowledge {
  /** Where an array buffer lies. */
  addressOf(bytes: Uint8Array): number;
  /** Asks for huge pages. */
  wantHugePages(bytes: Uint8Array): void;
}

let memory: MemoryKnowledge | null = null;

export function learnMemory(knowledge: MemoryKnowledge): void {
  memory = knowledge;
}

/**
 * Zeroed memory of its own; byte `at` of it begins a page. The kernel copies page by page: from whole ones it is quicker
 * than from two halves of each. `huge`: for large transfers, which then look up a page of 2 MiB once instead of 512 small
 * ones; the memory is taken by so much when it is first touched.
 */
export function pageAlignedBytes(size: number, at = 0, huge = false): Buffer {
  if (!memory) return Buffer.from(new ArrayBuffer(size));
  const unit = huge ? hugePageBytes : pageBytes;
  const lead = (pageBytes - (at % pageBytes)) % pageBytes;
  const spanBytes = Math.ceil((lead + size) / unit) * unit;
  const room = Buffer.from(new ArrayBuffer(spanBytes + unit));
  const span = unit - (memory.addressOf(room) % unit);
  if (huge) memory.wantHugePages(room.subarray(span, span + spanBytes));
  return room.subarray(span + lead, span + lead + size);
}
