/** What distribute remembers of an inode, in its slot of the inode table. */
import type { Fd } from '@mortar/core';
import type { Layout } from './layout.ts';

export interface DirectoryState {
  readonly kind: 'directory';
  readonly layout: Layout;
  /** The child whose copy decides owner, mode and xattrs; undefined when no copy is marked. */
  readonly mds: number | undefined;
  /** Children may have come back since: then the layout is read again before it is trusted. */
  readonly generation: number;
}

export interface FileState {
  readonly kind: 'file';
  /** The child that has the data. */
  readonly child: number;
  /** A move that did not end may have left something of it elsewhere: before its names change, that is settled. */
  readonly isUnsettled?: boolean;
}

export type State = DirectoryState | FileState;

/** Where an fd was opened. A file that moved away is opened anew at its new place, through an fd of distribute's own. */
export interface FdState extends FileState {
  readonly again?: Fd;
}
