import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { InstanceLockError, takeInstanceLock } from './instance-lock.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-lock-'));
  path = join(folder, 'run/a.lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('keeps others away, says who holds it, and is free afterwards', () => {
  const lock = takeInstanceLock(path);
  expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(() => takeInstanceLock(path)).toThrow(InstanceLockError);
  expect(() => takeInstanceLock(path)).toThrow(`the process ${process.pid} holds ${path}`);
  lock.release();
  takeInstanceLock(path).release();
});

it('is free when its process was killed', async () => {
  takeInstanceLock(path).release();
  const other = spawn('flock', ['-F', path, 'sh', '-c', 'echo locked; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise((resolve) => other.stdout.once('data', resolve));
  expect(() => takeInstanceLock(path)).toThrow(InstanceLockError);
  const ended = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await ended;
  takeInstanceLock(path).release();
});

it('is taken anew when the file is gone, unless another was faster', () => {
  const lock = takeInstanceLock(path);
  rmSync(path);
  lock.renew();
  expect(() => takeInstanceLock(path)).toThrow(InstanceLockError);
  rmSync(path);
  const other = takeInstanceLock(path);
  expect(() => lock.renew()).toThrow(InstanceLockError);
  other.release();
  lock.renew();
  expect(() => takeInstanceLock(path)).toThrow(InstanceLockError);
  lock.release();
});
