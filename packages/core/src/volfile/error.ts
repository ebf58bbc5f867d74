import type { Position } from './types.ts';

export type VolfileErrorCode =
  | 'EVOLFILE_SYNTAX'
  | 'EVOLFILE_DUPLICATE_VOLUME'
  | 'EVOLFILE_UNKNOWN_SUBVOLUME'
  | 'EVOLFILE_BACKTICK'
  | 'EVOLFILE_TOO_LARGE'
  | 'EVOLFILE_UNPRINTABLE';

/** What is wrong with a volfile, where, and what was expected there. The message begins with `file:line:column: `. */
export class VolfileError extends Error {
  readonly code: VolfileErrorCode;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in bytes. */
  readonly column: number;
  /** What could have stood there, in words. */
  readonly expected: string;

  constructor(code: VolfileErrorCode, at: Position, what: string, expected: string) {
    super(`${at.file}:${at.line}:${at.column}: ${what}`);
    this.name = 'VolfileError';
    this.code = code;
    this.file = at.file;
    this.line = at.line;
    this.column = at.column;
    this.expected = expected;
  }
}
