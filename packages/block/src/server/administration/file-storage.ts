/** A pool of files in a directory of the host. */
import { closeSync, fsyncSync, ftruncateSync, linkSync, lstatSync, openSync, type Stats, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Errno } from '@mortar/core';
import type { DeviceSource } from '../../config/device-config.ts';
import { syncDirectory } from './ledger.ts';
import { Refusal, refusalOfSystem } from './refusal.ts';
import type { Found, Storage } from './storage.ts';

export class FileStorage implements Storage {
  readonly #pool: string;
  readonly #directory: string;

  constructor(pool: string, directory: string) {
    this.#pool = pool;
    this.#directory = directory;
  }

  /** A name cannot lead out of the directory: it begins with a letter, a digit or `_`, and has no slash. */
  #path(name: string): string {
    return join(this.#directory, name);
  }

  /** Links are not followed. */
  #look(name: string): Stats | null {
    try {
      return lstatSync(this.#path(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw refusalOfSystem(`pool ${this.#pool}`, error);
    }
  }

  async find(name: string): Promise<Found | null> {
    const stat = this.#look(name);
    if (!stat) return null;
    if (!stat.isFile())
      throw new Refusal(Errno.EINVAL, `what is called '${name}' in pool ${this.#pool} is no plain file`);
    return { sizeBytes: stat.size, id: '' };
  }

  async make(name: string, sizeBytes: number): Promise<Found> {
    try {
      const file = openSync(this.#path(name), 'wx', 0o600);
      try {
        ftruncateSync(file, sizeBytes);
        fsyncSync(file);
      } catch (error) {
        unlinkSync(this.#path(name));
        throw error;
      } finally {
        closeSync(file);
      }
      syncDirectory(this.#directory);
    } catch (error) {
      throw refusalOfSystem(`'${name}' cannot be made in pool ${this.#pool}`, error);
    }
    return { sizeBytes, id: '' };
  }

  /** Nothing that has the new name is ever replaced. */
  async rename(from: string, to: string): Promise<void> {
    const [before, after] = [this.#look(from), this.#look(to)];
    if (!before && after) return;
    try {
      if (!before || !after || before.ino !== after.ino) linkSync(this.#path(from), this.#path(to));
      unlinkSync(this.#path(from));
      syncDirectory(this.#directory);
    } catch (error) {
      throw refusalOfSystem(`'${from}' cannot be renamed to '${to}' in pool ${this.#pool}`, error);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      unlinkSync(this.#path(name));
      syncDirectory(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        throw refusalOfSystem(`'${name}' cannot be removed from pool ${this.#pool}`, error);
    }
  }

  source({ name }: { name: string }): DeviceSource {
    return { type: 'file', path: this.#path(name), readOnly: false, createBytes: undefined };
  }
}
