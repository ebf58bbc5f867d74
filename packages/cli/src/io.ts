import type { ProgressPort } from './progress.ts';

/** What a command may do to the terminal; the process and the tests each have one. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** The next line of standard input without its end, or null at the end of the input. */
  readLine(): Promise<string | null>;
  readonly inputIsTerminal: boolean;
  /** Whether people read what goes to standard error. */
  readonly errorIsTerminal?: boolean;
  /** At a terminal: a line that is edited, with history and with completion of its last word. Null at its end. */
  prompt?(text: string, complete: Completer): Promise<string | null>;
  /** Where it can be told that work goes on: a terminal. */
  readonly progress?: ProgressPort | undefined;
  /** A line of the command line's own log, where there is one. A log that cannot be written stops no command. */
  log?(file: string, level: 'I' | 'E', text: string): void;
}

/** The possible ends of a line's last word, and that word. */
export type Completer = (line: string) => Promise<[string[], string]>;

/** `cli_out`: one line on standard output. */
export function line(io: Io, text: string): void {
  io.out(`${text}\n`);
}

/** `cli_err`: one line on standard error. */
export function errorLine(io: Io, text: string): void {
  io.err(`${text}\n`);
}
