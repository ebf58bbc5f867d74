/**
 * Open files of this brick's clients, and the state that a file has while it is open: its times, and whether it has
 * lost its last name. A descriptor that a thread of the pool works on is pinned and closed only when that ends.
 */
import type { Gfid } from '@mortar/core';
import { clientProcess } from '../../lib/client-process.ts';
import type { Times } from './mdata.ts';

export interface OpenFile {
  readonly gfid: Gfid;
  readonly osFd: number;
  readonly directory: boolean;
  /** The client that opened the file; empty where it is a directory, or open for this brick itself. */
  readonly by: string;
  /** Calls under way in other threads. */
  pins: number;
  closed: boolean;
}

export interface OpenState {
  readonly files: Set<OpenFile>;
  /** The last name is gone; the inode is `unlink/<gfid>` until the last close. */
  unlinked: boolean;
  /** As of mdata; known here while the file is open, so that a write need not read them. */
  times: Times | null;
  /** `times` are ahead of what the disk has. */
  timesDirty: boolean;
}

export class OpenFiles {
  readonly #states = new Map<Gfid, OpenState>();
  readonly #closeFd: (fd: number) => void;

  constructor(closeFd: (fd: number) => void) {
    this.#closeFd = closeFd;
  }

  get size(): number {
    return this.#states.size;
  }

  add(gfid: Gfid, osFd: number, directory: boolean, by: string): OpenFile {
    const file: OpenFile = { gfid, osFd, directory, by, pins: 0, closed: false };
    let state = this.#states.get(gfid);
    if (!state) {
      state = { files: new Set(), unlinked: false, times: null, timesDirty: false };
      this.#states.set(gfid, state);
    }
    state.files.add(file);
    return file;
  }

  /** Whether a client's process has the file open. */
  isOpenBy(gfid: Gfid, clientId: string): boolean {
    const process = clientProcess(clientId);
    for (const { by } of this.#states.get(gfid)?.files ?? []) if (clientProcess(by) === process) return true;
    return false;
  }

  of(gfid: Gfid): OpenState | undefined {
    return this.#states.get(gfid);
  }

  /** Descriptors that are open stay so until they are closed, but say nothing of what has this gfid from now on. */
  disown(gfid: Gfid): void {
    this.#states.delete(gfid);
  }

  /** Any descriptor of an open file. */
  fdOf(gfid: Gfid): OpenFile | undefined {
    const state = this.#states.get(gfid);
    if (!state) return undefined;
    const [first] = state.files;
    return first;
  }

  /** Forgets an open file; its state if that was the last one. */
  remove(file: OpenFile): OpenState | null {
    const state = this.#states.get(file.gfid);
    if (!state?.files.delete(file) || state.files.size > 0) return null;
    this.#states.delete(file.gfid);
    return state;
  }

  all(): OpenFile[] {
    return [...this.#states.values()].flatMap((state) => [...state.files]);
  }

  closeWhenUnpinned(file: OpenFile): void {
    file.closed = true;
    if (file.pins === 0) this.#closeFd(file.osFd);
  }

  pin(file: OpenFile): void {
    file.pins++;
  }

  unpin(file: OpenFile): void {
    if (--file.pins === 0 && file.closed) this.#closeFd(file.osFd);
  }
}
