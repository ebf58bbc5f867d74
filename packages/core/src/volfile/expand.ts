/**
 * Back-ticks are replaced before anything else is read, so that the output of one command may be several words, or a
 * part of one. They are commands for a shell: without `run` they are refused by name. Unlike GlusterFS, which also
 * runs those in comments, comments are left alone.
 */
import { VolfileError } from './error.ts';
import { positionOf, type Source, type SourceMap } from './source.ts';

interface Scan {
  text: string;
  offset: number;
  escaped: boolean;
  inString: boolean;
  inWord: boolean;
}

export function expandBackticks(source: Source, run: ((command: string) => string) | undefined): Source {
  if (!source.text.includes('`')) return source;
  const pieces: string[] = [];
  const map: SourceMap = [];
  let length = 0;
  const push = (piece: string, from: number, literal: boolean) => {
    map.push({ at: length, from, literal });
    pieces.push(piece);
    length += piece.length;
  };
  const scan: Scan = { text: source.text, offset: 0, escaped: false, inString: false, inWord: false };
  let copied = 0;
  for (let tick = nextBacktick(scan); tick >= 0; tick = nextBacktick(scan)) {
    const end = closingBacktick(source, tick);
    const command = source.text.slice(tick + 1, end);
    if (!run) refuse(source, tick, command);
    push(source.text.slice(copied, tick), copied, true);
    push(withoutLastNewline(runCommand(source, tick, command, run)), tick, false);
    copied = end + 1;
    scan.offset = copied;
    scan.escaped = false;
    scan.inWord = true;
  }
  push(source.text.slice(copied), copied, true);
  return { file: source.file, text: pieces.join(''), map, original: source.text };
}

/** Offset of the next back-tick that counts, or -1. Leaves `scan` there. */
function nextBacktick(scan: Scan): number {
  while (scan.offset < scan.text.length) {
    const char = scan.text[scan.offset]!;
    if (char === '`' && !scan.escaped) return scan.offset;
    if (char === '#' && !scan.inString && !scan.inWord) {
      const lineEnd = scan.text.indexOf('\n', scan.offset);
      scan.offset = lineEnd < 0 ? scan.text.length : lineEnd;
      continue;
    }
    if (char === '"' && !(scan.inString && scan.escaped)) scan.inString = !scan.inString;
    scan.inWord = !' \t\r\n"\\'.includes(char);
    scan.escaped = char === '\\' && !scan.escaped;
    scan.offset++;
  }
  return -1;
}

function closingBacktick(source: Source, open: number): number {
  let escaped = false;
  for (let i = open + 1; i < source.text.length; i++) {
    const char = source.text[i];
    if (char === '`' && !escaped) return i;
    escaped = char === '\\' && !escaped;
  }
  throw new VolfileError(
    'EVOLFILE_BACKTICK',
    positionOf(source, open),
    'unterminated back-tick; expected a second one after the command',
    'a closing back-tick',
  );
}

function refuse(source: Source, tick: number, command: string): never {
  const shown = command.length > 60 ? `${command.slice(0, 60)}...` : command;
  throw new VolfileError(
    'EVOLFILE_BACKTICK',
    positionOf(source, tick),
    `the command in back-ticks \`${shown}\` is not run; write its output instead, or a quoted \\\` for a back-tick`,
    'no command in back-ticks',
  );
}

function runCommand(source: Source, tick: number, command: string, run: (command: string) => string): string {
  try {
    return run(command);
  } catch (cause) {
    const error = new VolfileError(
      'EVOLFILE_BACKTICK',
      positionOf(source, tick),
      `the command in back-ticks failed: ${cause instanceof Error ? cause.message : String(cause)}`,
      'a command that succeeds',
    );
    error.cause = cause;
    throw error;
  }
}

/** GlusterFS drops the last character of the output, whatever it is; we only drop a newline. */
function withoutLastNewline(output: string): string {
  return output.endsWith('\n') ? output.slice(0, -1) : output;
}
