/** Standard input and output of this process. */

import { writeSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Io } from './io.ts';

export class NodeIo implements Io {
  #lines: Interface | undefined;
  #iterator: AsyncIterator<string> | undefined;

  get inputIsTerminal(): boolean {
    return process.stdin.isTTY === true;
  }

  out(text: string): void {
    writeAll(1, text);
  }

  err(text: string): void {
    writeAll(2, text);
  }

  async readLine(): Promise<string | null> {
    if (!this.#iterator) {
      this.#lines = createInterface({ input: process.stdin });
      this.#iterator = this.#lines[Symbol.asyncIterator]();
    }
    const next = await this.#iterator.next();
    return next.done ? null : next.value;
  }

  close(): void {
    this.#lines?.close();
    if (this.#iterator) process.stdin.unref?.();
  }
}

/** Synchronously, so that nothing is lost when the process exits at once; a pipe that is full is waited for. */
function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
