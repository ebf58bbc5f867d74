/** Files mapped into memory. */
import * as libc from '@mortar/libc';
import { type Area, equal, holds } from './case.ts';
import { must, pages, type World } from './world.ts';

const { MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } = libc;

function mapped(w: World, name: string, flags: number, run: (map: libc.Mapping, fd: number) => void, length = 8192) {
  const fd = must(w.open(name, libc.O_RDWR));
  const map = libc.mapFile(fd, length, PROT_READ | PROT_WRITE, flags);
  if (typeof map === 'number') throw new Error(`mmap failed: errno ${-map}`);
  try {
    run(map, fd);
  } finally {
    map.unmap();
  }
}

const text = (map: libc.Mapping, from: number, to: number) => Buffer.from(map.bytes.slice(from, to)).toString('latin1');

export const mapping: Area = {
  area: 'mmap',
  cases: [
    holds('shows what the file holds, and zeros behind its end', (w) => {
      w.file('f', 'text');
      mapped(w, 'f', MAP_SHARED, (map) => equal(text(map, 0, 8), 'text\0\0\0\0'), 4096);
    }),
    holds('shared: what is put there is read by all', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (map, fd) => {
        map.bytes.set(Buffer.from('mapped'), 4000);
        equal(w.read(fd, 6, 4000), 'mapped');
        equal(w.contents('f').slice(4000, 4006), 'mapped');
      });
    }),
    holds('shared: what is written is seen there', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (map, fd) => {
        equal(text(map, 0, 1), 'x');
        must(w.write(fd, 'written', 4093));
        equal(text(map, 4093, 4100), 'written');
        const other = must(w.open('f', libc.O_WRONLY));
        must(w.write(other, 'too', 0));
        equal(text(map, 0, 3), 'too');
      });
    }),
    holds('shared: what is put there outlives the mapping and the descriptor', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (map, fd) => {
        w.close(fd);
        map.bytes.set(Buffer.from('late'), 5000);
      });
      equal(w.contents('f').slice(5000, 5004), 'late');
    }),
    holds('shared: after msync O_DIRECT reads it', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (map) => {
        map.bytes.set(Buffer.from('synced'), 0);
        must(map.sync());
        const page = pages(1, '-');
        equal(libc.pread(must(w.open('f', libc.O_RDONLY | libc.O_DIRECT)), page, 0, 4096, 0), 4096);
        equal(Buffer.from(page).toString('latin1', 0, 6), 'synced');
      });
    }),
    holds('private: what is put there is not written', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_PRIVATE, (map, fd) => {
        map.bytes.set(Buffer.from('mine'), 0);
        equal([text(map, 0, 4), w.read(fd, 4, 0)], ['mine', 'xxxx']);
      });
    }),
    holds('a mapping moves the time of modification', (w) => {
      w.file('f', 'x'.repeat(8192));
      must(w.utimens('f', { sec: 1, nsec: 0 }, { sec: 1, nsec: 0 }));
      mapped(w, 'f', MAP_SHARED, (map) => {
        map.bytes.set(Buffer.from('x'), 0);
        must(map.sync());
      });
      equal(w.stat('f').mtime > 1, true);
    }),
    holds('what truncation took does not come back in a mapping', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (map, fd) => {
        equal(text(map, 100, 101), 'x');
        must(libc.ftruncate(fd, 50));
        must(libc.ftruncate(fd, 8192));
        equal(text(map, 100, 101), '\0');
      });
    }),
    holds('two mappings of a file are one', (w) => {
      w.file('f', 'x'.repeat(8192));
      mapped(w, 'f', MAP_SHARED, (one) =>
        mapped(w, 'f', MAP_SHARED, (two) => {
          one.bytes.set(Buffer.from('both'), 10);
          equal(text(two, 10, 14), 'both');
        }),
      );
    }),
  ],
};
