/** Programs of the system that change mounts and devices. In processes of their own: this one has to answer the kernel meanwhile. */
import { spawn } from 'node:child_process';

export interface Outcome {
  /** Null: it could not be run, or did not end in time. */
  readonly code: number | null;
  readonly stdout: string;
  /** What it said, or why it could not be run. */
  readonly stderr: string;
}

export type RunProgram = (program: string, args: readonly string[], timeoutMs?: number) => Promise<Outcome>;

const outputMax = 16 * 1024;
const usualTimeoutMs = 10_000;
/** System administration's programs are not in every PATH. */
const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;

/** One that hangs in the kernel is not waited for. */
export const runProgram: RunProgram = (program, args, timeoutMs = usualTimeoutMs) =>
  new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    const env = { ...process.env, PATH: path, LC_ALL: 'C' };
    const child = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'], env, cwd: '/' });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      resolve({ code: null, stdout, stderr: `${program} did not end within ${timeoutMs / 1000} s` });
    }, timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => {
      if (stdout.length < outputMax) stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < outputMax) stderr += chunk.toString();
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, stdout, stderr: `${program} cannot be run: ${error.message}` });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr: stderr.trim() });
    });
  });
