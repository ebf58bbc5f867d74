/** What the tree shows of its process; the port `meta`. */
import type { Graph, Volfile } from '@mortar/core';
import type { Values } from './node.ts';

export const metaPortName = 'meta';

/** A graph that this process runs or ran. */
export interface MetaGraph {
  /** HOST-PID-YYYY-MM-DD-hh:mm:ss-ID; unique in the process. */
  readonly name: string;
  readonly volfile: Volfile;
  /** The volume that requests enter by. */
  readonly top: string;
  /** Absent: it was replaced and ended; what its volfile says is left. */
  readonly running: Graph | undefined;
}

/** Not of the volfile: the part of the process that serves the graph. */
export interface MetaRoot {
  readonly name: string;
  readonly type: string;
  readonly options: ReadonlyMap<string, string>;
  readonly values: Values;
}

export interface MetaFacts {
  readonly version: string;
  readonly commandLine: string;
  /** Absent: the log goes to the terminal. */
  readonly logFile: string | undefined;
  /** Oldest first; the last one serves. Empty until the first one is up. */
  graphs(): readonly MetaGraph[];
  root(): MetaRoot;
  memory(): Values;
  /** Requests under way. */
  callCount(): number;
}
