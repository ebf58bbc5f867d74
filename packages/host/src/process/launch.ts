/**
 * Starts a program again as a daemon and waits until it says that it is ready. Runs before anything else is loaded, so
 * that a command returns quickly; it must import nothing beyond Node's own modules.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Readiness, readyFdVariable } from './readiness.ts';

/** How long a daemon that could not start may take to end. */
const longestEndMs = 5_000;

export interface Launch {
  /** The bundle to run; by default the one that is running. */
  entry?: string;
  /** What `ps` and `pidof` see as the program: `glusterfs`. */
  name: string;
  args: readonly string[];
  /** Takes what the runtime itself prints, a crash above all; the daemon's own log is opened by the daemon. */
  logFile: string;
}

/** Exit code of the command: 0 once the daemon is ready, else the daemon's, after its message went to stderr. */
export async function launchDaemon({ entry = process.argv[1]!, name, args, logFile }: Launch): Promise<number> {
  let output: number;
  try {
    mkdirSync(dirname(logFile), { recursive: true, mode: 0o755 });
    output = openSync(logFile, 'a', 0o600);
  } catch (error) {
    process.stderr.write(`ERROR: failed to create logfile "${logFile}" (${(error as Error).message})\n`);
    return 1;
  }
  // `detached` makes the child the leader of a session of its own (setsid).
  const child = spawn(process.execPath, [...process.execArgv, entry, ...args], {
    argv0: name,
    detached: true,
    stdio: ['ignore', output, output, 'pipe'],
    env: { ...process.env, [readyFdVariable]: '3' },
  });
  closeSync(output);
  const over = new Promise<void>((resolve) => {
    child.on('exit', () => resolve());
    child.on('error', () => resolve());
  });
  const pipe = child.stdio[3] as NodeJS.ReadableStream;
  const readiness = await new Promise<Readiness>((resolve) => {
    let text = '';
    pipe.on('data', (chunk: Buffer) => {
      text += chunk;
      if (text.endsWith('\n')) resolve(JSON.parse(text) as Readiness);
    });
    pipe.on('error', () => undefined);
    child.on('error', (error) =>
      resolve({ ready: false, exitCode: 1, message: `cannot start ${name}: ${error.message}` }),
    );
    child.on('exit', (code, signal) => {
      const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
      const message = `${name} ${how} before it was ready; see ${logFile}`;
      // What it said in its last moment may still be in the pipe.
      setImmediate(() => setImmediate(() => resolve({ ready: false, exitCode: code || 1, message })));
    });
  });
  (pipe as unknown as { destroy(): void }).destroy();
  if (readiness.ready) {
    child.unref();
    return 0;
  }
  // Who hears that it failed may start it again at once: nothing of the first is there then.
  await Promise.race([over, new Promise((resolve) => setTimeout(resolve, longestEndMs).unref())]);
  child.unref();
  process.stderr.write(`${readiness.message}\n`);
  return readiness.exitCode;
}
