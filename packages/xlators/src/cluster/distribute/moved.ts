/** What is to be moved, and what came of it. */
import type { Gfid } from '@mortar/core';
import type { NameOfFile } from './names-of-file.ts';

export interface FileToMove {
  readonly parent: Gfid;
  readonly name: string;
  readonly gfid: Gfid;
  readonly from: number;
  readonly to: number;
}

export interface Place extends NameOfFile {
  /** Where the name hashes to. */
  readonly child: number;
}

/** A file with all its names. */
export interface WholeFile extends FileToMove {
  readonly places: readonly Place[];
}

export type Moved = (
  | { outcome: 'moved'; bytes: number }
  /** It stays where it is and is found there. `isFinal`: waiting does not change that. */
  | { outcome: 'skipped'; reason: string; isFinal?: true }
  | { outcome: 'failed'; reason: string }
) & {
  /** One of the two places may say still that a move is under way. */
  readonly isUnsettled?: true;
};

export const skipped = (reason: string): Moved => ({ outcome: 'skipped', reason });
export const failed = (reason: string): Moved => ({ outcome: 'failed', reason });
/** When it may have been marked. */
export const leftUnsettled = (reason: string): Moved => ({ outcome: 'failed', reason, isUnsettled: true });
