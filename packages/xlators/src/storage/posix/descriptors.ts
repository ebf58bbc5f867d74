/** Which open file of the brick an fd is, in this graph. */
import { Errno, type Fd, locOf, type Reply } from '@mortar/core';
import { refused } from './brick.ts';
import type { OpenFile } from './open-files.ts';
import type { Opened, PosixStore, Target } from './store.ts';

export class Descriptors {
  readonly #slot: number;
  readonly #store: () => PosixStore | null;

  /** `store`: null before the translator is started, and after it ended. */
  constructor(slot: number, store: () => PosixStore | null) {
    this.#slot = slot;
    this.#store = store;
  }

  /** The open file of an fd, as far as this translator opened it. */
  opened(fd: Fd): OpenFile | undefined {
    return fd.slots[this.#slot] as OpenFile | undefined;
  }

  target(fd: Fd): Target {
    return this.opened(fd) ?? locOf(fd.gfid);
  }

  /** For I/O: the open file, or a cached descriptor where the fd was never opened here. */
  file(fd: Fd): Opened {
    const file = this.opened(fd);
    if (!file) return this.#store()!.anonymous(fd.gfid);
    return file.closed ? refused(Errno.EBADF) : { ok: true, file };
  }

  /** From now on the fd is that file, until it is released. */
  keep(fd: Fd, opened: Opened): Reply<'open'> {
    if (!opened.ok) return opened;
    const { file } = opened;
    const before = this.opened(fd);
    if (before) this.#store()?.close(before);
    fd.slots[this.#slot] = file;
    fd.onRelease(() => this.#store()?.close(file));
    return { ok: true };
  }

  withFile<R>(fd: Fd, run: (file: OpenFile) => R): R | ReturnType<typeof refused> {
    const opened = this.file(fd);
    return opened.ok ? run(opened.file) : opened;
  }
}
