/** Locks of flock(2), of open file descriptions, and of processes, with waiting. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import * as libc from '@mortar/libc';
import { type Area, answers, equal, gives, holds } from './case.ts';
import { must, type World } from './world.ts';

const { F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_RDWR } = libc;

function two(w: World): [number, number] {
  w.file('f', 'x'.repeat(100));
  return [must(w.open('f', O_RDWR)), must(w.open('f', O_RDWR))];
}

const range = (type: number, start = 0, length = 0) => ({ type, start, length });
const ofd = (fd: number, type: number, start = 0, length = 0) => libc.setOfdLock(fd, range(type, start, length));

/** Another process that takes a lock of fcntl (`F_SETLKW`, the process's) on a file and says `held`. */
const script = `
const koffi = require(process.argv[1]);
const c = koffi.load(null);
const open = c.func('open', 'int', ['str', 'int']);
const fcntl = c.func('fcntl', 'int', ['int', 'int', 'void *']);
const fd = open(process.argv[2], 2);
const lock = Buffer.alloc(32);
lock.writeUInt16LE(Number(process.argv[3]), 0);
lock.writeBigInt64LE(BigInt(process.argv[4]), 8);
lock.writeBigInt64LE(BigInt(process.argv[5]), 16);
process.stdout.write('asking ');
const result = fcntl(fd, Number(process.argv[6]), lock);
process.stdout.write(result === 0 ? 'held ' : 'errno' + koffi.errno() + ' ');
setInterval(() => {}, 1000);
`;
const koffi = createRequire(import.meta.resolve('@mortar/libc')).resolve('koffi');
const F_SETLK = 6;
const F_SETLKW = 7;

class Other {
  readonly child: ChildProcess;
  said = '';

  constructor(w: World, type: number, start: number, length: number, command: number) {
    const words = [koffi, w.absolute('f'), type, start, length, command].map(String);
    this.child = spawn(process.execPath, ['-e', script, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.said += chunk.toString();
    });
  }

  async says(word: string): Promise<void> {
    while (!this.said.includes(word)) {
      if (this.child.exitCode !== null) throw new Error(`the other process ended, having said ${this.said}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

async function withOther(
  w: World,
  [type, start, length, command]: [number, number, number, number],
  run: (other: Other) => Promise<void>,
): Promise<void> {
  const other = new Other(w, type, start, length, command);
  try {
    await run(other);
  } finally {
    await other.end();
  }
}

/** Waits for what a process that was killed gave back. */
async function eventually(run: () => number): Promise<void> {
  for (let left = 400; run() < 0; left--) {
    if (left === 0) throw new Error('the lock was not given back');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const locks: Area = {
  area: 'locks',
  cases: [
    gives('EAGAIN', 'flock: exclusive keeps others out', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_EX | LOCK_NB));
      return libc.flock(b, LOCK_SH | LOCK_NB);
    }),
    gives('ok', 'flock: shared are many', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_SH | LOCK_NB));
      return libc.flock(b, LOCK_SH | LOCK_NB);
    }),
    holds('flock: from shared to exclusive and back', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_SH | LOCK_NB));
      must(libc.flock(a, LOCK_EX | LOCK_NB));
      answers(libc.flock(b, LOCK_SH | LOCK_NB), 'EAGAIN');
      must(libc.flock(a, LOCK_SH | LOCK_NB));
      must(libc.flock(b, LOCK_SH | LOCK_NB));
      answers(libc.flock(a, LOCK_EX | LOCK_NB), 'EAGAIN');
    }),
    gives('ok', 'flock: given back by LOCK_UN', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_EX | LOCK_NB));
      must(libc.flock(a, LOCK_UN));
      return libc.flock(b, LOCK_EX | LOCK_NB);
    }),
    gives('ok', 'flock: given back by the last close', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_EX | LOCK_NB));
      const copy = libc.dup(a);
      w.close(a);
      answers(libc.flock(b, LOCK_EX | LOCK_NB), 'EAGAIN');
      libc.close(copy);
      return libc.flock(b, LOCK_EX | LOCK_NB);
    }),
    gives('ok', 'flock: of a file opened for reading', (w) => {
      w.file('f');
      return libc.flock(must(w.open('f')), LOCK_EX | LOCK_NB);
    }),
    gives('ok', 'flock: of a directory', (w) => libc.flock(w.dir, LOCK_EX | LOCK_NB)),
    gives('ok', 'flock and ranges do not meet', (w) => {
      const [a, b] = two(w);
      must(libc.flock(a, LOCK_EX | LOCK_NB));
      return ofd(b, F_WRLCK);
    }),
    gives('EAGAIN', 'ranges: writers keep others out where they overlap', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK, 10, 10));
      must(ofd(b, F_WRLCK, 20, 10));
      must(ofd(b, F_WRLCK, 0, 10));
      return ofd(b, F_RDLCK, 19, 1);
    }),
    gives('ok', 'ranges: readers are many', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_RDLCK, 10, 10));
      return ofd(b, F_RDLCK, 0, 100);
    }),
    holds('ranges: a piece given back is free, the rest is not', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK, 0, 30));
      must(ofd(a, F_UNLCK, 10, 10));
      must(ofd(b, F_WRLCK, 10, 10));
      answers(ofd(b, F_WRLCK, 9, 1), 'EAGAIN');
      answers(ofd(b, F_WRLCK, 20, 1), 'EAGAIN');
    }),
    holds('ranges: a reader inside a writer', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK, 0, 30));
      must(ofd(a, F_RDLCK, 10, 10));
      must(ofd(b, F_RDLCK, 10, 10));
      answers(ofd(b, F_RDLCK, 9, 1), 'EAGAIN');
      answers(ofd(b, F_WRLCK, 10, 1), 'EAGAIN');
    }),
    holds('ranges: length 0 reaches to the end, wherever that is', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK, 50, 0));
      answers(ofd(b, F_RDLCK, 2 ** 40, 1), 'EAGAIN');
      must(ofd(b, F_RDLCK, 49, 1));
    }),
    holds('ranges: who asks learns which is in the way', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK, 10, 10));
      equal(libc.getOfdLock(b, range(F_RDLCK, 0, 0)), range(F_WRLCK, 10, 10));
      equal(libc.getOfdLock(b, range(F_RDLCK, 20, 0)), null);
      equal(libc.getOfdLock(a, range(F_WRLCK, 0, 0)), null);
    }),
    gives('EBADF', 'ranges: a writer through O_RDONLY', (w) => {
      w.file('f');
      return ofd(must(w.open('f')), F_WRLCK);
    }),
    gives('ok', 'ranges: given back by close', (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK));
      w.close(a);
      return ofd(b, F_WRLCK);
    }),
    holds('processes: a lock of one keeps the other out until it ends', async (w) => {
      const [a] = two(w);
      await withOther(w, [F_WRLCK, 10, 10, F_SETLK], async (other) => {
        await other.says('held');
        answers(ofd(a, F_WRLCK, 15, 1), 'EAGAIN');
        must(ofd(a, F_WRLCK, 20, 1));
        await other.end();
        await eventually(() => ofd(a, F_WRLCK, 15, 1));
      });
    }),
    holds('processes: who waits gets it when it is free', async (w) => {
      const [a] = two(w);
      must(ofd(a, F_WRLCK, 0, 20));
      await withOther(w, [F_WRLCK, 10, 10, F_SETLKW], async (other) => {
        await other.says('asking');
        await new Promise((resolve) => setTimeout(resolve, 30));
        equal(other.said.includes('held'), false);
        must(ofd(a, F_UNLCK, 10, 10));
        await other.says('held');
        answers(ofd(a, F_RDLCK, 10, 10), 'EAGAIN');
      });
    }),
    holds('processes: who is killed waiting gets nothing', async (w) => {
      const [a, b] = two(w);
      must(ofd(a, F_WRLCK));
      await withOther(w, [F_WRLCK, 0, 0, F_SETLKW], async (other) => {
        await other.says('asking');
        await new Promise((resolve) => setTimeout(resolve, 30));
        await other.end();
        must(ofd(a, F_UNLCK));
        await eventually(() => ofd(b, F_WRLCK));
      });
    }),
  ],
};
