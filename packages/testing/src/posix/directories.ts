/** Directories: making, removing, listing. */
import * as libc from '@mortar/libc';
import { type Area, answers, equal, gives, holds } from './case.ts';
import { must, type World } from './world.ts';

/** Of long names a listing takes several calls soon. */
function many(w: World, count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `name ${i} ${'-'.repeat(190)}`);
  for (const name of names) must(w.tryOpen(name, libc.O_CREAT | libc.O_WRONLY));
  return names.sort();
}

/** Names from where a descriptor stands, one getdents call's worth. */
function batch(fd: number): { names: string[]; at: number } {
  const entries = libc.direntBatch();
  // Linux says ENOENT of a directory that was removed, which is no entries as well.
  answers(libc.getdents(fd, entries), 'ok', 'ENOENT');
  return { names: entries.names.slice(), at: libc.lseek(fd, 0, libc.SEEK_CUR) };
}

function rest(fd: number): string[] {
  const names: string[] = [];
  for (let got = batch(fd).names; got.length > 0; got = batch(fd).names) names.push(...got);
  return names;
}

export const directories: Area = {
  area: 'directories',
  cases: [
    gives('EEXIST', 'mkdir where a file is', (w) => {
      w.file('f');
      return w.mkdir('f');
    }),
    gives('EEXIST', 'mkdir where a link leads nowhere', (w) => {
      must(w.symlink('nothing', 'l'));
      return w.mkdir('l');
    }),
    gives('ENOTEMPTY', 'rmdir of one that holds a file', (w) => {
      w.directory('d');
      w.file('d/f');
      return w.rmdir('d');
    }),
    gives('ENOTEMPTY', 'rmdir of one that holds a directory', (w) => {
      w.directory('d');
      w.directory('d/e');
      return w.rmdir('d');
    }),
    gives('ENOTDIR', 'rmdir of a file', (w) => {
      w.file('f');
      return w.rmdir('f');
    }),
    gives('EISDIR', 'unlink of a directory', (w) => {
      w.directory('d');
      return w.unlink('d');
    }),
    gives('ENOENT', 'rmdir of what is not', (w) => w.rmdir('d')),
    holds('the count of links counts directories', (w) => {
      equal(w.stat().nlink, 2);
      w.directory('d');
      w.directory('e');
      w.file('f');
      equal([w.stat().nlink, w.stat('d').nlink], [4, 2]);
      must(w.rmdir('d'));
      equal(w.stat().nlink, 3);
    }),
    holds('a removed directory that is open is empty and takes nothing', (w) => {
      w.directory('d');
      const fd = must(w.open('d'));
      must(w.rmdir('d'));
      equal([rest(fd), w.fstat(fd).nlink], [[], 0]);
      answers(libc.openat(fd, 'f', libc.O_CREAT | libc.O_RDWR, 0o644), 'ENOENT');
      answers(libc.mkdirat(fd, 'e', 0o755), 'ENOENT');
    }),
    holds('. and .. are listed, once', (w) => {
      w.directory('d');
      equal(rest(must(w.open('d'))).sort(), ['.', '..']);
    }),
    holds('hundreds of names are listed, each once', (w) => {
      const names = many(w, 200);
      equal(w.names(), names);
    }),
    holds('a listing tells the type of each', (w) => {
      w.file('f');
      w.directory('d');
      must(w.symlink('x', 'l'));
      must(w.mknod('p', libc.S_IFIFO | 0o600));
      const types: Record<string, number> = {};
      libc.forEachDirent(must(w.open('.')), (name, _ino, type) => {
        types[name] = type;
      });
      equal(types, { f: libc.DT_REG, d: libc.DT_DIR, l: libc.DT_LNK, p: libc.DT_FIFO });
    }),
    holds('a listing tells the number that stat tells', (w) => {
      w.file('f');
      w.directory('d');
      libc.forEachDirent(must(w.open('.')), (name, ino) => equal(ino, w.stat(name).ino, name));
    }),
    holds('a listing begins anew at 0', (w) => {
      w.file('a');
      const fd = must(w.open('.'));
      equal(rest(fd).sort(), ['.', '..', 'a']);
      w.file('b');
      libc.lseek(fd, 0, libc.SEEK_SET);
      equal(rest(fd).sort(), ['.', '..', 'a', 'b']);
    }),
    holds('a place in a listing is found again, whatever came and went', (w) => {
      many(w, 320);
      const fd = must(w.open('.'));
      const first = batch(fd);
      const after = rest(fd);
      equal(after.length > 0, true, 'one call listed all');
      // Places that a number cannot hold are for others to test.
      if (!Number.isSafeInteger(first.at)) return;
      for (const name of first.names.slice(0, 50)) if (!name.startsWith('.')) must(w.unlink(name));
      for (let i = 0; i < 20; i++) w.file(`later ${i}`);
      libc.lseek(fd, first.at, libc.SEEK_SET);
      const again = rest(fd);
      equal(new Set(again).size, again.length);
      equal(
        after.filter((name) => !again.includes(name)),
        [],
      );
    }),
    holds('what is removed while it is listed is removed whole', (w) => {
      many(w, 310);
      const fd = must(w.open('.'));
      for (let got = batch(fd).names; got.length > 0; got = batch(fd).names)
        for (const name of got) if (!name.startsWith('.')) must(w.unlink(name));
      equal(w.names(), []);
    }),
    holds('what stays is listed once while others come and go', (w) => {
      const names = many(w, 310);
      const fd = must(w.open('.'));
      const seen: string[] = [];
      let round = 0;
      for (let got = batch(fd).names; got.length > 0; got = batch(fd).names) {
        seen.push(...got.filter((name) => name.startsWith('name')));
        w.file(`other ${round}`);
        if (round > 0) must(w.unlink(`other ${round - 1}`));
        round++;
      }
      equal(seen.sort(), names);
    }),
    holds('a tree of fifty levels', (w) => {
      let path = 'd';
      for (let i = 0; i < 50; i++) {
        must(w.mkdir(path));
        path += '/d';
      }
      for (let i = 0; i < 50; i++) {
        path = path.slice(0, -2);
        must(w.rmdir(path));
      }
    }),
    holds('a name comes back at once after it was removed', (w) => {
      for (let i = 0; i < 10; i++) {
        w.file('n', String(i));
        equal(w.contents('n'), String(i));
        must(w.unlink('n'));
        must(w.mkdir('n'));
        must(w.rmdir('n'));
      }
    }),
  ],
};
