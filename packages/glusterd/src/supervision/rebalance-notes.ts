/** What is known on this node of its process that moves files, beside the documents: its last status, and what management noted of it. */
import { z } from 'zod';
import { type Directories, rebalanceNoteFile, rebalanceStatusFile } from '../paths.ts';
import type { Files } from '../ports.ts';
import { type TaskProgress, taskProgressSchema, type VolumeTask } from '../volume.ts';

const noteSchema = z.object({
  /** Of the task that it was started for. */
  id: z.string(),
  isStopped: z.boolean().optional(),
  /** Its end was told to who listens to events. */
  isTold: z.boolean().optional(),
  /** Seconds of the epoch at which it was found dead. */
  deaths: z.array(z.number()).max(64).default([]),
});
export type Note = z.infer<typeof noteSchema>;

export class RebalanceNotes {
  readonly #files: Files;
  readonly #directories: Directories;

  constructor(files: Files, directories: Directories) {
    this.#files = files;
    this.#directories = directories;
  }

  /** Undefined: nothing was started here for this task. The version before left no note. */
  async of(volume: string, task: VolumeTask): Promise<Note | undefined> {
    const note = await this.last(volume);
    if (!note) return task.nodes ? undefined : { id: task.id, deaths: [] };
    return note.id === task.id ? note : undefined;
  }

  /** Of whatever task. */
  async last(volume: string): Promise<Note | undefined> {
    return noteSchema.safeParse(await this.#json(rebalanceNoteFile(this.#directories, volume))).data;
  }

  async keep(volume: string, note: Note): Promise<void> {
    await this.#files.write(rebalanceNoteFile(this.#directories, volume), JSON.stringify(note), 0o600);
  }

  /** What the process wrote last: while it worked, or at its end. */
  async status(volume: string): Promise<TaskProgress | undefined> {
    return taskProgressSchema.safeParse(await this.#json(rebalanceStatusFile(this.#directories, volume))).data;
  }

  /** In place of a process that will say nothing any more. */
  async keepStatus(volume: string, status: TaskProgress): Promise<void> {
    await this.#files.write(rebalanceStatusFile(this.#directories, volume), JSON.stringify(status), 0o600);
  }

  async #json(path: string): Promise<unknown> {
    try {
      return JSON.parse((await this.#files.read(path)) ?? 'null');
    } catch {
      // Cut off, or somebody else's: as if it were not there.
      return null;
    }
  }
}
