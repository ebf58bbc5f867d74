/** What files hold: reads, writes, holes, sizes, and files that have lost their name. */
import * as libc from '@mortar/libc';
import { type Area, answers, equal, gives, holds } from './case.ts';
import { must, pages, type World } from './world.ts';

const { O_CREAT, O_DIRECT, O_RDWR, O_SYNC, O_WRONLY } = libc;
const { FALLOC_FL_KEEP_SIZE: keep, FALLOC_FL_PUNCH_HOLE: punch, FALLOC_FL_ZERO_RANGE: zero } = libc;
const MiB = 1 << 20;

const fresh = (w: World, flags = 0) => must(w.open('f', O_CREAT | O_RDWR | flags));

function allocated(name: string, mode: number, [at, length]: [number, number], size: number, zeros: boolean) {
  return holds(`fallocate ${name}`, (w) => {
    const fd = fresh(w);
    must(w.write(fd, 'x'.repeat(32768)));
    must(libc.fallocate(fd, mode, at, length));
    equal(w.fstat(fd).size, size);
    const text = w.read(fd, size, 0);
    const expected = 'x'.repeat(32768).split('');
    while (expected.length < size) expected.push('\0');
    if (zeros) expected.fill('\0', at, at + length);
    equal(text === expected.slice(0, size).join(''), true, 'contents');
  });
}

export const data: Area = {
  area: 'data',
  cases: [
    gives('ok', 'read behind the end', (w) => {
      const fd = fresh(w);
      equal(w.read(fd, 10, 100), '');
      return 0;
    }),
    holds('read ends where the file ends', (w) => {
      w.file('f', 'abc');
      equal(w.read(w.open('f'), 10, 1), 'bc');
    }),
    holds('what is skipped reads as zeros', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x', 10_000));
      equal(w.fstat(fd).size, 10_001);
      equal(w.read(fd, 10_001, 0), `${'\0'.repeat(10_000)}x`);
    }),
    holds('what is skipped takes no space', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x', 64 * MiB));
      must(libc.fsync(fd));
      equal(w.fstat(fd).blocks * 512 < MiB, true);
    }),
    holds('a file of a tebibyte holds its last bytes', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'end', 2 ** 40));
      equal([w.fstat(fd).size, w.read(fd, 10, 2 ** 40), w.read(fd, 2, 2 ** 39)], [2 ** 40 + 3, 'end', '\0\0']);
    }),
    gives(['EFBIG', 'EINVAL'], 'a write behind 2^53', (w) => {
      const fd = fresh(w);
      return libc.ftruncate(fd, 2 ** 53 - 4096) < 0 ? -27 : w.write(fd, 'x', 2 ** 53 - 1);
    }),
    holds('a write of nothing changes nothing', (w) => {
      w.file('f', 'abc');
      equal(w.write(w.open('f', O_RDWR), '', 1000), 0);
      equal(w.contents('f'), 'abc');
    }),
    holds('writes of odd sizes at odd places are put together', (w) => {
      const fd = fresh(w);
      const model = Buffer.alloc(200_000);
      let size = 0;
      for (let i = 0; i < 60; i++) {
        const [at, length] = [(i * 7919) % 150_000, 1 + ((i * 104_729) % 9000)];
        const text = String.fromCharCode(97 + (i % 26)).repeat(length);
        equal(w.write(fd, text, at), length);
        model.write(text, at, 'latin1');
        size = Math.max(size, at + length);
      }
      equal(w.read(fd, 200_000, 0) === model.toString('latin1', 0, size), true);
    }),
    holds('4 MiB in one call', (w) => {
      const fd = fresh(w);
      const bytes = Buffer.alloc(4 * MiB, 'mortar ');
      equal(libc.pwrite(fd, bytes, 0, bytes.length, 3), bytes.length);
      const back = Buffer.alloc(4 * MiB);
      equal(libc.pread(fd, back, 0, back.length, 3), bytes.length);
      equal(back.equals(bytes), true);
    }),
    holds('writev and readv are one call', (w) => {
      const fd = fresh(w);
      equal(libc.writev(fd, [Buffer.from('ab'), Buffer.from('c'), Buffer.from('def')]), 6);
      libc.lseek(fd, 0, libc.SEEK_SET);
      const parts = [Buffer.alloc(1), Buffer.alloc(4)];
      equal(libc.readv(fd, parts), 5);
      equal(Buffer.concat(parts).toString(), 'abcde');
    }),
    holds('lseek from start, place and end', (w) => {
      w.file('f', 'abcdef');
      const fd = w.open('f');
      equal(libc.lseek(fd, 2, libc.SEEK_SET), 2);
      equal(libc.lseek(fd, 2, libc.SEEK_CUR), 4);
      equal(libc.lseek(fd, -1, libc.SEEK_END), 5);
      equal(libc.lseek(fd, 10, libc.SEEK_END), 16);
      answers(libc.lseek(fd, -1, libc.SEEK_SET), 'EINVAL');
    }),
    holds('ftruncate takes off and puts on', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'abcdef'));
      must(libc.ftruncate(fd, 2));
      must(libc.ftruncate(fd, 5));
      equal(w.read(fd, 10, 0), 'ab\0\0\0');
    }),
    holds('truncate by name', (w) => {
      w.file('f', 'abcdef');
      must(w.truncate('f', 3));
      equal(w.contents('f'), 'abc');
    }),
    gives('EINVAL', 'truncate to less than nothing', (w) => {
      w.file('f');
      return w.truncate('f', -1);
    }),
    gives('EISDIR', 'truncate of a directory', (w) => {
      w.directory('d');
      return w.truncate('d', 0);
    }),
    holds('what was cut off in the middle of a page does not come back', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x'.repeat(6000)));
      must(libc.ftruncate(fd, 5000));
      must(libc.ftruncate(fd, 6000));
      equal(w.read(fd, 1000, 5000), '\0'.repeat(1000));
    }),
    allocated('inside the file changes nothing', 0, [4096, 8192], 32768, false),
    allocated('behind the end makes it longer', 0, [30000, 10000], 40000, false),
    allocated('KEEP_SIZE behind the end does not', keep, [30000, 10000], 32768, false),
    allocated('PUNCH_HOLE gives zeros', punch | keep, [5000, 9000], 32768, true),
    allocated('ZERO_RANGE gives zeros', zero, [5000, 9000], 32768, true),
    allocated('ZERO_RANGE behind the end makes it longer', zero, [30000, 10000], 40000, true),
    allocated('ZERO_RANGE with KEEP_SIZE does not', zero | keep, [30000, 10000], 32768, true),
    gives('EOPNOTSUPP', 'fallocate PUNCH_HOLE without KEEP_SIZE', (w) => libc.fallocate(fresh(w), punch, 0, 10)),
    gives('EINVAL', 'fallocate of nothing', (w) => libc.fallocate(fresh(w), 0, 0, 0)),
    gives('EBADF', 'fallocate through O_RDONLY', (w) => {
      w.file('f');
      return libc.fallocate(w.open('f'), 0, 0, 10);
    }),
    holds('SEEK_DATA and SEEK_HOLE find what is there', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x'.repeat(4096), MiB));
      must(libc.ftruncate(fd, 2 * MiB));
      must(libc.fsync(fd));
      const seek = (at: number, what: number) => libc.lseek(fd, at, what);
      equal([seek(0, libc.SEEK_DATA), seek(0, libc.SEEK_HOLE), seek(MiB, libc.SEEK_HOLE)], [MiB, 0, MiB + 4096]);
      equal(seek(MiB + 100, libc.SEEK_DATA), MiB + 100);
    }),
    gives('ENXIO', 'SEEK_DATA behind the last data', (w) => {
      const fd = fresh(w);
      must(libc.ftruncate(fd, MiB));
      return libc.lseek(fd, 0, libc.SEEK_DATA);
    }),
    gives('ENXIO', 'SEEK_HOLE behind the end', (w) => libc.lseek(fresh(w), 1, libc.SEEK_HOLE)),
    holds('the end of a file is a hole', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x'.repeat(4096)));
      equal(libc.lseek(fd, 0, libc.SEEK_HOLE), 4096);
    }),
    holds('copy_file_range copies from file to file', (w) => {
      w.file('a', 'abcdefgh');
      const [from, to] = [w.open('a'), fresh(w)];
      equal(libc.copyFileRange(from, 2, to, 3, 4), 4);
      equal(w.contents('f'), '\0\0\0cdef');
      equal(libc.copyFileRange(from, 100, to, 0, 4), 0);
    }),
    holds('copy_file_range copies within a file', (w) => {
      w.file('f', 'abcdefgh');
      const fd = w.open('f', O_RDWR);
      equal(libc.copyFileRange(fd, 0, fd, 6, 4), 4);
      equal(w.contents('f'), 'abcdefabcd');
    }),
    gives('EINVAL', 'copy_file_range onto itself', (w) => {
      w.file('f', 'abcdefgh');
      const fd = w.open('f', O_RDWR);
      return libc.copyFileRange(fd, 0, fd, 2, 4);
    }),
    gives('EBADF', 'copy_file_range into a file opened with O_APPEND', (w) => {
      w.file('a', 'x');
      return libc.copyFileRange(w.open('a'), 0, fresh(w, libc.O_APPEND), 0, 1);
    }),
    gives('EISDIR', 'copy_file_range of a directory', (w) => {
      w.directory('d');
      return libc.copyFileRange(w.open('d'), 0, fresh(w), 0, 1);
    }),
    gives('ok', 'fsync of a file, written', (w) => {
      const fd = fresh(w);
      w.write(fd, 'x');
      return libc.fsync(fd);
    }),
    gives('ok', 'fdatasync of a file opened for reading', (w) => {
      w.file('f', 'x');
      return libc.fdatasync(w.open('f'));
    }),
    gives('ok', 'fsync of a directory', (w) => {
      w.file('f');
      return libc.fsync(w.dir);
    }),
    gives('ok', 'syncfs', (w) => libc.syncfs(w.dir)),
    holds('O_SYNC writes are written', (w) => {
      const fd = fresh(w, O_SYNC);
      equal(w.write(fd, 'text'), 4);
      equal(w.contents('f'), 'text');
    }),
    holds('O_DIRECT writes are read by others, and theirs by O_DIRECT', (w) => {
      const direct = fresh(w, O_DIRECT);
      const plain = w.open('f', O_RDWR);
      equal(libc.pwrite(direct, pages(2, 'd'), 0, 8192, 0), 8192);
      equal(w.read(plain, 4, 4095), 'dddd');
      w.write(plain, 'plain', 4096);
      const back = pages(1, '-');
      equal(libc.pread(direct, back, 0, 4096, 4096), 4096);
      equal(Buffer.from(back).toString('latin1', 0, 6), 'plaind');
    }),
    holds('a file that has lost its name is read, written, changed and stated', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'hello'));
      must(w.unlink('f'));
      equal([w.names(), w.fstat(fd).nlink, w.read(fd, 9, 0)], [[], 0, 'hello']);
      must(w.write(fd, ' there', 5));
      must(libc.ftruncate(fd, 8));
      must(libc.fchmod(fd, 0o604));
      must(libc.fchown(fd, 7, 8));
      must(libc.futimens(fd, { sec: 1, nsec: 2 }, { sec: 3, nsec: 4 }));
      const { size, permissions, uid, gid, mtime, mtimeNsec } = w.fstat(fd);
      equal([size, permissions, uid, gid, mtime, mtimeNsec], [8, 0o604, 7, 8, 3, 4]);
      must(libc.fsync(fd));
    }),
    holds('a file that has lost its name to a rename is read on', (w) => {
      w.file('f', 'old');
      w.file('g', 'new');
      const fd = w.open('f');
      must(w.rename('g', 'f'));
      equal([w.read(fd, 9, 0), w.contents('f'), w.fstat(fd).nlink], ['old', 'new', 0]);
    }),
    holds('a new file of the same name is another one', (w) => {
      w.file('f', 'old');
      const fd = w.open('f', O_RDWR);
      must(w.unlink('f'));
      w.file('f', 'new');
      w.write(fd, 'OLD', 0);
      equal([w.contents('f'), w.read(fd, 3, 0)], ['new', 'OLD']);
    }),
    holds('a file is longer at once for who has it open', (w) => {
      w.file('f');
      const [reader, writer] = [w.open('f'), w.open('f', O_WRONLY)];
      equal(w.read(reader, 10, 0), '');
      w.write(writer, 'text');
      equal([w.read(reader, 10, 0), w.fstat(reader).size], ['text', 4]);
    }),
    holds('st_blocks says what is taken', (w) => {
      const fd = fresh(w);
      must(w.write(fd, 'x'.repeat(100_000)));
      must(libc.fsync(fd));
      const { blocks } = w.fstat(fd);
      equal(blocks >= 195 && blocks <= 400, true, `${blocks} blocks`);
    }),
  ],
};
