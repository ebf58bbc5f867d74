/** Hard and symbolic links. */
import * as libc from '@mortar/libc';
import { type Area, answers, equal, gives, holds } from './case.ts';
import { alice, must } from './world.ts';

export const links: Area = {
  area: 'links',
  cases: [
    holds('a second name is the same file', (w) => {
      w.file('f', 'one');
      w.directory('d');
      must(w.link('f', 'd/g'));
      const [f, g] = [w.stat('f'), w.stat('d/g')];
      equal([f.ino, f.nlink], [g.ino, 2]);
      w.write(w.open('d/g', libc.O_RDWR), 'two');
      equal(w.contents('f'), 'two');
      must(w.chmod('f', 0o600));
      equal(w.mode('d/g'), 0o600);
    }),
    holds('the count of names goes up and down', (w) => {
      w.file('f');
      for (let i = 0; i < 20; i++) must(w.link('f', `l${i}`));
      equal(w.stat('f').nlink, 21);
      for (let i = 0; i < 20; i++) must(w.unlink(`l${i}`));
      equal(w.stat('f').nlink, 1);
    }),
    holds('the contents live as long as a name', (w) => {
      w.file('f', 'text');
      must(w.link('f', 'g'));
      must(w.unlink('f'));
      equal([w.contents('g'), w.stat('g').nlink], ['text', 1]);
    }),
    gives('EEXIST', 'link to a name that is taken', (w) => {
      w.file('f');
      w.file('g');
      return w.link('f', 'g');
    }),
    gives('EEXIST', 'link to itself', (w) => {
      w.file('f');
      return w.link('f', 'f');
    }),
    gives('EPERM', 'link of a directory', (w) => {
      w.directory('d');
      return w.link('d', 'e');
    }),
    gives('ENOENT', 'link of what is not', (w) => w.link('f', 'g')),
    holds('link of a symlink is of the symlink', (w) => {
      must(w.symlink('nothing', 'l'));
      must(w.link('l', 'm'));
      equal([w.readlink('m'), w.stat('l').nlink], ['nothing', 2]);
    }),
    holds('link follows a symlink where it is told to', (w) => {
      w.file('f');
      must(w.symlink('f', 'l'));
      must(libc.linkat(w.dir, 'l', w.dir, 'm', libc.AT_SYMLINK_FOLLOW));
      equal([w.stat('m').ino, w.stat('f').nlink], [w.stat('f').ino, 2]);
    }),
    holds('fifos, sockets and devices have links too', (w) => {
      for (const [name, mode] of [
        ['p', libc.S_IFIFO],
        ['s', libc.S_IFSOCK],
        ['c', libc.S_IFCHR],
      ] as const) {
        must(w.mknod(name, mode | 0o600, 1, 3));
        must(w.link(name, `${name}2`));
        equal([w.stat(`${name}2`).ino, w.stat(name).nlink], [w.stat(name).ino, 2]);
      }
    }),
    gives('EACCES', 'link into a directory that may not be written', (w) => {
      w.file('f', '', 0o666);
      w.directory('d');
      return w.as(alice, () => w.link('f', 'd/g'));
    }),
    gives('ENOENT', 'link of an open file that has lost its name', (w) => {
      w.file('f');
      const fd = w.open('f', libc.O_RDWR);
      must(w.unlink('f'));
      return libc.linkat(libc.AT_FDCWD, `/proc/self/fd/${fd}`, w.dir, 'g', libc.AT_SYMLINK_FOLLOW);
    }),
    holds('link by a descriptor of what has a name', (w) => {
      w.file('f', 'x');
      must(libc.linkFd(w.open('f'), w.dir, 'g'));
      equal([w.contents('g'), w.stat('g').nlink], ['x', 2]);
    }),
    holds('a symlink holds any text', (w) => {
      for (const [name, text] of [
        ['a', 'x'],
        ['b', '/no/such/../place'],
        ['c', '\xff\xfe'],
        ['d', 'y'.repeat(1000)],
        ['e', 'z'.repeat(4095)],
      ] as const) {
        must(w.symlink(text, name));
        equal(w.readlink(name), text);
        equal(w.stat(name).size, text.length);
      }
    }),
    gives('ENOENT', 'a symlink of nothing', (w) => w.symlink('', 'l')),
    gives('EEXIST', 'a symlink where a name is', (w) => {
      w.file('l');
      return w.symlink('x', 'l');
    }),
    gives('ENOENT', 'what a symlink to nothing leads to', (w) => {
      must(w.symlink('nothing', 'l'));
      return w.tryOpen('l');
    }),
    gives('EINVAL', 'readlink of a file', (w) => {
      w.file('f');
      return w.readlink('f') as number;
    }),
    holds('a symlink is of type and mode as symlinks are', (w) => {
      must(w.symlink('x', 'l'));
      equal([w.stat('l').type, w.mode('l')], [10, 0o777]);
    }),
    holds('a symlink to a directory is not the directory', (w) => {
      w.directory('d');
      must(w.symlink('d', 'l'));
      answers(w.rmdir('l'), 'ENOTDIR');
      must(w.unlink('l'));
      equal(w.names(), ['d']);
    }),
    holds('a symlink leads from where it lies', (w) => {
      w.directory('d');
      w.file('d/f', 'x');
      must(w.symlink('f', 'd/l'));
      equal(w.contents('d/l'), 'x');
      must(w.rename('d/l', 'l'));
      answers(w.tryOpen('l'), 'ENOENT');
    }),
    holds('owner of a symlink is who made it, and may be changed', (w) => {
      w.directory('d', 0o777);
      must(w.as(alice, () => w.symlink('x', 'd/l')));
      equal([w.stat('d/l').uid, w.stat('d/l').gid], [alice.uid, alice.gid]);
      must(w.chown('d/l', 5, 6));
      equal([w.stat('d/l').uid, w.stat('d/l').gid], [5, 6]);
    }),
  ],
};
