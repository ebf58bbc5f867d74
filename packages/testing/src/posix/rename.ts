/** rename in all combinations. */
import * as libc from '@mortar/libc';
import { type Area, answers, type Case, type ErrnoName, equal, gives, holds } from './case.ts';
import { alice, bob, must, type World } from './world.ts';

const { RENAME_EXCHANGE: exchange, RENAME_NOREPLACE: noReplace, RENAME_WHITEOUT: whiteout } = libc;

type Kind = 'nothing' | 'file' | 'link' | 'fifo' | 'empty' | 'full';

function make(w: World, name: string, kind: Kind): void {
  if (kind === 'file') w.file(name, name);
  if (kind === 'link') must(w.symlink('nowhere', name));
  if (kind === 'fifo') must(w.mknod(name, libc.S_IFIFO | 0o600));
  if (kind === 'empty' || kind === 'full') w.directory(name);
  if (kind === 'full') w.file(`${name}/inside`);
}

/** What each target gives, by source; `ok` everywhere else. */
const table: readonly [Kind, Kind, number, ErrnoName | 'ok'][] = [
  ['file', 'nothing', 0, 'ok'],
  ['file', 'file', 0, 'ok'],
  ['file', 'link', 0, 'ok'],
  ['file', 'fifo', 0, 'ok'],
  ['file', 'empty', 0, 'EISDIR'],
  ['file', 'full', 0, 'EISDIR'],
  ['link', 'file', 0, 'ok'],
  ['link', 'nothing', 0, 'ok'],
  ['link', 'empty', 0, 'EISDIR'],
  ['fifo', 'file', 0, 'ok'],
  ['empty', 'nothing', 0, 'ok'],
  ['empty', 'empty', 0, 'ok'],
  ['full', 'nothing', 0, 'ok'],
  ['full', 'empty', 0, 'ok'],
  ['full', 'full', 0, 'ENOTEMPTY'],
  ['full', 'file', 0, 'ENOTDIR'],
  ['full', 'link', 0, 'ENOTDIR'],
  ['nothing', 'file', 0, 'ENOENT'],
  ['file', 'nothing', noReplace, 'ok'],
  ['file', 'file', noReplace, 'EEXIST'],
  ['full', 'nothing', noReplace, 'ok'],
  ['full', 'empty', noReplace, 'EEXIST'],
  ['file', 'file', exchange, 'ok'],
  ['file', 'full', exchange, 'ok'],
  ['full', 'link', exchange, 'ok'],
  ['full', 'full', exchange, 'ok'],
  ['fifo', 'file', exchange, 'ok'],
  ['file', 'nothing', exchange, 'ENOENT'],
];

const flagNames = new Map([
  [0, ''],
  [noReplace, ' with NOREPLACE'],
  [exchange, ' with EXCHANGE'],
]);

/** Everything there is, by inode number. */
function inventory(w: World, name: string): (string | number)[] {
  if (!w.exists(name)) return [];
  const { ino, type, nlink } = w.stat(name);
  return [ino, type, nlink, ...(type === 4 ? w.names(name) : [])];
}

function combination([source, target, flags, answer]: (typeof table)[number], across: boolean): Case {
  const [a, b] = across ? ['d/a', 'e/b'] : ['a', 'b'];
  const where = across ? 'from one directory to another' : 'in a directory';
  return holds(`${source} to ${target}${flagNames.get(flags)}, ${where}: ${answer}`, (w) => {
    if (across) {
      w.directory('d');
      w.directory('e');
    }
    make(w, a, source);
    make(w, b, target);
    const [atA, atB] = [inventory(w, a), inventory(w, b)];
    answers(w.rename(a, b, flags), answer);
    const moved = answer === 'ok';
    const left = moved ? (flags === exchange ? atB : []) : atA;
    equal([inventory(w, a), inventory(w, b)], [left, moved ? atA : atB]);
    if (!across) return;
    // A directory counts those in it.
    const count = (name: string) => w.names(name).filter((entry) => w.stat(`${name}/${entry}`).type === 4).length;
    equal([w.stat('d').nlink, w.stat('e').nlink], [2 + count('d'), 2 + count('e')]);
  });
}

export const renaming: Area = {
  area: 'rename',
  cases: [
    ...table.map((row) => combination(row, false)),
    ...table.map((row) => combination(row, true)),
    gives('EINVAL', 'a directory into itself', (w) => {
      w.directory('d');
      return w.rename('d', 'd/e');
    }),
    gives('EINVAL', 'a directory below itself', (w) => {
      w.directory('d');
      w.directory('d/e');
      return w.rename('d', 'd/e/f');
    }),
    gives('ENOTEMPTY', 'onto the directory it is in', (w) => {
      w.directory('d');
      w.directory('d/e');
      return w.rename('d/e', 'd');
    }),
    gives('EINVAL', 'exchange with what is below', (w) => {
      w.directory('d');
      w.directory('d/e');
      return w.rename('d', 'd/e', exchange);
    }),
    gives('EINVAL', 'NOREPLACE with EXCHANGE', (w) => {
      w.file('a');
      w.file('b');
      return w.rename('a', 'b', noReplace | exchange);
    }),
    gives('EINVAL', 'unknown flags', (w) => {
      w.file('a');
      return w.rename('a', 'b', 0x80);
    }),
    gives(['EINVAL', 'ok'], 'WHITEOUT', (w) => {
      w.file('a');
      return w.rename('a', 'b', whiteout);
    }),
    holds('onto itself does nothing', (w) => {
      w.file('a', 'x');
      must(w.rename('a', 'a'));
      equal(w.contents('a'), 'x');
    }),
    holds('onto another name of the same file leaves both', (w) => {
      w.file('a', 'x');
      must(w.link('a', 'b'));
      must(w.rename('a', 'b'));
      equal([w.names(), w.stat('a').nlink], [['a', 'b'], 2]);
    }),
    gives('EEXIST', 'NOREPLACE onto another name of the same file', (w) => {
      w.file('a');
      must(w.link('a', 'b'));
      return w.rename('a', 'b', noReplace);
    }),
    holds('a name of two moves, the other stays', (w) => {
      w.file('a', 'x');
      must(w.link('a', 'b'));
      must(w.rename('a', 'c'));
      equal([w.names(), w.contents('b'), w.stat('c').nlink], [['b', 'c'], 'x', 2]);
    }),
    holds('what is replaced loses one name of two', (w) => {
      w.file('a', 'new');
      w.file('b', 'old');
      must(w.link('b', 'c'));
      must(w.rename('a', 'b'));
      equal([w.contents('b'), w.contents('c'), w.stat('c').nlink], ['new', 'old', 1]);
    }),
    holds('a tree moves as a whole', (w) => {
      w.directory('a');
      w.directory('a/b');
      w.file('a/b/f', 'x');
      w.directory('z');
      must(w.rename('a', 'z/a'));
      equal([w.contents('z/a/b/f'), w.names()], ['x', ['z']]);
      must(w.rename('z/a/b', 'b'));
      equal([w.contents('b/f'), w.names('z/a')], ['x', []]);
    }),
    holds('owner, mode, times and attributes move along', (w) => {
      w.file('a', 'x', 0o640);
      must(w.chown('a', 5, 6));
      must(w.utimens('a', { sec: 10, nsec: 1 }, { sec: 20, nsec: 2 }));
      must(libc.setxattr(w.at('a'), 'user.k', Buffer.from('v')));
      must(w.rename('a', 'b'));
      const { uid, gid, permissions, mtime, mtimeNsec } = w.stat('b');
      equal([uid, gid, permissions, mtime, mtimeNsec], [5, 6, 0o640, 20, 2]);
      equal(Buffer.from(libc.getxattr(w.at('b'), 'user.k') as Uint8Array).toString(), 'v');
    }),
    holds('an exchange is seen at both names', (w) => {
      w.file('a', 'A');
      w.directory('d');
      w.file('d/b', 'B');
      for (let i = 0; i < 3; i++) must(w.rename('a', 'd/b', exchange));
      equal([w.contents('a'), w.contents('d/b')], ['B', 'A']);
    }),
    holds('back and forth many times', (w) => {
      w.file('a', 'x');
      w.directory('d');
      for (let i = 0; i < 10; i++) {
        must(w.rename('a', 'd/a'));
        must(w.rename('d/a', 'a'));
      }
      equal([w.contents('a'), w.names('d')], ['x', []]);
    }),
    gives('EACCES', 'from a directory that may not be written', (w) => {
      w.directory('d', 0o755);
      w.directory('e', 0o777);
      w.file('d/f');
      return w.as(alice, () => w.rename('d/f', 'e/f'));
    }),
    gives('EACCES', 'into a directory that may not be written', (w) => {
      w.directory('d', 0o777);
      w.directory('e', 0o755);
      w.file('d/f');
      return w.as(alice, () => w.rename('d/f', 'e/f'));
    }),
    gives('EACCES', 'of a directory that may not be written, to another', (w) => {
      w.directory('d', 0o777);
      w.directory('e', 0o777);
      w.directory('d/sub', 0o755);
      return w.as(alice, () => w.rename('d/sub', 'e/sub'));
    }),
    gives(['EPERM', 'EACCES'], "another's file out of a sticky directory", (w) => {
      w.directory('d', 0o1777);
      must(w.as(bob, () => w.tryOpen('d/f', libc.O_CREAT | libc.O_RDWR)));
      return w.as(alice, () => w.rename('d/f', 'd/g'));
    }),
    gives(['EPERM', 'EACCES'], "over another's file in a sticky directory", (w) => {
      w.directory('d', 0o1777);
      must(w.as(bob, () => w.tryOpen('d/f', libc.O_CREAT | libc.O_RDWR)));
      return w.as(alice, () => {
        must(w.tryOpen('d/g', libc.O_CREAT | libc.O_RDWR));
        return w.rename('d/g', 'd/f');
      });
    }),
    gives('ok', 'its own file in a sticky directory', (w) => {
      w.directory('d', 0o1777);
      return w.as(alice, () => {
        must(w.tryOpen('d/g', libc.O_CREAT | libc.O_RDWR));
        return w.rename('d/g', 'd/f');
      });
    }),
  ],
};
