/** Flags of open, as node takes them. */
import { argumentError } from './errors.ts';

export const O = {
  accessMode: 3,
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  dataSync: 0o10000,
  direct: 0o40000,
  directory: 0o200000,
  noFollow: 0o400000,
  sync: 0o4010000,
  tmpFile: 0o20000000,
  path: 0o10000000,
} as const;

const write = O.writeOnly | O.create | O.truncate;
const append = O.writeOnly | O.create | O.append;

const named: Readonly<Record<string, number>> = {
  r: O.readOnly,
  rs: O.readOnly | O.sync,
  sr: O.readOnly | O.sync,
  'r+': O.readWrite,
  'rs+': O.readWrite | O.sync,
  'sr+': O.readWrite | O.sync,
  w: write,
  wx: write | O.exclusive,
  xw: write | O.exclusive,
  'w+': (write & ~O.writeOnly) | O.readWrite,
  'wx+': (write & ~O.writeOnly) | O.readWrite | O.exclusive,
  'xw+': (write & ~O.writeOnly) | O.readWrite | O.exclusive,
  a: append,
  ax: append | O.exclusive,
  xa: append | O.exclusive,
  as: append | O.sync,
  sa: append | O.sync,
  'a+': (append & ~O.writeOnly) | O.readWrite,
  'ax+': (append & ~O.writeOnly) | O.readWrite | O.exclusive,
  'xa+': (append & ~O.writeOnly) | O.readWrite | O.exclusive,
  'as+': (append & ~O.writeOnly) | O.readWrite | O.sync,
  'sa+': (append & ~O.writeOnly) | O.readWrite | O.sync,
};

export type OpenFlags = string | number;

export function openFlags(flags: OpenFlags | null | undefined): number {
  if (flags === null || flags === undefined) return O.readOnly;
  const value = typeof flags === 'number' ? flags : Object.hasOwn(named, flags) ? named[flags] : undefined;
  if (value === undefined || !Number.isInteger(value) || value < 0 || value >= 2 ** 31)
    throw argumentError('flags', "a number or one of node's words such as 'r' or 'wx+'", flags);
  return value;
}

export const canRead = (flags: number): boolean => (flags & O.accessMode) !== O.writeOnly;
export const canWrite = (flags: number): boolean => (flags & O.accessMode) !== O.readOnly;

/** A mode as node takes it: a number, or octal digits. */
export function modeOf(mode: number | string | null | undefined, otherwise: number): number {
  if (mode === null || mode === undefined) return otherwise;
  const value = typeof mode === 'number' ? mode : /^[0-7]+$/.test(mode) ? Number.parseInt(mode, 8) : Number.NaN;
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw argumentError('mode', 'a mode', mode);
  return value & 0o7777;
}
