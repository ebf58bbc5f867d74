/** What bench/fuse measures. */

export interface Row {
  readonly name: string;
  /** What fuse-load is told to do. */
  readonly kind: string;
  readonly jobs: number;
  /** For kinds that end by themselves: how often; else they run for a time. */
  readonly count?: number;
  /** Runs in the directory of many files. */
  readonly many?: boolean;
  /** Megabytes a second say more than operations. */
  readonly bytes?: boolean;
}

/** Names in the directory that is listed. */
export const manyNames = 100_000;
const newFiles = 8000;

const random = (kind: string, name: string): Row[] =>
  [1, 4, 16].map((jobs) => ({ name: `4 KiB random ${name}`, kind, jobs }));
const sequential = (name: string, kind: string): Row => ({ name, kind, jobs: 1, bytes: true });

export const rows: readonly Row[] = [
  { name: 'stat', kind: 'stat', jobs: 1 },
  { name: 'stat', kind: 'stat', jobs: 4 },
  { name: 'open + close', kind: 'open', jobs: 1 },
  { name: 'open + close', kind: 'open', jobs: 4 },
  { name: 'create', kind: 'create', jobs: 1, count: newFiles },
  { name: 'unlink', kind: 'unlink', jobs: 1, count: newFiles },
  { name: 'create', kind: 'create', jobs: 4, count: newFiles },
  { name: 'unlink', kind: 'unlink', jobs: 4, count: newFiles },
  ...random('read4k', 'read'),
  ...random('write4k', 'write'),
  sequential('128 KiB read', 'read128k'),
  sequential('128 KiB write', 'write128k'),
  sequential('1 MiB read', 'read1m'),
  sequential('1 MiB write', 'write1m'),
  sequential('1 MiB read, buffered', 'bread1m'),
  sequential('1 MiB write, buffered', 'bwrite1m'),
  { name: `list ${manyNames} names`, kind: 'list', jobs: 1, count: 1, many: true },
  { name: `list ${manyNames} + stat`, kind: 'listattr', jobs: 1, count: 1, many: true },
];
