/** The log in GlusterFS's line form: `[YYYY-MM-DD hh:mm:ss.uuuuuu +0000] L [MSGID: n] [source] 0-xlator: text`. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { type Clock, type Log, type LogLevel, logLevels, type Timespec } from '@mortar/core';

export interface LogTarget {
  write(line: string): void;
  /** The file was moved away by a rotation: go on in a new one of the same name. */
  reopen(): void;
  close(): void;
}

/** Appends: other programs write lines into the same file. */
export class FileTarget implements LogTarget {
  readonly path: string;
  #fd: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, 'a', 0o600);
  }

  write(line: string): void {
    try {
      writeSync(this.#fd, line);
    } catch {
      // A full disk must not stop the file system; the line is lost, as it would be in any case.
    }
  }

  reopen(): void {
    const next = openAnew(this.path);
    closeSync(this.#fd);
    this.#fd = next;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function openAnew(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const text = `the log ${path} could not be opened anew: ${message}. Lines go on into the file that was open. To do: make the directory of the log, and ask again`;
    throw Object.assign(new Error(text, { cause: error }), { code });
  }
}

export const consoleTarget: LogTarget = {
  write: (line) => void process.stderr.write(line),
  reopen: () => undefined,
  close: () => undefined,
};

export const silentTarget: LogTarget = { write: () => undefined, reopen: () => undefined, close: () => undefined };

/** `2026-11-21 01:02:03.000004`, UTC. */
export function stamp({ sec, nsec }: Timespec): string {
  const date = new Date(sec * 1000).toISOString();
  const micros = Math.floor(nsec / 1000)
    .toString()
    .padStart(6, '0');
  return `${date.slice(0, 10)} ${date.slice(11, 19)}.${micros}`;
}

/** The same as the clocks on the wall show it here, with the distance from UTC: `2026-11-21 06:32:03.000004 +0530`. */
export function localStamp({ sec, nsec }: Timespec): string {
  const minutes = -new Date(sec * 1000).getTimezoneOffset();
  const distance = Math.abs(minutes);
  const two = (value: number) => `${value}`.padStart(2, '0');
  const zone = `${minutes < 0 ? '-' : '+'}${two(Math.floor(distance / 60))}${two(distance % 60)}`;
  return `${stamp({ sec: sec + minutes * 60, nsec })} ${zone}`;
}

const rank = new Map(logLevels.map((level, i) => [level, i]));

export class LineLog implements Log {
  readonly #target: LogTarget;
  readonly #clock: Clock;
  #level: LogLevel;
  /** Of origins that have one of their own. */
  readonly #levels = new Map<string, LogLevel>();
  /** Whether lines have local time (`localtime-logging`). */
  inLocalTime: () => boolean = () => false;

  constructor(target: LogTarget, clock: Clock, level: LogLevel = 'INFO') {
    this.#target = target;
    this.#clock = clock;
    this.#level = level;
  }

  get level(): LogLevel {
    return this.#level;
  }

  setLevel(level: LogLevel, origin?: string): void {
    if (origin === undefined) this.#level = level;
    else this.#levels.set(origin, level);
  }

  wants(level: LogLevel, origin: string): boolean {
    const own = this.#levels.size > 0 ? this.#levels.get(origin) : undefined;
    return level !== 'NONE' && rank.get(level)! <= rank.get(own ?? this.#level)!;
  }

  write(level: LogLevel, origin: string, text: string, messageId?: number, source = origin): void {
    if (!this.wants(level, origin)) return;
    const id = messageId === undefined ? '' : ` [MSGID: ${messageId}]`;
    // One line a message: what a file name or a peer smuggles in must not look like a line of its own.
    const oneLine = text.replace(/\n/g, ' | ').replace(/\p{Cc}/gu, '?');
    const now = this.#clock.wall();
    const time = this.inLocalTime() ? localStamp(now) : `${stamp(now)} +0000`;
    this.#target.write(`[${time}] ${level[0]}${id} [${source}] 0-${origin}: ${oneLine}\n`);
  }

  /** A line without the frame, for banners such as the volfile in use. */
  raw(text: string): void {
    this.#target.write(`${text}\n`);
  }

  reopen(): void {
    this.#target.reopen();
  }

  close(): void {
    this.#target.close();
  }
}

/** A level by name as `--log-level` takes it, any case. */
export function logLevelNamed(text: string): LogLevel | undefined {
  const upper = text.toUpperCase();
  return logLevels.find((level) => level === upper);
}
