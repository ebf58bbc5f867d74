/** A volfile as data (grammar: docs/volfiles.md). */
export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in bytes. */
  readonly column: number;
}

export interface VolumeNode {
  readonly name: string;
  /** `cluster/replicate`. */
  readonly type: string;
  /** In the order of the file; of a repeated option the last value. */
  readonly options: ReadonlyMap<string, string>;
  /** Names of volumes defined earlier in the file. */
  readonly subvolumes: readonly string[];
  /** Where its name stands. */
  readonly at: Position;
  /** Where its type and its options stand, if it was read from a file. */
  readonly places?: { readonly type: Position; readonly options: ReadonlyMap<string, OptionPlace> };
}

export interface OptionPlace {
  readonly name: Position;
  readonly value: Position;
}

export interface Volfile {
  /** In the order of the file; the last one is the top. */
  readonly volumes: readonly VolumeNode[];
}
