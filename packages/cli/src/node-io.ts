/** Standard input and output of this process. */

import { appendFileSync, writeSync } from 'node:fs';
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

  log(file: string, level: 'I' | 'E', text: string): void {
    const now = new Date().toISOString();
    // Microseconds, as every log of the system has them.
    const stamp = `${now.slice(0, 10)} ${now.slice(11, 23)}000 +0000`;
    const oneLine = text.replace(/\p{Cc}/gu, '?');
    try {
      appendFileSync(file, `[${stamp}] ${level} [cli] 0-cli: ${oneLine}\n`, { mode: 0o600 });
    } catch {
      // No folder, no permission, no space: the command is what matters.
    }
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
