import type { Flock } from '@mortar/core';

/** Bytes from `start` up to, not including, `end`; `end` is Infinity for "to the end of the file, however it grows". */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The range of a request, or undefined if its numbers are no range. */
export function rangeOf({ start, length }: Pick<Flock, 'start' | 'length'>): Range | undefined {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || start < 0 || length < 0) return undefined;
  return { start, end: length === 0 ? Number.POSITIVE_INFINITY : start + length };
}

export function lengthOf({ start, end }: Range): number {
  return end === Number.POSITIVE_INFINITY ? 0 : end - start;
}

export function overlap(a: Range, b: Range): boolean {
  return a.start < b.end && b.start < a.end;
}

/** What of `a` is left without `b`: no, one or two pieces. */
export function subtract(a: Range, b: Range): Range[] {
  if (!overlap(a, b)) return [a];
  const rest: Range[] = [];
  if (a.start < b.start) rest.push({ start: a.start, end: b.start });
  if (b.end < a.end) rest.push({ start: b.end, end: a.end });
  return rest;
}
