import { readFile } from 'node:fs/promises';
import { type VolfileSource, VolfileSourceError, type VolfileText } from './source.ts';

/** A volfile on disk. It is read again on SIGHUP only: an editor's half-written file must not become a graph. */
export class FileVolfileSource implements VolfileSource {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async fetch(): Promise<VolfileText> {
    try {
      return { text: await readFile(this.#path, 'utf8'), name: this.#path };
    } catch (error) {
      throw new VolfileSourceError(`volume file ${this.#path} cannot be read: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  watch(): () => void {
    return () => undefined;
  }
}
