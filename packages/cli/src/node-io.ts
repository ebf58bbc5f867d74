/** Standard input and output of this process. */

import { appendFileSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Completer, Io } from './io.ts';
import type { ProgressPort } from './progress.ts';

export class NodeIo implements Io {
  #lines: Interface | undefined;
  #iterator: AsyncIterator<string> | undefined;
  #history: string[] | undefined;

  get inputIsTerminal(): boolean {
    return process.stdin.isTTY === true;
  }

  get errorIsTerminal(): boolean {
    return process.stderr.isTTY === true;
  }

  get progress(): ProgressPort | undefined {
    if (!this.errorIsTerminal) return undefined;
    return {
      write: (text) => this.err(text),
      every(ms, callback) {
        const timer = setInterval(callback, ms);
        return () => clearInterval(timer);
      },
    };
  }

  out(text: string): void {
    writeAll(1, text);
  }

  err(text: string): void {
    writeAll(2, text);
  }

  async readLine(): Promise<string | null> {
    // Nothing that is typed later, at the prompt, may be taken for an answer.
    if (this.inputIsTerminal) return oneLine();
    if (!this.#iterator) {
      this.#lines = createInterface({ input: process.stdin });
      this.#iterator = this.#lines[Symbol.asyncIterator]();
    }
    const next = await this.#iterator.next();
    return next.done ? null : next.value;
  }

  /** An interface for each line: while a command runs the terminal is as the shell left it. */
  prompt(text: string, complete: Completer): Promise<string | null> {
    this.#history ??= readHistory();
    let answer: string | null = null;
    const lines = createInterface({
      input: process.stdin,
      output: process.stdout,
      terminal: true,
      prompt: text,
      history: [...this.#history],
      historySize: mostHistory,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: Error | null, result: [string[], string]) => void) => {
        complete(line).then(
          // The line may have been entered meanwhile.
          (result) => done(null, answer === null ? result : [[], line]),
          () => done(null, [[], line]),
        );
      },
    });
    return new Promise((resolve) => {
      lines.on('history', (history: string[]) => {
        this.#history = history;
      });
      lines.on('line', (line) => {
        answer = line;
        lines.close();
      });
      // As in a shell: what is typed is dropped, and an empty line is left.
      lines.on('SIGINT', () => {
        if (lines.line === '') return lines.close();
        lines.write(null, { ctrl: true, name: 'e' });
        lines.write(null, { ctrl: true, name: 'u' });
      });
      lines.on('close', () => {
        if (answer === null) process.stdout.write('\n');
        else writeHistory(this.#history ?? []);
        resolve(answer);
      });
      lines.prompt();
    });
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

function oneLine(): Promise<string | null> {
  const lines = createInterface({ input: process.stdin });
  return new Promise((resolve) => {
    lines.once('line', (line) => {
      resolve(line);
      lines.close();
    });
    lines.once('close', () => resolve(null));
  });
}

const mostHistory = 1000;
const historyFile = join(homedir(), '.gluster_history');

/** Newest first, as readline has it; the file has the newest last. */
function readHistory(): string[] {
  try {
    return readFileSync(historyFile, 'utf8').split('\n').filter(Boolean).slice(-mostHistory).reverse();
  } catch {
    return [];
  }
}

function writeHistory(history: readonly string[]): void {
  try {
    const text = `${[...history].reverse().join('\n')}\n`;
    writeFileSync(historyFile, text, { mode: 0o600 });
  } catch {
    // A home that cannot be written to keeps no history.
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
