/** Names seen lately: what they stand for is believed for a while (docs/caching.md has the rules of mounts, kept here). */
import type { ByteString, Clock, FileType, Gfid } from '@mortar/core';

export interface NamedFile {
  readonly gfid: Gfid;
  readonly type: FileType;
}

interface Believed extends NamedFile {
  readonly untilMs: number;
}

/** Names that were forgotten while somebody asked, of which is known when. */
const forgottenMax = 4096;

export class NameCache {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #limit: number;
  /** Directories in the order in which they got their first name. */
  readonly #directories = new Map<Gfid, Map<ByteString, Believed>>();
  #size = 0;
  #serial = 0;
  /** Questions under way. */
  #asking = 0;
  /** When a name was forgotten last, as long as somebody asks. */
  readonly #forgotten = new Map<string, number>();
  /** Answers to questions of before are not believed. */
  #floor = 0;

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
    this.#drop(parent, name);
    return undefined;
  }

  /** A question is put: what is forgotten from now on is not learned from its answer. It ends with `answered`. */
  ask(): number {
    this.#asking++;
    return this.#serial;
  }

  answered(): void {
    if (--this.#asking === 0) this.#forgotten.clear();
  }

  /** The answer to a question, which is still under way. */
  learn(parent: Gfid, name: ByteString, file: NamedFile, asked: number): void {
    const since = (key: string) => (this.#forgotten.get(key) ?? 0) > asked;
    if (asked >= this.#floor && !since(keyOf(parent, name)) && !since(keyOf(parent, null)))
      this.remember(parent, name, file);
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
    this.#note(keyOf(parent, name));
    this.#drop(parent, name);
  }

  #drop(parent: Gfid, name: ByteString | null): void {
    const names = this.#directories.get(parent);
    if (!names) return;
    if (name === null) this.#size -= names.size;
    else if (names.delete(name)) this.#size--;
    if (name === null || names.size === 0) this.#directories.delete(parent);
  }

  clear(): void {
    this.#floor = ++this.#serial;
    this.#directories.clear();
    this.#size = 0;
  }

  #dropOldest(): void {
    const [parent, names] = this.#directories.entries().next().value!;
    this.#drop(parent, names.keys().next().value!);
  }

  #note(key: string): void {
    if (this.#asking === 0) return;
    this.#serial++;
    if (this.#forgotten.size >= forgottenMax) {
      this.#forgotten.clear();
      this.#floor = this.#serial;
    }
    this.#forgotten.set(key, this.#serial);
  }
}

function keyOf(parent: Gfid, name: ByteString | null): string {
  return name === null ? parent : `${parent}/${name}`;
}
