/**
 * XXH64 with seed 0 (format: the xxHash specification), on pairs of 32-bit halves: BigInt would cost ten times as much,
 * and every new file needs one. The result of a 64-bit operation is left in `H` and `L`.
 */
let H = 0;
let L = 0;

function mul(ah: number, al: number, bh: number, bl: number): void {
  const a0 = al & 0xffff;
  const a1 = al >>> 16;
  const b0 = bl & 0xffff;
  const b1 = bl >>> 16;
  const low = a0 * b0;
  const mid = a1 * b0 + a0 * b1 + Math.floor(low / 65536);
  L = ((mid & 0xffff) * 65536 + (low & 0xffff)) >>> 0;
  H = (a1 * b1 + Math.floor(mid / 65536) + Math.imul(ah, bl) + Math.imul(al, bh)) >>> 0;
}

function add(ah: number, al: number, bh: number, bl: number): void {
  const low = al + bl;
  L = low >>> 0;
  H = (ah + bh + (low > 0xffffffff ? 1 : 0)) >>> 0;
}

function rotl(h: number, l: number, by: number): void {
  if (by >= 32) {
    const swap = h;
    h = l;
    l = swap;
    by -= 32;
  }
  H = by === 0 ? h : ((h << by) | (l >>> (32 - by))) >>> 0;
  L = by === 0 ? l : ((l << by) | (h >>> (32 - by))) >>> 0;
}

/** Primes 1 to 5, high and low halves. */
const P1H = 0x9e3779b1;
const P1L = 0x85ebca87;
const P2H = 0xc2b2ae3d;
const P2L = 0x27d4eb4f;
const P3H = 0x165667b1;
const P3L = 0x9e3779f9;
const P4H = 0x85ebca77;
const P4L = 0xc2b2ae63;
const P5H = 0x27d4eb2f;
const P5L = 0x165667c5;

/** acc = rotl(acc + input * P2, 31) * P1 */
function round(accH: number, accL: number, inH: number, inL: number): void {
  mul(inH, inL, P2H, P2L);
  add(accH, accL, H, L);
  rotl(H, L, 31);
  mul(H, L, P1H, P1L);
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

const accH = new Uint32Array(4);
const accL = new Uint32Array(4);

function stripes(bytes: Uint8Array, length: number): number {
  accH.set([0x60ea27ee, P2H, 0, 0x61c8864e]);
  accL.set([0xadc0b5d6, P2L, 0, 0x7a143579]);
  let at = 0;
  for (; at + 32 <= length; at += 32) {
    for (let lane = 0; lane < 4; lane++) {
      round(accH[lane]!, accL[lane]!, u32(bytes, at + 8 * lane + 4), u32(bytes, at + 8 * lane));
      accH[lane] = H;
      accL[lane] = L;
    }
  }
  return at;
}

const rotations = [1, 7, 12, 18];

function mergeLanes(): void {
  let h = 0;
  let l = 0;
  for (let lane = 0; lane < 4; lane++) {
    rotl(accH[lane]!, accL[lane]!, rotations[lane]!);
    add(h, l, H, L);
    h = H;
    l = L;
  }
  for (let lane = 0; lane < 4; lane++) {
    round(0, 0, accH[lane]!, accL[lane]!);
    mul((h ^ H) >>> 0, (l ^ L) >>> 0, P1H, P1L);
    add(H, L, P4H, P4L);
    h = H;
    l = L;
  }
}

function tail(bytes: Uint8Array, from: number): void {
  let at = from;
  let h = H;
  let l = L;
  for (; at + 8 <= bytes.length; at += 8) {
    round(0, 0, u32(bytes, at + 4), u32(bytes, at));
    rotl((h ^ H) >>> 0, (l ^ L) >>> 0, 27);
    mul(H, L, P1H, P1L);
    add(H, L, P4H, P4L);
    h = H;
    l = L;
  }
  if (at + 4 <= bytes.length) {
    mul(0, u32(bytes, at), P1H, P1L);
    rotl((h ^ H) >>> 0, (l ^ L) >>> 0, 23);
    mul(H, L, P2H, P2L);
    add(H, L, P3H, P3L);
    h = H;
    l = L;
    at += 4;
  }
  for (; at < bytes.length; at++) {
    mul(0, bytes[at]!, P5H, P5L);
    rotl((h ^ H) >>> 0, (l ^ L) >>> 0, 11);
    mul(H, L, P1H, P1L);
    h = H;
    l = L;
  }
  H = h;
  L = l;
}

function avalanche(): void {
  let h = H;
  let l = L;
  l = (l ^ (h >>> 1)) >>> 0;
  mul(h, l, P2H, P2L);
  h = H;
  l = L;
  // x ^= x >> 29
  l = (l ^ ((l >>> 29) | (h << 3))) >>> 0;
  h = (h ^ (h >>> 29)) >>> 0;
  mul(h, l, P3H, P3L);
  L = (L ^ H) >>> 0;
}

/** Sixteen lower-case hex digits, most significant first. */
export function xxh64(bytes: Uint8Array): string {
  const length = bytes.length;
  let at = 0;
  if (length >= 32) {
    at = stripes(bytes, length);
    mergeLanes();
  } else {
    H = P5H;
    L = P5L;
  }
  add(H, L, 0, length);
  tail(bytes, at);
  avalanche();
  return H.toString(16).padStart(8, '0') + L.toString(16).padStart(8, '0');
}
