import { argumentError } from './errors.ts';

const largestOffset = Number.MAX_SAFE_INTEGER;

export function checkedOffset(value: number, name: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= largestOffset) return value;
  throw argumentError(name, 'a whole number from 0 to 2^53 - 1', value);
}
