/** Where a process has its volfile from. */

export interface VolfileText {
  readonly text: string;
  /** Names the text in messages: a path, or `VOLUME@SERVER`. */
  readonly name: string;
  /** The volume's id, where the source knows it: bricks of another volume are not to be used. */
  readonly volumeId?: string;
  /** The volume's version that the text was made of, where the source knows it. */
  readonly volumeVersion?: number;
}

export interface VolfileSource {
  /** Throws VolfileSourceError when no one has it now. */
  fetch(): Promise<VolfileText>;
  /** Calls back when the volfile may have changed. The result ends it. */
  watch(changed: () => void): () => void;
  /** Calls back when a brick of the volume may have been started. The result ends it. */
  onBrickStarted?(started: () => void): () => void;
}

export class VolfileSourceError extends Error {
  readonly code = 'EVOLFILESOURCE';
}
