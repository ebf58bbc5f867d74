/**
 * What a daemon tells the process that started it: one line of JSON on an inherited pipe, then the pipe is closed.
 * Started by hand without that pipe, the same is told to the terminal.
 */
import { closeSync, writeSync } from 'node:fs';

/** Names the descriptor of the pipe; set by `launchDaemon` for its child. */
export const readyFdVariable = 'MORTAR_READY_FD';

export type Readiness = { ready: true } | { ready: false; exitCode: number; message: string };

let told = false;

/** Whether this process was started by `launchDaemon`. */
export function isDaemonChild(): boolean {
  return process.env[readyFdVariable] !== undefined;
}

/** The service is up: the command that started it may return. */
export function tellReady(): void {
  tell({ ready: true });
}

/** The service could not start. The caller exits afterwards with the same code. */
export function tellFailed(message: string, exitCode: number): void {
  if (isDaemonChild()) tell({ ready: false, exitCode, message });
  else process.stderr.write(`${message}\n`);
}

function tell(readiness: Readiness): void {
  const fd = Number(process.env[readyFdVariable]);
  if (told || !Number.isInteger(fd)) return;
  told = true;
  try {
    writeSync(fd, `${JSON.stringify(readiness)}\n`);
    closeSync(fd);
  } catch (error) {
    // The starter was killed meanwhile; the service goes on without it.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}
