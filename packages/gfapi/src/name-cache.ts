/** Names seen lately: what they stand for is believed for a while (docs/caching.md has the rules of mounts, kept here). */
import type { ByteString, Clock, FileType, Gfid } from '@mortar/core';

export interface NamedFile {
  readonly gfid: Gfid;
  readonly type: FileType;
}

interface Believed extends NamedFile {
  readonly untilMs: number;
}

export class NameCache {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #limit: number;
  /** Directories in the order in which they got their first name. */
  readonly #directories = new Map<Gfid, Map<ByteString, Believed>>();
  #size = 0;

  constructor(clock: Clock, timeoutMs: number, limit: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  find(parent: Gfid, name: ByteString): NamedFile | undefined {
    const found = this.#directories.get(parent)?.get(name);
    if (!found) return undefined;
    if (found.untilMs > this.#clock.nowMs()) return found;
    this.forget(parent, name);
    return undefined;
  }

  remember(parent: Gfid, name: ByteString, { gfid, type }: NamedFile): void {
    if (this.#timeoutMs <= 0 || this.#limit <= 0) return;
    let names = this.#directories.get(parent);
    if (!names) {
      names = new Map();
      this.#directories.set(parent, names);
    }
    if (!names.delete(name)) this.#size++;
    names.set(name, { gfid, type, untilMs: this.#clock.nowMs() + this.#timeoutMs });
    while (this.#size > this.#limit) this.#dropOldest();
  }

  /** `name` null: all names of the directory. */
  forget(parent: Gfid, name: ByteString | null): void {
    const names = this.#directories.get(parent);
    if (!names) return;
    if (name === null) this.#size -= names.size;
    else if (names.delete(name)) this.#size--;
    if (name === null || names.size === 0) this.#directories.delete(parent);
  }

  clear(): void {
    this.#directories.clear();
    this.#size = 0;
  }

  #dropOldest(): void {
    const [parent, names] = this.#directories.entries().next().value!;
    this.forget(parent, names.keys().next().value!);
  }
}
