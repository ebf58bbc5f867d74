/** An application that makes, renames, links, removes and writes files all the time, and knows what they hold. */
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import type { SeededRandom } from '@mortar/testing/sim/random.ts';
import { pause } from './cluster.ts';

interface File {
  data: Buffer;
}

/** What it has made, under which names. Files with several names are in there more than once. */
export class BusyWork {
  readonly files = new Map<string, File>();
  readonly #mnt: string;
  readonly #prefix: string;
  readonly #random: SeededRandom;
  #serial = 0;
  over = false;
  rests = false;
  isBusy = false;

  constructor(mnt: string, prefix: string, random: SeededRandom) {
    this.#mnt = mnt;
    this.#prefix = prefix;
    this.#random = random;
  }

  async until(): Promise<void> {
    for (; !this.over; await pause(2)) {
      if (this.rests) continue;
      this.isBusy = true;
      await this.step();
      this.isBusy = false;
    }
  }

  #bytes(below: number): Buffer {
    return Buffer.from(this.#random.bytes(1 + this.#random.integer(below)));
  }

  async #create(path: string, name: string): Promise<void> {
    const data = this.#bytes(60_000);
    await fs.writeFile(path, data);
    this.files.set(name, { data });
  }

  async step(): Promise<void> {
    const at = (name: string) => join(this.#mnt, name);
    const names = [...this.files.keys()];
    const name = names[this.#random.integer(Math.max(1, names.length))];
    const fresh = `${this.#prefix}${this.#serial++}`;
    if (name === undefined || names.length < 15) {
      return this.#create(at(fresh), fresh);
    }
    const file = this.files.get(name)!;
    switch (this.#random.integer(10)) {
      case 0:
      case 1:
        await fs.rename(at(name), at(fresh));
        this.files.delete(name);
        this.files.set(fresh, file);
        return;
      case 2:
        // A brick records each name in an extended attribute, for which some file systems have one block.
        if ([...this.files.values()].filter((one) => one === file).length >= 12) return this.#create(at(fresh), fresh);
        await fs.link(at(name), at(fresh));
        this.files.set(fresh, file);
        return;
      case 3: {
        const other = names[this.#random.integer(names.length)]!;
        // Two names of one file: POSIX leaves both.
        if (names.length < 25 || this.files.get(other) === file) return;
        await fs.rename(at(name), at(other));
        this.files.delete(name);
        this.files.set(other, file);
        return;
      }
      case 4:
        if (names.length < 25) return;
        await fs.unlink(at(name));
        this.files.delete(name);
        return;
      case 5: {
        const handle = await fs.open(at(name), constants.O_RDWR);
        const data = this.#bytes(5000);
        const offset = this.#random.integer(file.data.length + 1);
        await handle.write(data, 0, data.length, offset);
        await handle.close();
        const next = Buffer.alloc(Math.max(file.data.length, offset + data.length));
        file.data.copy(next);
        data.copy(next, offset);
        file.data = next;
        return;
      }
      default: {
        const data = this.#bytes(5000);
        await fs.appendFile(at(name), data);
        file.data = Buffer.concat([file.data, data]);
      }
    }
  }
}
