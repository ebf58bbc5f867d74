/** rsslogcat: shows the log of rssrv; with -f also what is written from then on, through rotations. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { type OptionSpecs, parseArguments, UsageError } from '@mortar/host/arguments/getopt.ts';

const specs = {
  follow: { short: 'f', value: 'none' },
  'log-file': { short: 'l', value: 'required' },
  help: { short: 'h', value: 'none' },
} as const satisfies OptionSpecs;

const pollMs = 250;
const piece = Buffer.allocUnsafe(64 * 1024);

/** An open log; `null` as long as there is none. */
class LogTail {
  readonly #path: string;
  readonly #write: (bytes: Uint8Array) => void;
  #fd: number | null = null;
  #at = 0;

  constructor(path: string, write: (bytes: Uint8Array) => void) {
    this.#path = path;
    this.#write = write;
  }

  /** What is new; throws when the file cannot be read. False when there is none. */
  show(): boolean {
    if (this.#fd === null && !this.#open()) return false;
    this.#drain();
    if (!this.#isMoved()) return true;
    // What was written between the last look and the rotation has been shown.
    closeSync(this.#fd!);
    this.#fd = null;
    if (this.#open()) this.#drain();
    return true;
  }

  #open(): boolean {
    try {
      this.#fd = openSync(this.#path, 'r');
      this.#at = 0;
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  #isMoved(): boolean {
    const own = fstatSync(this.#fd!);
    const now = statSync(this.#path, { throwIfNoEntry: false });
    return now !== undefined && (now.ino !== own.ino || now.dev !== own.dev);
  }

  #drain(): void {
    // Cut to nothing: from the start again.
    if (fstatSync(this.#fd!).size < this.#at) this.#at = 0;
    for (let count = this.#read(); count > 0; count = this.#read()) this.#write(Buffer.from(piece.subarray(0, count)));
  }

  #read(): number {
    const count = readSync(this.#fd!, piece, 0, piece.length, this.#at);
    this.#at += count;
    return count;
  }
}

/** `defaultFile`: of the program whose log it is. */
export async function logCat(program: string, defaultFile: string, words: readonly string[]): Promise<number> {
  const usage = `Usage: ${program} [-f] [-l FILE]\nShows the log (${defaultFile}); -f goes on with what is written.\n`;
  try {
    const { options, words: extra } = parseArguments(words, specs);
    if (extra.length > 0) throw new UsageError(`'${extra[0]}' is not expected`);
    if (options.some(({ name }) => name === 'help')) {
      process.stdout.write(usage);
      return 0;
    }
    const path = options.findLast(({ name }) => name === 'log-file')?.value ?? defaultFile;
    const follow = options.some(({ name }) => name === 'follow');
    // `rsslogcat | head` ends with head.
    process.stdout.on('error', () => process.exit(0));
    const tail = new LogTail(path, (bytes) => void process.stdout.write(bytes));
    if (!tail.show() && !follow) {
      process.stderr.write(`${program}: ${path}: there is no such file\n`);
      return 1;
    }
    while (follow) {
      await new Promise((resolve) => setTimeout(resolve, pollMs));
      tail.show();
    }
    return 0;
  } catch (error) {
    process.stderr.write(`${program}: ${(error as Error).message}\n${error instanceof UsageError ? usage : ''}`);
    return error instanceof UsageError ? 64 : 1;
  }
}
