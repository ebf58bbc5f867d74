/** `rscltcfg` on the disk: written whole or not at all, and only what the parser understands. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { parseClientConfig } from '../config/client-config.ts';

const isAbsence = (error: unknown) => (error as NodeJS.ErrnoException).code === 'ENOENT';

export type Saved = { readonly problem: string | null; readonly isForeign: boolean };

export class ConfigStore {
  readonly path: string;
  #known = '';

  constructor(path: string) {
    this.path = path;
  }

  /** Empty: there is none yet. Throws what the system says otherwise. */
  read(): string {
    this.#known = this.#now();
    return this.#known;
  }

  #now(): string {
    try {
      return readFileSync(this.path, 'utf8');
    } catch (error) {
      if (isAbsence(error)) return '';
      throw error;
    }
  }

  /** `overwrite`: also what somebody else has written meanwhile. */
  save(text: string, overwrite: boolean): Saved {
    try {
      parseClientConfig(text, this.path);
    } catch (error) {
      return { problem: `not saved: ${(error as Error).message.split('\n').join('; ')}`, isForeign: false };
    }
    try {
      if (!overwrite && this.#now() !== this.#known)
        return {
          problem: 'not saved: the file was changed by somebody else; F3 again overwrites that',
          isForeign: true,
        };
      this.#write(text);
      this.#known = text;
      return { problem: null, isForeign: false };
    } catch (error) {
      return { problem: `not saved: ${(error as Error).message}`, isForeign: false };
    }
  }

  /** A link stays one; owner and mode stay. A new file is its owner's alone: keys are in it. */
  #write(text: string): void {
    const before = this.#place();
    const path = before?.path ?? this.path;
    const next = `${path}.${process.pid}.new`;
    try {
      const file = openSync(next, 'wx', 0o600);
      try {
        if (before) {
          fchownSync(file, before.uid, before.gid);
          fchmodSync(file, before.mode & 0o777);
        }
        writeSync(file, text);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(next, path);
    } catch (error) {
      try {
        unlinkSync(next);
      } catch (gone) {
        if (!isAbsence(gone)) throw gone;
      }
      throw error;
    }
    const directory = openSync(dirname(path), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }

  #place(): { path: string; uid: number; gid: number; mode: number } | null {
    try {
      const path = realpathSync(this.path);
      const { uid, gid, mode } = statSync(path);
      return { path, uid, gid, mode };
    } catch (error) {
      if (isAbsence(error)) return null;
      throw error;
    }
  }
}
