/** What distribute remembers of an inode, in its slot of the inode table. */
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
}

export type State = DirectoryState | FileState;
