import { appendFile, mkdir, readdir, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Files } from '../ports.ts';

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

let serial = 0;

/** Not synced: what must survive is in the database, and the files are written anew from it at each start. */
async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.tmp.${process.pid}.${serial++}`;
  await writeFile(temporary, text, { mode });
  try {
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

/** The file system of this machine. */
export const nodeFiles: Files = {
  async read(path) {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  },

  async write(path, text, mode = 0o644) {
    try {
      await writeWhole(path, text, mode);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(path), { recursive: true });
      await writeWhole(path, text, mode);
    }
  },

  async append(path, text) {
    try {
      await appendFile(path, text, { mode: 0o600 });
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(path), { recursive: true });
      await appendFile(path, text, { mode: 0o600 });
    }
  },

  async list(path) {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },

  async isDirectory(path) {
    try {
      return (await stat(path)).isDirectory();
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  },

  async makeDirectory(path, mode = 0o755) {
    await mkdir(path, { recursive: true, mode });
  },

  async remove(path) {
    await rm(path, { recursive: true, force: true });
  },

  async rename(from, to) {
    await rename(from, to);
  },
};
