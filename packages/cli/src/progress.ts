/** At a terminal, a line that says what is waited for and how long, once it takes longer than a moment. */

export interface ProgressPort {
  write(text: string): void;
  /** Calls back each time so many milliseconds have passed; the result ends it. */
  every(ms: number, callback: () => void): () => void;
}

const tickMs = 1000;
const clearLine = '\r\u001b[K';

/** Resolves as `work` does; then the line is gone. */
export async function withProgress<T>(port: ProgressPort, what: string, work: Promise<T>): Promise<T> {
  let seconds = 0;
  const end = port.every(tickMs, () => port.write(`${clearLine}${what}: ${++seconds} s`));
  try {
    return await work;
  } finally {
    end();
    if (seconds > 0) port.write(clearLine);
  }
}
