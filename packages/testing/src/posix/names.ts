/** Names and how paths are resolved. */
import { close, mkdirat, O_CREAT, O_DIRECTORY, O_RDWR, open, openat, S_IFIFO } from '@mortar/libc';
import { type Area, answers, type Case, equal, gives, holds } from './case.ts';
import { must, type World } from './world.ts';

const longest = 'n'.repeat(255);
const tooLong = 'n'.repeat(256);

/** Every operation that takes a name, on one that is in the way or missing as it needs. */
const operations: Record<string, (w: World, name: string) => number> = {
  open: (w, name) => w.tryOpen(name),
  create: (w, name) => w.tryOpen(name, O_CREAT | O_RDWR),
  stat: (w, name) => w.tryStat(name),
  mkdir: (w, name) => w.mkdir(name),
  rmdir: (w, name) => w.rmdir(name),
  unlink: (w, name) => w.unlink(name),
  symlink: (w, name) => w.symlink('x', name),
  mknod: (w, name) => w.mknod(name, S_IFIFO | 0o600),
  chmod: (w, name) => w.chmod(name, 0o600),
  chown: (w, name) => w.chown(name, 1, 1),
  utimens: (w, name) => w.utimens(name, 'now', 'now'),
  'rename from': (w, name) => w.rename(name, 'other'),
  'rename to': (w, name) => {
    w.file('some');
    return w.rename('some', name);
  },
  'link from': (w, name) => w.link(name, 'other'),
  'link to': (w, name) => {
    w.file('some');
    return w.link('some', name);
  },
};

const each = (run: (name: string, operation: (w: World, name: string) => number) => Case): Case[] =>
  Object.entries(operations).map(([name, operation]) => run(name, operation));

const odd: Record<string, string> = {
  'all bytes but NUL and slash': Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1))
    .filter((c) => c !== '/')
    .join(''),
  'bytes that are no UTF-8': '\xff\xfe\xc0\x80',
  'newlines and blanks': ' \n\t\r ',
  'three dots': '...',
  'a leading hyphen': '-rf',
  'a backslash': 'a\\b',
  '255 bytes of 0xff': '\xff'.repeat(255),
  'a name of the file system itself in another directory': '.glusterfs',
};

export const names: Area = {
  area: 'names',
  cases: [
    ...each((what, operation) => gives('ENAMETOOLONG', `${what} of 256 bytes`, (w) => operation(w, tooLong))),
    ...each((what, operation) =>
      gives('ENAMETOOLONG', `${what} below a name of 256 bytes`, (w) => operation(w, `${tooLong}/x`)),
    ),
    ...each((what, operation) =>
      gives('ENOTDIR', `${what} below a file`, (w) => {
        w.file('plain');
        return operation(w, 'plain/x');
      }),
    ),
    ...each((what, operation) => gives('ENOENT', `${what} in a directory that is not`, (w) => operation(w, 'no/x'))),
    ...each((what, operation) =>
      gives('ELOOP', `${what} through links that lead in a circle`, (w) => {
        must(w.symlink('b', 'a'));
        must(w.symlink('a', 'b'));
        return operation(w, 'a/x');
      }),
    ),
    holds('a name of 255 bytes is made, listed, renamed and removed', (w) => {
      w.file(longest, 'x');
      equal(w.names(), [longest]);
      const other = 'm'.repeat(255);
      must(w.rename(longest, other));
      equal(w.contents(other), 'x');
      must(w.unlink(other));
      equal(w.names(), []);
    }),
    ...Object.entries(odd).map(([what, name]) =>
      holds(`a name of ${what} is kept as it is`, (w) => {
        w.directory('in');
        w.file(`in/${name}`, 'x');
        equal(w.names('in'), [name]);
        must(w.symlink(name, 'to'));
        equal(w.readlink('to'), name);
        must(w.unlink(`in/${name}`));
      }),
    ),
    holds('names that differ in case are two', (w) => {
      w.file('name', '1');
      w.file('Name', '2');
      equal(w.contents('name') + w.contents('Name'), '12');
    }),
    gives('ENOENT', 'an empty path', (w) => w.tryOpen('')),
    gives('ENAMETOOLONG', 'a path of 4096 bytes', (w) => w.tryOpen('./'.repeat(2048))),
    gives('ok', 'a path of 4095 bytes', (w) => w.tryOpen(`.${'/'.repeat(4093)}.`)),
    holds('paths beyond PATH_MAX are reached step by step', (w) => {
      const part = 'd'.repeat(200);
      const fds = [w.dir];
      for (let depth = 0; depth < 25; depth++) {
        must(mkdirat(fds.at(-1)!, part, 0o755));
        fds.push(must(openat(fds.at(-1)!, part, O_DIRECTORY)));
      }
      fds.push(must(openat(fds.at(-1)!, 'leaf', O_CREAT | O_RDWR, 0o644)));
      equal(w.write(fds.at(-1)!, 'deep'), 4);
      for (const fd of fds.slice(1)) close(fd);
    }),
    gives('ENOTDIR', 'a file with a slash behind it', (w) => {
      w.file('f');
      return w.tryOpen('f/');
    }),
    gives('EISDIR', 'creation of a file with a slash behind it', (w) => w.tryOpen('f/', O_CREAT | O_RDWR)),
    gives('ok', 'mkdir with a slash behind the name', (w) => w.mkdir('d/')),
    gives('EEXIST', 'mkdir of .', (w) => w.mkdir('.')),
    gives('EINVAL', 'rmdir of .', (w) => w.rmdir('.')),
    gives('ENOTEMPTY', 'rmdir of ..', (w) => {
      w.directory('d');
      return w.rmdir('d/..');
    }),
    gives(['EBUSY', 'EINVAL'], 'rename of .', (w) => {
      w.directory('d');
      return w.rename('d/.', 'e');
    }),
    gives(['EISDIR', 'EBUSY', 'EPERM', 'EINVAL'], 'unlink of .', (w) => w.unlink('.')),
    holds('.. leads to the parent, also after a move', (w) => {
      w.directory('a');
      w.directory('b');
      w.directory('a/d');
      equal(w.stat('a/d/..').ino, w.stat('a').ino);
      must(w.rename('a/d', 'b/d'));
      equal(w.stat('b/d/..').ino, w.stat('b').ino);
    }),
    holds('40 links in a row are followed', (w) => {
      w.file('l0', 'end');
      for (let i = 1; i <= 40; i++) must(w.symlink(`l${i - 1}`, `l${i}`));
      equal(w.contents('l40'), 'end');
      must(w.symlink('l40', 'l41'));
      answers(w.tryOpen('l41'), 'ELOOP');
    }),
    holds('an absolute link leads there', (w) => {
      w.file('f', 'x');
      must(w.symlink(w.absolute('f'), 'l'));
      equal(w.contents('l'), 'x');
    }),
    gives('ok', 'an absolute path', (w) => {
      w.file('f');
      const fd = open(w.absolute('f'), 0);
      return w.close(must(fd));
    }),
  ],
};
