import type { Timespec } from '@mortar/core';
import { argumentError } from './errors.ts';

/** A time as node takes it: seconds, a Date, or digits. */
export type Time = number | string | Date;

export function timespecOf(time: Time, name: string): Timespec {
  const ms = time instanceof Date ? time.getTime() : Number(time) * 1000;
  if (!Number.isFinite(ms)) throw argumentError(name, 'a time', time);
  const sec = Math.floor(ms / 1000);
  // A double holds microseconds of today; what is below is not meant.
  const nsec = Math.round((ms - sec * 1000) * 1000) * 1000;
  return nsec >= 1e9 ? { sec: sec + 1, nsec: 0 } : { sec, nsec };
}
