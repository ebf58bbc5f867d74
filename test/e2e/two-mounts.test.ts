/** Two mounts of one volume, each by a process of its own: what one does, the other sees; what one held goes with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  fstatSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { byteString, Errno } from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, hasProgram, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

const delegations = Object.entries({
  'performance.read-delegations': 'on',
  'features.delegation-timeout': '1',
  'features.delegation-rest': '0',
}).flat();
const shapes: [name: string, words: string[], bricks: number, settings: string[]][] = [
  ['distribute 2', [], 2, []],
  ['replica 3', ['replica', '3'], 3, []],
  ['distribute 2 with delegations', [], 2, delegations],
  ['replica 3 with delegations', ['replica', '3'], 3, delegations],
];
/** Between two looks: the timeouts of attributes and names, and some. */
const staleMs = 1200;

describe.skipIf(!canMount)('two mounts of', () => {
  const cluster = startCluster();
  describe.each(shapes)('%s', (_name, words, count, settings) => {
    const volume = `two${count}-${settings.length}`;
    let one: MountedVolume;
    let two: MountedVolume;
    const open: number[] = [];
    const children: ChildProcess[] = [];
    beforeAll(async () => {
      await cluster.createAndStart(volume, words, count);
      if (settings.length > 0) await cluster.must('volume', 'set', volume, ...settings);
      one = await cluster.mount(volume);
      two = await cluster.mount(volume);
    });
    afterEach(async () => {
      for (const fd of open.splice(0)) libc.close(fd);
      for (const child of children.splice(0)) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    });

    function opened(mount: MountedVolume, name: string, flags: number = libc.O_RDWR): number {
      const fd = libc.open(byteString(join(mount.path, name)), flags | libc.O_CREAT, 0o644);
      expect(fd).toBeGreaterThanOrEqual(0);
      open.push(fd);
      return fd;
    }
    const range = (fd: number, type: number, start: number, length: number) =>
      libc.setOfdLock(fd, { type, start, length });
    /** flock(1) holding, or waiting for, a lock until it is ended. */
    function holder(mount: MountedVolume, name: string): { child: ChildProcess; holds: () => boolean } {
      const words = [join(mount.path, name), '-c', 'echo held; sleep 1000'];
      const child = spawn('flock', words, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
      let said = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      children.push(child);
      return { child, holds: () => said.includes('held') };
    }

    it('exclude each other by ranges and by flock, at once', () => {
      const [a, b] = [opened(one, 'l'), opened(two, 'l')];
      expect(range(a, libc.F_WRLCK, 10, 10)).toBe(0);
      expect(range(b, libc.F_RDLCK, 0, 11)).toBe(-Errno.EAGAIN);
      expect(libc.getOfdLock(b, { type: libc.F_RDLCK, start: 0, length: 0 })).toMatchObject({ start: 10, length: 10 });
      expect(range(b, libc.F_WRLCK, 20, 5)).toBe(0);
      expect(libc.flock(b, libc.LOCK_EX | libc.LOCK_NB)).toBe(0);
      expect(libc.flock(a, libc.LOCK_SH | libc.LOCK_NB)).toBe(-Errno.EAGAIN);
      expect(range(a, libc.F_UNLCK, 0, 0)).toBe(0);
      expect(range(b, libc.F_RDLCK, 0, 11)).toBe(0);
    });

    it.runIf(hasProgram('flock'))('wait for each other, and give up when interrupted', async () => {
      const a = opened(one, 'w');
      expect(libc.flock(a, libc.LOCK_EX | libc.LOCK_NB)).toBe(0);
      const patient = holder(two, 'w');
      const impatient = holder(two, 'w');
      await pause(300);
      const ended = once(impatient.child, 'exit');
      impatient.child.kill('SIGTERM');
      await ended;
      expect([patient.holds(), impatient.holds()]).toEqual([false, false]);
      expect(libc.flock(a, libc.LOCK_UN)).toBe(0);
      await eventually('the lock', patient.holds);
      expect(libc.flock(a, libc.LOCK_SH | libc.LOCK_NB)).toBe(-Errno.EAGAIN);
      process.kill(-patient.child.pid!, 'SIGKILL');
      await eventually('the lock back', () => libc.flock(a, libc.LOCK_SH | libc.LOCK_NB) === 0);
    });

    it.each([
      ['a range', (fd: number, isOn: boolean) => range(fd, isOn ? libc.F_WRLCK : libc.F_UNLCK, 2 ** 30, 1)],
      ['flock', (fd: number, isOn: boolean) => libc.flock(fd, (isOn ? libc.LOCK_EX : libc.LOCK_UN) | libc.LOCK_NB)],
    ])('read under a lock what the other wrote under its own, whatever they have read before: %s', (_kind, lock) => {
      const at = [one, two].map((mount) => opened(mount, 'counter'));
      const read = (fd: number) => {
        const into = Buffer.alloc(4);
        return readSync(fd, into, 0, 4, 0) === 4 ? into.readUInt32BE() : 0;
      };
      const first = read(at[0]!);
      for (let i = 0; i < 100; i++) {
        const fd = at[i % 3 === 0 ? 1 : 0]!;
        for (const other of at) read(other);
        expect(lock(fd, true)).toBe(0);
        const count = read(fd);
        expect(count).toBe(first + i);
        const next = Buffer.alloc(4);
        next.writeUInt32BE(count + 1);
        writeSync(fd, next, 0, 4, 0);
        expect(lock(fd, false)).toBe(0);
      }
    });

    it('append behind each other, line by line', () => {
      const at = [one, two].map((mount) => opened(mount, 'log', libc.O_WRONLY | libc.O_APPEND));
      for (let i = 0; i < 40; i++) {
        const line = Buffer.from(`line ${i} of ${'x'.repeat(i)}\n`);
        expect(libc.write(at[i % 2]!, line)).toBe(line.length);
      }
      const expected = Array.from({ length: 40 }, (_, i) => `line ${i} of ${'x'.repeat(i)}\n`).join('');
      expect(readFileSync(join(one.path, 'log'), 'utf8')).toBe(expected);
      expect(readFileSync(join(two.path, 'log'), 'utf8')).toBe(expected);
    });

    it('append at once, and no line comes to be within another', async () => {
      const lines = 300;
      const write = (mount: MountedVolume, letter: string) => {
        const script = `const fs = require('fs'); const fd = fs.openSync(process.argv[1], 'a');
          for (let i = 0; i < ${lines}; i++) fs.writeSync(fd, process.argv[2].repeat(900 + i % 100) + '\\n');`;
        const child = spawn(process.execPath, ['-e', script, join(mount.path, 'lines'), letter], { stdio: 'inherit' });
        children.push(child);
        return once(child, 'exit');
      };
      const ends = await Promise.all([write(one, 'a'), write(two, 'b')]);
      expect(ends).toEqual([
        [0, null],
        [0, null],
      ]);
      for (const mount of [one, two]) {
        const written = readFileSync(join(mount.path, 'lines'), 'latin1').split('\n');
        expect(written.pop()).toBe('');
        expect(written.filter((line) => !/^(a{900,999}|b{900,999})$/.test(line))).toEqual([]);
        expect(written.length).toBe(2 * lines);
      }
    });

    it('see what was written when the other has closed it', async () => {
      const [here, there] = [join(one.path, 'd'), join(two.path, 'd')];
      writeFileSync(here, 'first');
      expect(readFileSync(there, 'utf8')).toBe('first');
      for (const text of ['other', 'longer than before', 's']) {
        writeFileSync(here, text);
        await eventually('the new text', () => readFileSync(there, 'utf8') === text, staleMs * 3);
      }
      appendFileSync(there, 'end');
      truncateSync(there, 2);
      await eventually('the new length', () => readFileSync(here, 'utf8') === 'se', staleMs * 3);
    });

    it('see each write when it is done, however often they have read what was there before', () => {
      for (let i = 0; i < 100; i++) {
        const [writer, reader] = i % 3 === 0 ? [two, one] : [one, two];
        writeFileSync(join(writer.path, 'often'), `version ${i}`);
        for (let again = 0; again < 3; again++)
          expect(readFileSync(join(reader.path, 'often'), 'latin1')).toBe(`version ${i}`);
      }
    });

    it('read on in a file that the other has removed or replaced', () => {
      const read = (fd: number) => {
        const into = Buffer.alloc(20);
        return into.toString('latin1', 0, readSync(fd, into, 0, 20, 0));
      };
      for (const name of ['removed', 'replaced']) {
        writeFileSync(join(one.path, name), 'what was in it');
        readFileSync(join(two.path, name));
        const fd = opened(two, name, libc.O_RDONLY);
        if (name === 'removed') unlinkSync(join(one.path, name));
        else {
          writeFileSync(join(one.path, 'new'), 'other');
          renameSync(join(one.path, 'new'), join(one.path, name));
        }
        expect(read(fd)).toBe('what was in it');
        expect(fstatSync(fd).size).toBe(14);
      }
    });

    it('open what has the name now, also where somebody has open what had it before', () => {
      const [here, there] = [join(one.path, 'name'), join(two.path, 'name')];
      for (let i = 0; i < 20; i++) {
        writeFileSync(here, `old ${i}`);
        opened(one, 'name', libc.O_RDONLY);
        expect(readFileSync(there, 'latin1')).toBe(`old ${i}`);
        writeFileSync(join(one.path, 'next'), `new ${i}`);
        renameSync(join(one.path, 'next'), here);
        expect(readFileSync(there, 'latin1')).toBe(`new ${i}`);
      }
    });

    it('see names come, change and go', async () => {
      const [here, there] = [join(one.path, 'n'), join(two.path, 'n')];
      expect(existsSync(there)).toBe(false);
      writeFileSync(here, 'x');
      await eventually('the name', () => existsSync(there), staleMs * 3);
      const { ino } = statSync(here);
      expect(statSync(there).ino).toBe(ino);
      renameSync(here, `${here}2`);
      await eventually('the change', () => !existsSync(there) && existsSync(`${there}2`), staleMs * 3);
      unlinkSync(`${there}2`);
      await eventually('the end', () => !existsSync(`${here}2`), staleMs * 3);
    });

    it('free the locks of one that was killed', async () => {
      const three = await cluster.mount(volume);
      const [a, b] = [opened(one, 'k'), opened(three, 'k')];
      expect(range(b, libc.F_WRLCK, 0, 10)).toBe(0);
      expect(libc.flock(b, libc.LOCK_EX | libc.LOCK_NB)).toBe(0);
      await cluster.kill(three.pid);
      await eventually('the range', () => range(a, libc.F_WRLCK, 0, 10) === 0, 40_000);
      await eventually('the flock', () => libc.flock(a, libc.LOCK_EX | libc.LOCK_NB) === 0, 40_000);
      await cluster.sh(`umount -l ${three.path}`);
    });
  });
});
