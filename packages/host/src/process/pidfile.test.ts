import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { claimPidFile, PidFileError, takePidFile } from './pidfile.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-pid-'));
  path = join(folder, 'a.pid');
});
afterEach(() => rmSync(folder, { recursive: true }));

const ownName = readFileSync('/proc/self/comm', 'utf8').trim();
/** Lives and is not this process. */
const alive = process.ppid;
const aliveName = readFileSync(`/proc/${alive}/comm`, 'utf8').trim();
const deadPid = 4_194_303;

describe('claimPidFile', () => {
  it('takes the place of whoever is named there, and makes the folder', () => {
    const below = join(folder, 'a/b.pid');
    claimPidFile(below).release();
    expect(readdirSync(join(folder, 'a'))).toEqual([]);
    writeFileSync(path, `${alive}\n`);
    const file = claimPidFile(path);
    expect([readFileSync(path, 'utf8'), file.isOwn]).toEqual([`${process.pid}\n`, true]);
    writeFileSync(path, `${alive}\n`);
    expect(file.isOwn).toBe(false);
    file.release();
    expect(readFileSync(path, 'utf8')).toBe(`${alive}\n`);
  });
});

describe('takePidFile', () => {
  it('writes the pid with a newline and removes it at the end', () => {
    const file = takePidFile(path, ownName);
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
    file.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses while a live process of the same name holds it', () => {
    writeFileSync(path, `${alive}\n`);
    expect(() => takePidFile(path, aliveName)).toThrow(PidFileError);
    expect(readFileSync(path, 'utf8')).toBe(`${alive}\n`);
    expect(readdirSync(folder)).toEqual(['a.pid']);
  });

  it.each([
    ['a process that is gone', `${deadPid}\n`],
    ['nothing', ''],
    ['rubbish', 'x'],
  ])('takes over the file of %s', (_, content) => {
    writeFileSync(path, content);
    takePidFile(path, ownName);
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
    expect(readdirSync(folder)).toEqual(['a.pid']);
  });

  it("takes over a pid that is another program's by now", () => {
    writeFileSync(path, `${alive}\n`);
    takePidFile(path, 'glusterfsd');
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
  });

  it('takes over the file of a zombie', async () => {
    // The first sleep ends as a child of the second, which never asks for it; before, bash would have.
    const parent = spawn('bash', ['-c', 'sleep 0.5 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    const state = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0];
    await vi.waitFor(() => expect(state()).toBe('Z'), 10_000);
    writeFileSync(path, `${pid}\n`);
    takePidFile(path, 'sleep');
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
    parent.kill();
  });

  it("leaves a successor's file at the end", () => {
    const file = takePidFile(path, ownName);
    writeFileSync(path, '1\n');
    file.release();
    expect(readFileSync(path, 'utf8')).toBe('1\n');
  });
});
