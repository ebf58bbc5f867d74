/** What management does to the machine; the real ones are in `node/`, tests have their own. */
import type { Clock, Log, Random } from '@mortar/core/ports.ts';
import type { CallMeter } from '@mortar/rpc/management/call-meter.ts';
import type { Post } from './events/sender.ts';

/** Small text files. Paths are absolute. */
export interface Files {
  /** The text, or null if there is no such file. */
  read(path: string): Promise<string | null>;
  /** Puts the whole text in place at once (temporary file and rename); makes missing folders. */
  write(path: string, text: string, mode?: number): Promise<void>;
  append(path: string, text: string): Promise<void>;
  /** Names in a folder, sorted; none if it does not exist. */
  list(path: string): Promise<string[]>;
  isDirectory(path: string): Promise<boolean>;
  makeDirectory(path: string, mode?: number): Promise<void>;
  /** With all below; nothing happens if there is none. */
  remove(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

export interface CommandResult {
  /** Exit status; 127 if it could not be started. */
  exit: number;
  /** What it said on standard error. */
  message: string;
}

/** Other processes of this machine. */
export interface ProcessPort {
  /** Runs a program and waits for its end. A daemon ends when the service behind it is ready. */
  run(program: string, args: readonly string[], timeoutMs: number): Promise<CommandResult>;
  /** Arguments of a live process, or null. A zombie is not alive. */
  commandLine(pid: number): Promise<readonly string[] | null>;
  /**
   * Live processes with such a command line, of this user and with the same folder at this path: not those of a container, whose
   * paths only look the same, nor what another user calls by the name.
   */
  search(
    folder: string,
    recognises: (words: readonly string[]) => boolean,
  ): Promise<{ pid: number; words: readonly string[] }[]>;
  /** False when there is no such process. */
  signal(pid: number, signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP' | 'SIGUSR1'): boolean;
  /** Whether nobody listens on this TCP port. */
  isPortFree(port: number): Promise<boolean>;
  /** One call of a management method at a unix socket; rejects if nobody answers in time. */
  ask(socketPath: string, method: string, params: unknown, timeoutMs: number): Promise<unknown>;
}

/** Names and addresses of this machine. */
export interface HostNames {
  /** Addresses of the interfaces, loopback included. */
  addresses(): readonly string[];
  hostname(): string;
  /** Addresses of a name; empty if it is unknown. */
  resolve(host: string): Promise<readonly string[]>;
  /** Names of an address; empty if it has none. */
  reverse?(address: string): Promise<readonly string[]>;
}

export interface MachinePorts {
  clock: Clock;
  random: Random;
  log: Log;
  files: Files;
  processes: ProcessPort;
  hosts: HostNames;
  /** Counts management calls; without it nobody does. */
  calls?: CallMeter;
  /** For events; without it nobody is told of any. */
  post?: Post;
}
