/** `trusted.glusterfs.mdata`: the times that clients are shown (ondisk format, section 3.2). */
import type { Iatt, Timespec } from '@mortar/core';

export const mdataXattr = 'trusted.glusterfs.mdata';
export const mdataSize = 57;

export type Times = Pick<Iatt, 'ctime' | 'ctimeNsec' | 'mtime' | 'mtimeNsec' | 'atime' | 'atimeNsec'>;

export function timesOf(from: Times): Times {
  const { ctime, ctimeNsec, mtime, mtimeNsec, atime, atimeNsec } = from;
  return { ctime, ctimeNsec, mtime, mtimeNsec, atime, atimeNsec };
}

export function allTimes({ sec, nsec }: Timespec): Times {
  return { ctime: sec, ctimeNsec: nsec, mtime: sec, mtimeNsec: nsec, atime: sec, atimeNsec: nsec };
}

/** Null for a value that is not version 1 of the format: the file is then shown with its own times. */
export function decodeMdata(bytes: Uint8Array): Times | null {
  if (bytes.length < mdataSize || bytes[0] !== 1) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sec = (at: number) => view.getInt32(at) * 2 ** 32 + view.getUint32(at + 4);
  const nsec = (at: number) => view.getUint32(at + 12) % 1_000_000_000;
  return {
    ctime: sec(9),
    ctimeNsec: nsec(9),
    mtime: sec(25),
    mtimeNsec: nsec(25),
    atime: sec(41),
    atimeNsec: nsec(41),
  };
}

/** 57 bytes; seconds before 1970 in two's complement. */
export function encodeMdata(times: Times): Uint8Array {
  const bytes = new Uint8Array(mdataSize);
  const view = new DataView(bytes.buffer);
  const put = (at: number, sec: number, nsec: number) => {
    view.setInt32(at, Math.floor(sec / 2 ** 32));
    view.setUint32(at + 4, sec >>> 0);
    view.setUint32(at + 12, nsec);
  };
  bytes[0] = 1;
  put(9, times.ctime, times.ctimeNsec);
  put(25, times.mtime, times.mtimeNsec);
  put(41, times.atime, times.atimeNsec);
  return bytes;
}

function later(sec: number, nsec: number, than: number, thanNsec: number): boolean {
  return sec > than || (sec === than && nsec > thanNsec);
}

/** Moves atime forward to `time`; whether it moved. */
export function raiseAtime(times: Times, { sec, nsec }: Timespec): boolean {
  if (!later(sec, nsec, times.atime, times.atimeNsec)) return false;
  times.atime = sec;
  times.atimeNsec = nsec;
  return true;
}

/** Moves ctime, and with `data` mtime, forward to `time`; whether anything moved. */
export function raiseTimes(times: Times, { sec, nsec }: Timespec, data: boolean): boolean {
  let moved = false;
  if (later(sec, nsec, times.ctime, times.ctimeNsec)) {
    times.ctime = sec;
    times.ctimeNsec = nsec;
    moved = true;
  }
  if (data && later(sec, nsec, times.mtime, times.mtimeNsec)) {
    times.mtime = sec;
    times.mtimeNsec = nsec;
    moved = true;
  }
  return moved;
}

/** Moves mtime and ctime forward by the least there is. */
export function stepTimes(times: Times): void {
  if (++times.mtimeNsec === 1_000_000_000) {
    times.mtimeNsec = 0;
    times.mtime++;
  }
  stepCtime(times);
}

export function stepCtime(times: Times): void {
  if (++times.ctimeNsec === 1_000_000_000) {
    times.ctimeNsec = 0;
    times.ctime++;
  }
}
