/** open(2) and its flags. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as libc from '@mortar/libc';
import { type Area, answers, equal, gives, holds, tick } from './case.ts';
import { must } from './world.ts';

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE } = libc;
const { O_TRUNC, O_WRONLY } = libc;

export const opening: Area = {
  area: 'open',
  cases: [
    gives('ENOENT', 'a file that is not', (w) => w.tryOpen('f')),
    gives('ok', 'a file that is, also with O_CREAT', (w) => {
      w.file('f');
      return w.tryOpen('f', O_CREAT | O_RDWR);
    }),
    gives('EEXIST', 'O_CREAT with O_EXCL on a file', (w) => {
      w.file('f');
      return w.tryOpen('f', O_CREAT | O_EXCL | O_RDWR);
    }),
    gives('EEXIST', 'O_CREAT with O_EXCL on a link that leads nowhere', (w) => {
      must(w.symlink('nothing', 'l'));
      return w.tryOpen('l', O_CREAT | O_EXCL | O_RDWR);
    }),
    gives('EEXIST', 'O_CREAT with O_EXCL on a directory', (w) => {
      w.directory('d');
      return w.tryOpen('d', O_CREAT | O_EXCL | O_RDWR);
    }),
    holds('O_CREAT makes what a link leads to', (w) => {
      must(w.symlink('target', 'l'));
      must(w.tryOpen('l', O_CREAT | O_RDWR));
      equal(w.names(), ['l', 'target']);
    }),
    gives('EISDIR', 'a directory for writing', (w) => {
      w.directory('d');
      return w.tryOpen('d', O_WRONLY);
    }),
    gives('EISDIR', 'a directory with O_CREAT', (w) => {
      w.directory('d');
      return w.tryOpen('d', O_CREAT);
    }),
    gives('EISDIR', 'read of a directory', (w) => {
      w.directory('d');
      return libc.read(w.open('d'), Buffer.alloc(10));
    }),
    gives('ENOTDIR', 'O_DIRECTORY on a file', (w) => {
      w.file('f');
      return w.tryOpen('f', O_DIRECTORY);
    }),
    gives('ELOOP', 'O_NOFOLLOW on a link', (w) => {
      w.file('f');
      must(w.symlink('f', 'l'));
      return w.tryOpen('l', O_NOFOLLOW);
    }),
    gives('ok', 'O_PATH with O_NOFOLLOW on a link', (w) => {
      must(w.symlink('f', 'l'));
      return w.tryOpen('l', O_NOFOLLOW | O_PATH);
    }),
    gives('ENXIO', 'a fifo for writing that nobody reads, O_NONBLOCK', (w) => {
      must(w.mknod('p', libc.S_IFIFO | 0o600));
      return w.tryOpen('p', O_WRONLY | O_NONBLOCK);
    }),
    gives('ENXIO', 'a socket', (w) => {
      must(w.mknod('s', libc.S_IFSOCK | 0o600));
      return w.tryOpen('s');
    }),
    gives('ENXIO', 'a device that has no driver', (w) => {
      must(w.mknod('c', libc.S_IFCHR | 0o600, 250, 250));
      return w.tryOpen('c');
    }),
    gives('ok', '/dev/null by another name', (w) => {
      must(w.mknod('null', libc.S_IFCHR | 0o666, 1, 3));
      return w.write(must(w.open('null', O_WRONLY)), 'away');
    }),
    gives('EBADF', 'write through O_RDONLY', (w) => {
      w.file('f');
      return w.write(w.open('f', O_RDONLY), 'x');
    }),
    gives('EBADF', 'read through O_WRONLY', (w) => {
      w.file('f', 'x');
      return libc.read(w.open('f', O_WRONLY), Buffer.alloc(1));
    }),
    gives(['EINVAL', 'EBADF'], 'ftruncate through O_RDONLY', (w) => {
      w.file('f', 'x');
      return libc.ftruncate(w.open('f', O_RDONLY), 0);
    }),
    gives('EBADF', 'read through O_PATH', (w) => {
      w.file('f', 'x');
      return libc.read(w.open('f', O_PATH), Buffer.alloc(1));
    }),
    holds('O_TRUNC empties a file', (w) => {
      w.file('f', 'full');
      must(w.tryOpen('f', O_WRONLY | O_TRUNC));
      equal(w.stat('f').size, 0);
    }),
    holds('O_TRUNC of an empty file is a change of its times all the same', (w) => {
      w.file('f');
      const before = w.stat('f');
      tick();
      must(w.tryOpen('f', O_WRONLY | O_TRUNC));
      const after = w.stat('f');
      equal(after.mtime * 1e9 + after.mtimeNsec > before.mtime * 1e9 + before.mtimeNsec, true);
    }),
    holds('O_APPEND writes at the end, wherever the descriptor stands', (w) => {
      w.file('f', 'one');
      const fd = w.open('f', O_RDWR | O_APPEND);
      libc.lseek(fd, 0, libc.SEEK_SET);
      w.write(fd, 'two');
      equal(libc.lseek(fd, 0, libc.SEEK_CUR), 6);
      equal(w.contents('f'), 'onetwo');
    }),
    holds('O_APPEND holds for every descriptor at once', (w) => {
      w.file('f');
      const [a, b] = [w.open('f', O_WRONLY | O_APPEND), w.open('f', O_WRONLY | O_APPEND)];
      for (let i = 0; i < 10; i++) for (const fd of [a, b]) w.write(fd, fd === a ? 'a' : 'b');
      equal(w.contents('f'), 'ab'.repeat(10));
    }),
    holds('O_APPEND may be set and taken off later', (w) => {
      w.file('f', 'one');
      const fd = w.open('f', O_RDWR);
      must(libc.fcntl(fd, libc.F_SETFL, O_APPEND));
      w.write(fd, 'two');
      must(libc.fcntl(fd, libc.F_SETFL, 0));
      libc.lseek(fd, 0, libc.SEEK_SET);
      w.write(fd, 'O');
      equal(w.contents('f'), 'Onetwo');
    }),
    holds('a new file has the mode without the umask', (w) => {
      const before = libc.umask(0o027);
      must(w.tryOpen('f', O_CREAT | O_RDWR, 0o666));
      must(w.mkdir('d', 0o777));
      libc.umask(before);
      equal([w.mode('f'), w.mode('d')], [0o640, 0o750]);
    }),
    holds('a new file without permissions is open all the same', (w) => {
      const fd = must(w.open('f', O_CREAT | O_RDWR, 0));
      must(w.write(fd, 'x'));
      equal([w.mode('f'), w.read(fd, 1, 0)], [0, 'x']);
    }),
    holds('O_TMPFILE makes a file without a name, which link gives one', (w) => {
      const fd = must(w.open('.', O_TMPFILE | O_RDWR, 0o640));
      must(w.write(fd, 'text'));
      equal([w.names(), w.fstat(fd).nlink], [[], 0]);
      must(libc.linkFd(fd, w.dir, 'f'));
      equal([w.contents('f'), w.stat('f').nlink, w.mode('f')], ['text', 1, 0o640]);
      must(libc.linkFd(fd, w.dir, 'g'));
      equal(w.fstat(fd).nlink, 2);
    }),
    holds('O_TMPFILE without a link leaves nothing', (w) => {
      const fd = must(w.open('.', O_TMPFILE | O_RDWR));
      must(w.write(fd, 'text'));
      w.close(fd);
      equal(w.names(), []);
    }),
    gives('ENOENT', 'link of an O_TMPFILE with O_EXCL', (w) => {
      const fd = must(w.open('.', O_TMPFILE | O_EXCL | O_RDWR));
      return libc.linkFd(fd, w.dir, 'f');
    }),
    gives('EEXIST', 'link of an O_TMPFILE over a file', (w) => {
      w.file('f');
      return libc.linkFd(must(w.open('.', O_TMPFILE | O_RDWR)), w.dir, 'f');
    }),
    gives('ETXTBSY', 'a running program for writing', (w) => {
      w.file('sleep', readFileSync('/bin/sleep', 'latin1'), 0o755);
      const child = spawn(w.absolute('sleep'), ['30'], { stdio: 'ignore' });
      try {
        return w.tryOpen('sleep', O_WRONLY);
      } finally {
        child.kill('SIGKILL');
      }
    }),
    holds('a descriptor lives on when its file is renamed', (w) => {
      w.file('f', 'x');
      const fd = w.open('f', O_RDWR);
      must(w.rename('f', 'g'));
      w.write(fd, 'y', 1);
      equal(w.contents('g'), 'xy');
    }),
    holds('two descriptors have positions of their own', (w) => {
      w.file('f', 'abc');
      const [a, b] = [w.open('f'), w.open('f')];
      equal([w.read(a, 2), w.read(b, 1), w.read(a, 2)], ['ab', 'a', 'c']);
    }),
    holds('a duplicate shares the position', (w) => {
      w.file('f', 'abc');
      const a = w.open('f');
      const b = libc.dup(a);
      equal([w.read(a, 1), w.read(b, 1)], ['a', 'b']);
      libc.close(b);
      equal(w.read(a, 1), 'c');
    }),
    holds('many descriptors of one file, closed in any order', (w) => {
      w.file('f', 'x');
      const fds = Array.from({ length: 50 }, () => must(w.open('f', O_RDWR)));
      for (const fd of fds.filter((_, i) => i % 2)) w.close(fd);
      answers(w.write(fds[0]!, 'y', 0), 'ok');
      equal(w.read(fds[48]!, 1, 0), 'y');
    }),
  ],
};
