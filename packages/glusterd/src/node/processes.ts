import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { CallMeter } from '@mortar/rpc/management/call-meter.ts';
import { ManagementClient } from '@mortar/rpc/management/client.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import type { CommandResult, ProcessPort } from '../ports.ts';

const messageMaxBytes = 4096;

function run(
  program: string,
  args: readonly string[],
  timeoutMs: number,
  environment: NodeJS.ProcessEnv,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    // The output of a hook or of a daemon's starter is not ours; what it says in the end may tell why it failed.
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment, cwd: '/' });
    let message = '';
    const done = (exit: number, text = message) => {
      clearTimeout(timer);
      child.stderr.destroy();
      resolve({ exit, message: text.trim() });
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      done(124, `${program} did not end within ${timeoutMs} ms`);
    }, timeoutMs);
    child.stderr.on('data', (chunk: Buffer) => {
      if (message.length < messageMaxBytes) message += chunk.toString('utf8');
    });
    child.on('error', (error) => done(127, error.message));
    child.on('exit', (code, signal) => setImmediate(() => done(code ?? (signal ? 128 : 1))));
  });
}

async function commandLine(pid: number): Promise<readonly string[] | null> {
  try {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the state follows its last one.
    const state = status.slice(status.lastIndexOf(')') + 2)[0];
    if (state === 'Z' || state === 'X') return null;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return words.slice(0, -1);
  } catch {
    return null;
  }
}

async function search(folder: string, recognises: (words: readonly string[]) => boolean) {
  const found: { pid: number; words: readonly string[] }[] = [];
  const pids = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid));
  for (const pid of pids) {
    const words = await commandLine(pid);
    if (words && recognises(words) && (await isOfThisUser(pid)) && (await hasSame(pid, folder)))
      found.push({ pid, words });
  }
  return found;
}

async function isOfThisUser(pid: number): Promise<boolean> {
  return (await statusOf(`/proc/${pid}`))?.uid === process.geteuid!();
}

async function hasSame(pid: number, folder: string): Promise<boolean> {
  const [own, its] = [await statusOf(folder), await statusOf(`/proc/${pid}/root${folder}`)];
  return own !== null && its !== null && own.dev === its.dev && own.ino === its.ino;
}

/** Null: it is not there, or not to be looked at. */
async function statusOf(path: string) {
  try {
    return await stat(path);
  } catch {
    return null;
  }
}

function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '0.0.0.0' }, () => server.close(() => resolve(true)));
  });
}

/** The processes of this machine. `environment` is what started programs get. */
export function nodeProcesses(environment: NodeJS.ProcessEnv, calls?: CallMeter): ProcessPort {
  return {
    run: (program, args, timeoutMs) => run(program, args, timeoutMs, environment),
    commandLine,
    search,
    isPortFree,
    signal(pid, signal) {
      try {
        process.kill(pid, signal);
        return true;
      } catch {
        return false;
      }
    },
    async ask(socketPath, method, params, timeoutMs) {
      const client = await ManagementClient.connect(
        unixTransport(),
        { kind: 'unix', path: socketPath },
        { clock: nodeClock, calls, program: 'glusterd', timeoutMs },
      );
      try {
        return await client.call(method, params, { timeoutMs });
      } finally {
        client.close();
      }
    },
  };
}
