/** Fifos, sockets, devices; calls that a network file system refuses; totals. */
import * as libc from '@mortar/libc';
import { type Area, equal, gives, holds } from './case.ts';
import { must } from './world.ts';

const kinds: readonly [string, number, number][] = [
  ['a fifo', libc.S_IFIFO, 1],
  ['a socket', libc.S_IFSOCK, 12],
  ['a character device', libc.S_IFCHR, 2],
  ['a block device', libc.S_IFBLK, 6],
  ['a file', libc.S_IFREG, 8],
];

export const special: Area = {
  area: 'special files',
  cases: [
    ...kinds.map(([what, bits, type]) =>
      holds(`mknod makes ${what}`, (w) => {
        must(w.mknod('n', bits | 0o640, 300, 70_000));
        const stat = w.stat('n');
        equal([stat.type, stat.permissions, stat.nlink, stat.size], [type, 0o640, 1, 0]);
        if (type === 2 || type === 6) equal([stat.rdevMajor, stat.rdevMinor], [300, 70_000]);
        must(w.unlink('n'));
      }),
    ),
    gives('EEXIST', 'mknod where a name is', (w) => {
      w.file('n');
      return w.mknod('n', libc.S_IFIFO | 0o600);
    }),
    holds('a fifo carries bytes between two who open it', (w) => {
      must(w.mknod('p', libc.S_IFIFO | 0o600));
      const reader = must(w.open('p', libc.O_RDONLY | libc.O_NONBLOCK));
      const writer = must(w.open('p', libc.O_WRONLY | libc.O_NONBLOCK));
      must(w.write(writer, 'through'));
      equal(w.read(reader, 20), 'through');
    }),
    gives('ESPIPE', 'lseek of a fifo', (w) => {
      must(w.mknod('p', libc.S_IFIFO | 0o600));
      return libc.lseek(must(w.open('p', libc.O_RDONLY | libc.O_NONBLOCK)), 0, libc.SEEK_SET);
    }),
    gives('ENOTTY', 'an ioctl that nobody knows', (w) => {
      w.file('f');
      return libc.ioctl(must(w.open('f')), 0x1234_5678, new Uint8Array(8));
    }),
    holds('poll says that a file can be read and written', (w) => {
      w.file('f');
      const fd = must(w.open('f', libc.O_RDWR));
      const wish = { fd, events: libc.POLLIN | libc.POLLOUT, revents: 0 };
      equal([libc.poll([wish], 0), wish.revents], [1, libc.POLLIN | libc.POLLOUT]);
    }),
    holds('statvfs tells totals that fit together', (w) => {
      const totals = new libc.StatVfs();
      must(libc.fstatvfs(w.dir, totals));
      equal(totals.nameMax, 255);
      equal(totals.blocks >= totals.blocksFree && totals.blocksFree >= totals.blocksAvailable, true);
      equal(totals.blocks > 0 && totals.files >= totals.filesFree, true);
    }),
    holds('st_dev is the same everywhere, st_ino is each its own', (w) => {
      w.file('f');
      w.directory('d');
      w.file('d/f');
      const all = ['.', 'f', 'd', 'd/f'].map((name) => w.stat(name));
      equal(new Set(all.map((stat) => `${stat.devMajor}:${stat.devMinor}`)).size, 1);
      equal(new Set(all.map((stat) => stat.ino)).size, 4);
    }),
  ],
};
